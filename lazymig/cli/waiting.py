"""`lazymig waiting`: the entities that wait for their users, or those that stay in V1."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from lazymig.cli.loading import opened
from lazymig.cli.options import App, Debug, Exit, Flag, Json
from lazymig.cli.output import is_terminal, plain, say, say_fields, show_json, wrapped
from lazymig.repository import Repository, calls_of
from lazymig.status.ids import Names
from lazymig.stores.documents import decode_id
from lazymig.stores.records import StoredV2, StoredWhole

#: Entities per statement, and how many a terminal shows.
_PAGE, _SHOWN = 1000, 100


async def waiting(*, app: App, left: Flag = False, json: Json = False, debug: Debug = False) -> int:
    """List the entities that wait for input of their users, with what `upgrade` says is missing.

    In a pipe each is one line of fields separated by tabs, the id first; other lines begin with #. Changes nothing. The
    exit code is 3 when some wait.

    Args:
        left: List the entities that `upgrade` leaves in V1 instead.
    """
    async with opened(app, in_json=json) as repository:
        found = [one async for one in _find(repository, "left" if left else "waiting")]
        name = repository.migration.name
    names = Names(decode_id(one.id) for one in found)
    rows = [(decode_id(one.id), one.unmoved.reason if one.unmoved is not None else "") for one in found]
    if json:
        objects = [{"id": id, "ref": names.reference(id), "reason": reason} for id, reason in rows]
        show_json({"left" if left else "waiting": objects})
    else:
        _show(name, rows, names, "not taken over" if left else "waiting for users")
    return Exit.NEEDS_PERSON if rows and not left else Exit.DONE


async def _find(repository: Repository[Any, Any], why: str) -> AsyncIterator[StoredV2 | StoredWhole]:
    calls, after = calls_of(repository), None
    store = calls.pair.bodies if calls.place is None else calls.place.store
    while page := await store.unmoved(why, _PAGE, after):
        for one in page:
            yield one
        if len(page) < _PAGE:
            return
        after = page[-1].id


def _show(name: str, rows: list[tuple[Any, str]], names: Names, what: str) -> None:
    if not is_terminal():
        say_fields(("# id", "reason"))
        for id, reason in rows:
            say_fields((names.reference(id), plain(reason) or "-"))
        return
    say(f"{name}: {len(rows):,} {what}" if rows else f"{name}: none is {what}")
    for id, reason in rows[:_SHOWN]:
        wrapped(f"{names.reference(id)}  {plain(reason)}".rstrip(), first="  ", rest="      ")
    if len(rows) > _SHOWN:
        say(f"  and {len(rows) - _SHOWN:,} more; a pipe and --json get all")
