"""Finding the field of V2 that holds what a field of V1 holds, by the values of real documents."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import frozen

from lazymig.diagnosis.examining import Converted, Ignoring
from lazymig.diagnosis.findings import Finding
from lazymig.diagnosis.values import key_of, values_at, walk
from lazymig.stores.documents import META_FIELD
from lazymig.stores.records import Document

#: Documents after which more would add nothing.
_ENOUGH = 2_000
#: With fewer different values, equal ones are chance, unless the names are equal too.
_VALUES_FROM = 2


@frozen
class Match:
    """The fields of V2 that may hold what a field of V1 holds: one, several, or none.

    `clear`: whether the documents have values enough to say so.
    """

    fields: tuple[str, ...]
    clear: bool


class FieldMap(Ignoring):
    """Compares the values of fields of V1 with those of all fields of V2, document by document."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = tuple(dict.fromkeys(paths))
        self._candidates: dict[str, set[str]] = {}
        self._values: dict[str, set[bytes]] = {path: set() for path in self._paths}
        self._count = 0

    def note_converted(self, one: Converted) -> None:
        """Compare one document with what it becomes."""
        self.note(one.truth.document, one.seen.document)

    def note(self, v1: Document, v2: Document) -> None:
        """Compare one entity's two documents, or the two parts of its document."""
        if not self._paths or self._count >= _ENOUGH:
            return
        self._count += 1
        held: dict[str, set[bytes]] = {}
        for path, value in walk({name: value for name, value in v2.items() if name != META_FIELD}):
            if (key := key_of(value)) is not None:
                held.setdefault(path, set()).add(key)
        for path in self._paths:
            given = {key for value in values_at(v1, path) if (key := _significant(value)) is not None}
            if not given:
                continue
            same = {other for other, keys in held.items() if keys == given}
            self._candidates[path] = self._candidates.get(path, same) & same
            if len(self._values[path]) < _VALUES_FROM:
                self._values[path] |= given

    def findings(self) -> Sequence[Finding]:
        """Return nothing: the check of indexes uses the result."""
        return ()

    def find(self, path: str) -> Match:
        """Return which fields of V2 hold what this field of V1 holds."""
        if path == "_id":
            return Match(("_id",), clear=True)
        values, fields = self._values.get(path, set()), self._candidates.get(path, set())
        if path in fields:
            return Match((path,), clear=True)
        if not values or (fields and len(values) < _VALUES_FROM):
            return Match((), clear=False)
        # A field with the values of the id is not the id, where another field has them as well.
        return Match(tuple(sorted(fields - {"_id"} or fields)), clear=True)


def _significant(value: object) -> bytes | None:
    """Return the key of a value that says something; null is everywhere."""
    return None if value is None else key_of(value)
