"""Which types the fields of real documents have."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

from attrs import define, field
from bson import Binary, Decimal128, Int64, ObjectId, Regex, Timestamp
from bson.binary import UUID_SUBTYPE

#: What each BSON type is declared as; no two of one group can be distinguished when they are read.
SCALARS: Final[Mapping[type, str]] = {
    bool: "bool",
    int: "int",
    Int64: "int",
    float: "float",
    Decimal128: "Decimal",
    str: "str",
    datetime: "dt.datetime",
    ObjectId: "ObjectId",
    bytes: "bytes",
    Binary: "Binary",
    Regex: "Regex",
    Timestamp: "Timestamp",
}
BINARIES: Final = frozenset({"bytes", "Binary", "UUID"})
#: Keys that are values rather than names: numbers, hexadecimal ids, UUIDs, addresses.
_VALUE = re.compile(r"\d+|[0-9a-fA-F]{16,}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|.*@.*")


@define
class Seen:
    """What was seen in one place of the documents: a field, the elements of a list, the values of a map."""

    count: int = 0
    scalars: set[str] = field(factory=set)
    nulls: int = 0
    documents: int = 0
    fields: dict[str, Seen] = field(factory=dict)
    elements: Seen | None = None
    #: Something that only `Any` takes.
    other: bool = False

    def add(self, value: object) -> None:
        """Take one more value into account."""
        self.count += 1
        if value is None:
            self.nulls += 1
        elif isinstance(value, Mapping):
            self.documents += 1
            for name, inner in value.items():
                self.fields.setdefault(name, Seen()).add(inner)
        elif isinstance(value, list):
            self.elements = self.elements or Seen()
            for inner in value:
                self.elements.add(inner)
        elif isinstance(value, Binary) and value.subtype == UUID_SUBTYPE:
            self.scalars.add("UUID")
        elif type(value) in SCALARS:
            self.scalars.add(SCALARS[type(value)])
        else:
            self.other = True

    @property
    def is_map(self) -> bool:
        """Whether the keys of these documents are values: each key is rare, or looks like an id."""
        if not self.fields or all(_VALUE.fullmatch(name) for name in self.fields):
            return True
        return all(one.count * 2 < self.documents for one in self.fields.values())

    def values(self) -> Seen:
        """Everything under any key, as one place: the values of a map."""
        every = Seen()
        for one in self.fields.values():
            every.merge(one)
        return every

    def merge(self, other: Seen) -> None:
        """Take everything into account that was seen in another place."""
        self.count += other.count
        self.scalars |= other.scalars
        self.nulls += other.nulls
        self.documents += other.documents
        self.other = self.other or other.other
        for name, one in other.fields.items():
            self.fields.setdefault(name, Seen()).merge(one)
        if other.elements is not None:
            self.elements = self.elements or Seen()
            self.elements.merge(other.elements)


def observed(documents: Iterable[Mapping[str, object]]) -> Seen:
    """Look at whole documents."""
    seen = Seen()
    for document in documents:
        seen.add(document)
    return seen
