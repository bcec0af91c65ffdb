"""The panel of what needs a person, and of what is not moved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from attrs import frozen

from lazymig.status.ids import Names
from lazymig.status.looking import Status
from lazymig.status.rows import unmoved_rows
from lazymig.status.words import describe_moment, describe_warnings
from lazymig.stores.records import DeadLetter
from lazymig.web.snapshot import Snapshot
from lazymig.web.view.parts import Facts, Table, make_table

#: Groups of dead letters that the page shows. Each page that is open gets all of them whenever one changes.
_SHOWN: Final = 20


@frozen
class TroubleView:
    """The panel's text."""

    #: In a sentence, whether a person is needed.
    summary: str
    good: bool
    facts: Facts
    warnings: tuple[str, ...]
    groups: Table | None
    letters: Table | None


def view_trouble(snapshot: Snapshot) -> TroubleView:
    """Return what the panel of the trouble shows."""
    found = snapshot.status
    good = not (found.needs_person or found.warnings)
    summary = "Nothing needs a person." if good else "Something needs a person."
    names = Names(letter.id for letter in found.letters)
    return TroubleView(
        summary, good, _list_facts(found), tuple(describe_warnings(found)),
        _table_groups(found, names), _table_letters(found.letters, names),
    )  # fmt: skip


def _list_facts(found: Status) -> Facts:
    dirty = {} if found.upcasting_only or found.place is not None else {"V2 dirty (open writes)": f"{found.v2.dirty:,}"}
    return {**dirty, "open dead letters": f"{found.dead_letters:,}", **unmoved_rows(found)}


def _table_groups(found: Status, names: Names) -> Table | None:
    rows = []
    for group in found.causes[:_SHOWN]:
        ids = [names.reference(one.id) for one in found.letters if group.holds(one)]
        rows.append((group.error, group.direction, group.line, group.path, f"{group.count:,}", ", ".join(ids)))
    counted = sum(group.count for group in found.causes)
    of = "" if counted >= found.dead_letters else f", {counted:,} of {found.dead_letters:,}"
    if len(found.causes) > _SHOWN:
        of += f", the {_SHOWN} largest of {len(found.causes):,} groups"
    heads = f"~error | step | ~line | ~field | #count | ~ids, of the oldest {len(found.letters):,}"
    return make_table(f"Open dead letters by their causes{of}", heads, rows)


def _table_letters(letters: Sequence[DeadLetter], names: Names) -> Table | None:
    rows = [
        (
            names.reference(one.id), f"{one.attempts:,}", "" if one.last_at is None else describe_moment(one.last_at),
            one.message,
        )
        for one in letters
    ]  # fmt: skip
    return make_table("Dead letters, one by one", "~id | #attempts | last tried | ~message", rows)
