"""`lazymig dead-letters list | show | retry | waive`: the entities that need a person."""

from __future__ import annotations

from typing import Annotated, Any

import attrs
from cyclopts import App as CycloptsApp
from cyclopts import Parameter

from lazymig.cli.failures import Unusable
from lazymig.cli.loading import opened
from lazymig.cli.options import App, Debug, Exit, Json
from lazymig.cli.output import say, show_json, table
from lazymig.codec import decode_id
from lazymig.control import Control
from lazymig.records import DeadLetter
from lazymig.repository import Repository
from lazymig.sweeping.retry import retry_dead

dead_letters = CycloptsApp(name="dead-letters", help="List, show, retry or waive the entities that need a person.")

_Id = Annotated[str, Parameter(help="The entity's id, as the list shows it.")]


@dead_letters.command(name="list")
async def listed(
    *, app: App, waived: Annotated[bool, Parameter(negative="")] = False, json: Json = False, debug: Debug = False
) -> int:
    """List the dead letters, oldest first. Exit code 3 when there are some that nobody waived.

    Parameters
    ----------
    waived
        Those that were waived, instead of the open ones.
    """
    async with opened(app) as repository:
        control, name = _control(repository), repository.migration.name
        letters = [letter async for letter in control.dead_letters(name, waived=waived)]
        open_count = await control.dead_count(name)
    if json:
        show_json({"dead_letters": [attrs.asdict(letter) for letter in letters], "open": open_count})
    elif letters:
        columns = ("id", "step", "field", "error", "message", "attempts", "waived because" if waived else "last tried")
        table(f"Dead letters of {name}: {len(letters):,}", columns, [_row(letter) for letter in letters])
    else:
        say(f"{name}: no {'waived' if waived else 'open'} dead letters")
    return Exit.NEEDS_PERSON if open_count else Exit.DONE


@dead_letters.command
async def show(id: _Id, /, *, app: App, json: Json = False, debug: Debug = False) -> int:
    """Show one dead letter whole."""
    async with opened(app) as repository:
        letter = (await _named(repository, [id]))[0]
    if json:
        show_json(attrs.asdict(letter))
        return Exit.DONE
    for name, value in attrs.asdict(letter).items():
        say(f"  {name:<12} {value if value not in (None, '') else '-'}")
    return Exit.DONE


@dead_letters.command
async def retry(*ids: _Id, app: App, json: Json = False, debug: Debug = False) -> int:
    """Try these entities again now, or all without an id. A sweep does that by itself. Exit code 3 if some are left."""
    async with opened(app) as repository:
        control, name = _control(repository), repository.migration.name
        letters = await _named(repository, ids) if ids else [one async for one in control.dead_letters(name)]
        settled = await retry_dead(repository, control, [letter.id for letter in letters])
        left = await control.dead_count(name)
    if json:
        show_json({"tried": len(letters), "settled": settled, "open": left})
    else:
        say(f"{name}: tried {len(letters):,}, settled {settled:,}; {left:,} dead letters are open")
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
    async with opened(app) as repository:
        letter = (await _named(repository, [id]))[0]
        done = await _control(repository).waive(repository.migration.name, letter.id, reason)
    if not done:
        raise Unusable(f"the dead letter of {id} has changed meanwhile; look at it again before you waive it")
    say(f"waived {id}: {reason}")
    return Exit.DONE


def _control(repository: Repository[Any, Any]) -> Control:
    return Control(repository.pair.v2.collection.database["lazymig_control"])


async def _named(repository: Repository[Any, Any], ids: Any) -> list[DeadLetter]:
    """The letters of these ids, found by their text: a command line knows no types."""
    letters = {_text(letter): letter async for letter in _control(repository).dead_letters(repository.migration.name)}
    if unknown := [id for id in ids if id not in letters]:
        raise Unusable(f"no dead letter of {unknown[0]}; lazymig dead-letters list shows those that there are")
    return [letters[id] for id in ids]


def _text(letter: DeadLetter) -> str:
    return str(decode_id(letter.id))


def _row(letter: DeadLetter) -> tuple[Any, ...]:
    last = letter.waived if letter.waived else f"{letter.last_at:%Y-%m-%d %H:%M:%S}"
    return (_text(letter), letter.direction, letter.path or "-", letter.error, letter.message, letter.attempts, last)
