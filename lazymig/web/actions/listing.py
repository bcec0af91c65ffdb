"""The page of dead letters: the groups with the same cause, and the letters of one of them, a part at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256

from attrs import frozen

from lazymig.status.ids import typed
from lazymig.status.letters import Group, grouped
from lazymig.stores.records import DeadLetter

#: Letters on one page.
PER_PAGE = 50
#: Letters that a list is made of, the oldest ones: opening a page must not make the server read millions.
LISTED_MAX = 10_000
#: Groups on one page, the largest.
GROUPS_MAX = 100


@frozen
class GroupLine:
    """One group, and the text by which an address names it."""

    key: str
    group: Group


@frozen(kw_only=True)
class Listing:
    """A page of dead letters.

    Attributes:
        waived: Whether these are the waived ones.
        open_count: How many are open.
        waived_count: How many are waived.
        cut: Of how many the list is, the oldest ones, where there are more; None where it is of all.
        groups: The largest groups of these letters.
        group_count: How many groups there are.
        chosen: The group that is shown; "" for all.
        total: How many letters there are of it.
        first: The number of the first one on this page, from 1.
        letters: The letters on this page, each with the text of its id.
        before: The number of the page before; None where there is none.
        after: The number of the next page; None where there is none.
    """

    waived: bool
    open_count: int
    waived_count: int
    cut: int | None
    groups: tuple[GroupLine, ...]
    group_count: int
    chosen: str
    total: int
    first: int
    letters: tuple[tuple[str, DeadLetter], ...]
    before: int | None
    after: int | None


@frozen(kw_only=True)
class Asked:
    """What a list is asked for: the open or the waived letters, of one group or all, and which part."""

    waived: bool = False
    group: str = ""
    page: int = 1


def make_listing(known: Sequence[DeadLetter], asked: Asked, *, open_count: int, waived_count: int) -> Listing:
    """Return a page of these letters, which are of the kind that is asked for: the oldest ones of it.

    A group that is not among them shows none.
    """
    waived, group, page = asked.waived, asked.group, asked.page
    of_kind = [letter for letter in known if (letter.waived is not None) == waived]
    groups = grouped(of_kind)
    lines = tuple(GroupLine(_name_group(one), one) for one in groups[:GROUPS_MAX])
    shown = [one for one in of_kind if not group or _name_group(grouped([one])[0]) == group]
    last = max(1, -(-len(shown) // PER_PAGE))
    page = min(max(page, 1), last)
    start = (page - 1) * PER_PAGE
    cut = len(of_kind) if len(of_kind) < (waived_count if waived else open_count) else None
    return Listing(
        waived=waived, open_count=open_count, waived_count=waived_count, cut=cut, groups=lines,
        group_count=len(groups), chosen=group, total=len(shown), first=start + 1,
        letters=tuple(_with_texts(shown[start : start + PER_PAGE])),
        before=page - 1 if page > 1 else None, after=page + 1 if page < last else None,
    )  # fmt: skip


def _with_texts(letters: Iterable[DeadLetter]) -> Iterable[tuple[str, DeadLetter]]:
    return ((typed(letter.id), letter) for letter in letters)


def _name_group(group: Group) -> str:
    """Return a short text that names this cause, whatever signs are in it."""
    cause = (group.direction, group.error, group.line, group.path, group.message)
    return sha256(repr(cause).encode()).hexdigest()[:16]
