"""`lazymig dead-letters list | show | retry | waive`: the entities that need a person."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

import attrs
from cyclopts import App as CycloptsApp
from cyclopts import Parameter

from lazymig.cli.explaining import explanation
from lazymig.cli.failures import Unusable
from lazymig.cli.ids import KINDS, Names, typed
from lazymig.cli.letters import as_object, grouped, show_letters
from lazymig.cli.loading import opened
from lazymig.cli.options import App, Debug, Exit, Json
from lazymig.cli.output import say, show_json
from lazymig.control import Control
from lazymig.repository import Repository, calls_of
from lazymig.stores.records import DeadLetter
from lazymig.sweeping.retry import retry_dead

dead_letters = CycloptsApp(name="dead-letters", help="List, show, retry or waive the entities that need a person.")

_Id = Annotated[
    str,
    Parameter(
        help="The entity's id as the list shows it; with its type in front where two ids read alike: "
        "int:5, str:5, oid:..., uuid:..., bytes:00ff.",
        allow_leading_hyphen=True,
    ),
]


@dead_letters.command(name="list")
async def listed(
    *, app: App, waived: Annotated[bool, Parameter(negative="")] = False, json: Json = False, debug: Debug = False
) -> int:
    """List the dead letters, oldest first, after a summary by error and line. Exit code 3 when some are open.

    In a pipe each letter is one line of fields separated by tabs, the id first; other lines begin with #.

    Parameters
    ----------
    waived
        Those that were waived, instead of the open ones.
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


@dead_letters.command
async def show(
    id: _Id,
    /,
    *,
    app: App,
    explain: Annotated[bool, Parameter(negative="")] = False,
    json: Json = False,
    debug: Debug = False,
) -> int:
    """Show one dead letter whole.

    Parameters
    ----------
    explain
        Convert the entity once more, here, and print what its conversion raises. That text may quote the document; it
        is printed and stored nowhere.
    """
    async with opened(app, in_json=json) as repository:
        known, names = await _known(repository)
        (letter,) = _named(known, names, [id])
        explained = await explanation(repository, letter) if explain else None
    if json:
        show_json({**as_object(letter, names), **({"explanation": explained} if explain else {})})
        return Exit.DONE
    for name, value in attrs.asdict(letter).items():
        shown = names.reference(letter.id) if name == "id" else value
        say(f"  {name:<12} {shown if shown not in (None, '') else '-'}")
    if explained is not None:
        say(f"  {'now':<12} {explained}")
    return Exit.DONE


@dead_letters.command
async def retry(*ids: _Id, app: App, json: Json = False, debug: Debug = False) -> int:
    """Try these entities again now, or all open ones. A sweep does that by itself. Exit code 3 if some are left."""
    async with opened(app, in_json=json) as repository:
        control, name = _control(repository), repository.migration.name
        letters = _named(*await _known(repository), ids) if ids else []
        tried = len(letters) if ids else await control.dead_count(name)
        settled = await retry_dead(repository, control, [letter.id for letter in letters]) if tried else 0
        left = await control.dead_count(name)
    if json:
        show_json({"tried": tried, "settled": settled, "open": left})
    else:
        say(f"{name}: tried {tried:,}, settled {settled:,}; {left:,} dead letters are open")
    return Exit.NEEDS_PERSON if left else Exit.DONE


@dead_letters.command
async def waive(
    id: _Id,
    /,
    *,
    app: App,
    reason: Annotated[str, Parameter(help="Why this failure is accepted; kept with the dead letter.")],
    debug: Debug = False,
) -> int:
    """Accept one failure: it no longer asks for a person, until V1's document gets a new revision."""
    if not reason.strip():
        raise Unusable("--reason: say why this failure is accepted")
    async with opened(app) as repository:
        known, names = await _known(repository)
        (letter,) = _named(known, names, [id])
        done = await _control(repository).waive(repository.migration.name, letter.id, reason)
    if not done:
        raise Unusable(f"the dead letter of {id} has changed meanwhile; look at it again before you waive it")
    say(f"waived {names.reference(letter.id)}: {reason}")
    return Exit.DONE


def _control(repository: Repository[Any, Any]) -> Control:
    return Control.beside(calls_of(repository).pair.bodies)


async def _known(repository: Repository[Any, Any]) -> tuple[list[DeadLetter], Names]:
    """All letters, open and waived, and what their ids are called among each other."""
    letters = [letter async for letter in _control(repository).dead_letters(repository.migration.name)]
    return letters, Names(letter.id for letter in letters)


def _named(letters: list[DeadLetter], names: Names, texts: Iterable[str]) -> list[DeadLetter]:
    by_id = {typed(letter.id): letter for letter in letters}
    return [by_id[typed(_one(names, text))] for text in texts]


def _one(names: Names, text: str) -> Any:
    found = names.find(text)
    if not found:
        kinds = ", ".join(f"{kind}:" for kind in KINDS)
        raise Unusable(
            f"no dead letter of {text}; lazymig dead-letters list shows those that there are (types are {kinds})"
        )
    if len(found) > 1:
        raise Unusable(f"{text} may be {' or '.join(map(typed, found))}; name it so")
    return found[0]
