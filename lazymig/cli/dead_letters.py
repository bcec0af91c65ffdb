"""`lazymig dead-letters list | show | retry | waive`: the entities that need a person."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

import attrs
from cyclopts import App as CycloptsApp
from cyclopts import Parameter

from lazymig.cli.explaining import explanation
from lazymig.cli.failures import Unusable
from lazymig.cli.letters import in_full, show_letters
from lazymig.cli.loading import opened
from lazymig.cli.options import App, Debug, Exit, Flag, Json, examples
from lazymig.cli.output import say, show_json
from lazymig.repository import Repository
from lazymig.status.ids import KINDS, Names, typed
from lazymig.status.letters import as_object, grouped
from lazymig.status.looking import control_of
from lazymig.stores.records import DeadLetter
from lazymig.sweeping.retry import retry_dead

dead_letters = CycloptsApp(name="dead-letters", help="List, show, retry or waive the entities that need a person.")

_APP = "--app shop.people:repository"
_Id = Annotated[
    str,
    Parameter(
        help="The entity's id as the list shows it. Where two ids look the same, put the type in front: int:5, "
        "str:5, oid:..., uuid:..., bytes:00ff.",
        allow_leading_hyphen=True,
    ),
]


@dead_letters.command(
    name="list",
    help_epilogue=examples(f"lazymig dead-letters list {_APP}", "lazymig dead-letters list | grep -v '^#' | cut -f 1"),
)
async def listed(*, app: App, waived: Flag = False, json: Json = False, debug: Debug = False) -> int:
    """List the open dead letters, oldest first, after a summary by error and line.

    In a pipe each letter is one line of fields separated by tabs, the id first; other lines begin with #. The exit code
    is 3 when some are open.

    Args:
        waived: List the waived ones instead.
    """
    async with opened(app, in_json=json) as repository:
        known, names = await _known(repository)
        name = repository.migration.name
    letters = [letter for letter in known if (letter.waived is not None) == waived]
    open_count = sum(letter.waived is None for letter in known)
    which = "waived" if waived else "open"
    if json:
        groups = [attrs.asdict(group) for group in grouped(letters)]
        objects = [as_object(letter, names) for letter in letters]
        show_json({"dead_letters": objects, "groups": groups, "open": open_count})
    elif letters:
        show_letters(f"Dead letters of {name}: {len(letters):,} {which}", letters, names)
    else:
        say(f"{name}: no {which} dead letters")
    return Exit.NEEDS_PERSON if open_count else Exit.DONE


@dead_letters.command(help_epilogue=examples(f"lazymig dead-letters show {_APP} 5 --explain"))
async def show(
    id: _Id,
    /,
    *,
    app: App,
    explain: Flag = False,
    json: Json = False,
    debug: Debug = False,
) -> int:
    """Show one dead letter in full.

    Args:
        explain: Convert the entity again and print what its conversion raises. That text may quote the document. It is
            printed and not stored.
    """
    async with opened(app, in_json=json) as repository:
        known, names = await _known(repository)
        (letter,) = _named(known, names, [id])
        explained = await explanation(repository, letter) if explain else None
    if json:
        show_json({**as_object(letter, names), **({"explanation": explained} if explain else {})})
        return Exit.DONE
    for name, value in in_full(letter, names).items():
        say(f"  {name:<12} {value}")
    if explained is not None:
        say(f"  {'now':<12} {explained}")
    return Exit.DONE


@dead_letters.command(
    help_epilogue=examples(f"lazymig dead-letters retry {_APP}", f"lazymig dead-letters retry {_APP} 5 str:6")
)
async def retry(*ids: _Id, app: App, json: Json = False, debug: Debug = False) -> int:
    """Try to move these entities again now, or all that have an open dead letter.

    A sweep does this by itself. The exit code is 3 when dead letters are left.
    """
    async with opened(app, in_json=json) as repository:
        control, name = control_of(repository), repository.migration.name
        letters = _named(*await _known(repository), ids) if ids else []
        tried = len(letters) if ids else await control.dead_count(name)
        removed = await retry_dead(repository, control, [letter.id for letter in letters]) if tried else 0
        left = await control.dead_count(name)
    failing = max(tried - removed, 0)
    if json:
        show_json({"retried": tried, "removed": removed, "still_failing": failing, "open": left})
    else:
        say(f"{name}: entities retried {tried:,}, dead letters removed {removed:,}, still failing {failing:,}")
        say(f"{name}: open dead letters {left:,}")
    return Exit.NEEDS_PERSON if left else Exit.DONE


@dead_letters.command(help_epilogue=examples(f"lazymig dead-letters waive {_APP} 5 --reason 'test data'"))
async def waive(
    id: _Id,
    /,
    *,
    app: App,
    reason: Annotated[str, Parameter(help="Why you accept this failure. It is kept with the dead letter.")],
    json: Json = False,
    debug: Debug = False,
) -> int:
    """Accept one failure: it no longer needs a person, until V1's document changes."""
    if not reason.strip():
        raise Unusable("--reason: say why you accept this failure")
    async with opened(app, in_json=json) as repository:
        known, names = await _known(repository)
        (letter,) = _named(known, names, [id])
        done = await control_of(repository).waive(repository.migration.name, letter.id, reason)
    if not done:
        raise Unusable(f"the dead letter of {id} has just changed; look at it again before you waive it")
    if json:
        show_json({"waived": names.reference(letter.id), "reason": reason})
    else:
        say(f"waived {names.reference(letter.id)}: {reason}")
    return Exit.DONE


async def _known(repository: Repository[Any, Any]) -> tuple[list[DeadLetter], Names]:
    """All letters, open and waived, and the names by which a command line refers to their ids."""
    letters = [letter async for letter in control_of(repository).dead_letters(repository.migration.name)]
    return letters, Names(letter.id for letter in letters)


def _named(letters: list[DeadLetter], names: Names, texts: Iterable[str]) -> list[DeadLetter]:
    by_id = {typed(letter.id): letter for letter in letters}
    return [by_id[typed(_one(names, text))] for text in texts]


def _one(names: Names, text: str) -> Any:
    found = names.find(text)
    if not found:
        kinds = ", ".join(f"{kind}:" for kind in KINDS)
        raise Unusable(f"no dead letter of {text}; lazymig dead-letters list shows all (types are {kinds})")
    if len(found) > 1:
        raise Unusable(f"{text} may be {' or '.join(map(typed, found))}; write it with its type")
    return found[0]
