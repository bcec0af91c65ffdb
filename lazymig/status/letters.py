"""Dead letters for a person and for a program: in groups with the same cause, and one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import attrs
from attrs import frozen

from lazymig.control.reading import is_text
from lazymig.status.ids import Names
from lazymig.stores.documents import decode_id
from lazymig.stores.records import DeadLetter
from lazymig.stores.rows import Row


@frozen
class Group:
    """Dead letters with the same error at the same line and field."""

    direction: str
    error: str
    line: str
    path: str
    #: Only of a refused body, where the class of the error says little.
    message: str
    count: int = 0

    def holds(self, letter: DeadLetter) -> bool:
        """Whether a letter belongs to this group."""
        return attrs.evolve(self, count=0) == _group_of(letter)


def grouped(letters: Sequence[DeadLetter]) -> list[Group]:
    """Group the letters by error, line and field, the largest group first."""
    counts = Counter(map(_group_of, letters))
    return [attrs.evolve(group, count=count) for group, count in counts.most_common()]


def group_counts(rows: Sequence[Row]) -> tuple[Group, ...]:
    """Return the groups of letters that the control collection has counted by their causes, the largest first."""
    counts: Counter[Group] = Counter()
    for row in rows:
        of = {name: row.get(name) for name in ("direction", "error", "line", "path", "message")}
        counts[_make_group(*(text if is_text(text) else "" for text in of.values()))] += row["count"]
    return tuple(attrs.evolve(group, count=count) for group, count in counts.most_common())


def _group_of(one: DeadLetter) -> Group:
    return _make_group(one.direction, one.error, one.line, one.path, one.message)


def _make_group(direction: str, error: str, line: str, path: str, message: str) -> Group:
    return Group(direction, error, line, path, message if direction == "store" else "")


def as_object(letter: DeadLetter, names: Names) -> dict[str, Any]:
    """Return a letter for JSON; `ref` is the text that commands take for its id."""
    return {**attrs.asdict(letter), "id": decode_id(letter.id), "ref": names.reference(letter.id)}
