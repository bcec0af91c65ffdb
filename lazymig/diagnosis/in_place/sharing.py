"""Checks of what two shapes in one document do to each other, and of programs that write V1's fields directly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from lazymig.diagnosis.findings import Finding, Group, blocks, notes, passes, warns
from lazymig.diagnosis.writers import CHECK as WRITERS
from lazymig.shapes.one_document import OneDocument
from lazymig.stores.documents import META_FIELD
from lazymig.stores.given import RawId

_FIND = (
    "look for replace_one, find_one_and_replace and updates with whole documents in every program that writes these "
    "documents; let them set single fields, or write by lazymig"
)


_TAKEN: Final = "taken fields"


class Sharing:
    """Notes what stands in the way of V2 parts, document by document."""

    def __init__(self, shape: OneDocument, *, remembers: bool) -> None:
        """`remembers`: V2 parts hold what V1's fields cannot express."""
        self._shape = shape
        self._remembers = remembers
        self._taken: dict[str, Group] = {}
        self._refused: dict[str, Group] = {}
        self._behind = Group()
        #: How many documents were looked at, and how many of them lazymig has written.
        self._count = self._known = self._converted = 0

    def note(self, *, known: bool, fits: bool, id: RawId) -> None:
        """Note a document: whether lazymig has stored a V2 part in it, and whether that is of V1's part."""
        self._count += 1
        self._known += known
        if known and not fits:
            self._behind.add(id)

    def note_taken(self, id: RawId, name: str) -> None:
        """Note a document that has a field already in which V2's part would stand."""
        self._taken.setdefault(name, Group()).add(id)

    def note_refused(self, id: RawId, path: str) -> None:
        """Note a document whose V2 part cannot be stored beside V1's, because of this field."""
        self._refused.setdefault(path, Group()).add(id)

    def note_converted(self) -> None:
        """Note a document whose V2 part can be stored."""
        self._converted += 1

    def findings(self) -> Sequence[Finding]:
        """Return what was found."""
        return [*self._find_taken(), *self._find_refused(), *self._find_writers()]

    def _find_taken(self) -> Sequence[Finding]:
        if self._taken:
            # Where others have been filled, those without meta data lost them.
            describe = _describe_lost if self._known else _describe_taken
            return [describe(name, self._count, group) for name, group in self._taken.items()]
        own = ", ".join(sorted(self._shape.v2_own))
        text = f"no document without V2's part has a field of it: {own}"
        return [passes(_TAKEN, text)] if self._count else []

    def _find_refused(self) -> Sequence[Finding]:
        check = "shared fields"
        found = [
            blocks(
                check, f"the conversion of {group.count:,} of {self._converted + group.count:,} documents gives "
                f"{path!r} a value that cannot be stored there; a sweep would record a dead letter for each",
                "keep what both shapes share as it is; or pass Migration(v2_within=...), or store V2's field under "
                "another name", group.ids,
            )
            for path, group in self._refused.items()
        ]  # fmt: skip
        if found or not self._converted:
            return found
        names = ", ".join(sorted(self._shape.shared - {"_id"}))
        text = f"the conversions keep what both shapes share: {names}" if names else "the shapes share none"
        return [passes(check, text)]

    def _find_writers(self) -> Sequence[Finding]:
        text = "a program that replaces documents as a whole removes V2's part with V1's"
        if self._behind.count:
            text = (
                f"other programs have changed V1's fields of {self._behind.count:,} of {self._known:,} documents that "
                f"lazymig has filled, which is no trouble; but {text}"
            )
        if self._remembers:
            return [warns(WRITERS, f"{text}, and what only V2 holds is lost then", _FIND, self._behind.ids)]
        return [notes(WRITERS, f"{text}; the next read makes it again", "", self._behind.ids)]


def _describe_lost(name: str, of: int, group: Group) -> Finding:
    return warns(
        WRITERS, f"{group.count:,} of {of:,} documents have V2's field {name!r} and no {META_FIELD}, which others "
        "have: another program has dropped it, and reads of these documents raise an error",
        f"unset V2's fields in these documents; then {_FIND}", group.ids,
    )  # fmt: skip


def _describe_taken(name: str, of: int, group: Group) -> Finding:
    return blocks(
        _TAKEN, f"{group.count:,} of {of:,} documents have a field {name!r} already, which V1 does not declare and V2 "
        "would overwrite", "pass Migration(v2_within=...), or store V2's field under another name", group.ids,
    )  # fmt: skip
