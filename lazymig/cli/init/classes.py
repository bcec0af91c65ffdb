"""The source text of classes that hold what was seen in documents, for each library."""

from __future__ import annotations

from typing import Final

from attrs import define, field, frozen

from lazymig.cli.init.naming import class_name, field_name, singular
from lazymig.cli.init.observing import BINARIES, Seen
from lazymig.stores.documents import META_FIELD

#: Where the names of annotations come from.
_IMPORTS: Final = {
    "Any": "from typing import Any",
    "Binary": "from bson import Binary",
    "Decimal": "from decimal import Decimal",
    "ObjectId": "from bson import ObjectId",
    "Regex": "from bson import Regex",
    "Timestamp": "from bson import Timestamp",
    "UUID": "from uuid import UUID",
    "dt.datetime": "import datetime as dt",
}
#: In this order they stand in a union.
_ORDER: Final = ("bool", "int", "float", "Decimal", "str", "dt.datetime", "ObjectId", "UUID", "bytes", "Binary",
                 "Regex", "Timestamp")  # fmt: skip
_ID_TYPES: Final = frozenset({"str", "int", "bytes", "ObjectId", "UUID"})


@frozen
class Member:
    """A field of a class."""

    name: str
    stored: str
    annotation: str
    optional: bool


@frozen
class Shape:
    """A class: its name and its fields."""

    name: str
    members: tuple[Member, ...]

    @property
    def renamed(self) -> dict[str, str]:
        """The stored names that differ from those in Python."""
        named = {member.name: member.stored for member in self.members if member.name != member.stored}
        # `id` is `_id` by itself, unless another field is stored as `id`.
        return named if "id" in named.values() else {name: one for name, one in named.items() if one != "_id"}


@define
class Inference:
    """Turns what was seen into classes, the innermost first."""

    of_models: bool = False
    shapes: list[Shape] = field(factory=list)
    #: Names of annotations that must be imported.
    used: set[str] = field(factory=set)
    #: Fields that no class can declare.
    left_out: list[str] = field(factory=list)

    def entity(self, seen: Seen, name: str) -> Shape:
        """Return the shape of whole documents; `shapes` then holds those inside it.

        Raises:
            ValueError: `_id` has a type that no entity's id can have.
        """
        ids = seen.fields["_id"]
        if ids.documents or ids.elements or ids.other or ids.nulls or not ids.scalars <= _ID_TYPES:
            raise ValueError("_id must be a str, int, bytes, ObjectId or UUID")
        if len(ids.scalars & BINARIES) > 1:
            raise ValueError("_id is a UUID in some documents and other bytes in others")
        shape = self._shape(seen, name, top=True)
        self.shapes.remove(shape)
        return shape

    def _shape(self, seen: Seen, name: str, *, top: bool = False) -> Shape:
        members: list[Member] = []
        taken: set[str] = {"id"} if top else set()
        for stored, one in seen.fields.items():
            if not _is_declarable(stored, top=top):
                self.left_out.append(stored)
                continue
            python = "id" if top and stored == "_id" else field_name(stored, taken, of_model=self.of_models)
            taken.add(python)
            optional = bool(one.nulls) or one.count < seen.documents
            members.append(Member(python, stored, self._annotation(one, class_name(name, stored)), optional))
        shape = Shape(self._free(name), tuple(members))
        self.shapes.append(shape)
        return shape

    def _free(self, name: str) -> str:
        taken = {shape.name for shape in self.shapes}
        return next(one for one in (name, *(f"{name}{n}" for n in range(2, len(taken) + 3))) if one not in taken)

    def _annotation(self, seen: Seen, name: str) -> str:
        """What one place is declared as, without `None`."""
        if seen.other or len(seen.scalars & BINARIES) > 1:
            self.used.add("Any")
            return "Any"
        parts: list[str] = [one for one in _ORDER if one in seen.scalars]
        if "float" in parts and "int" in parts:
            parts.remove("int")  # a float takes every int that a double holds
        if seen.documents:
            parts.append(self._document(seen, name))
        if seen.elements is not None:
            inner = self._annotation(seen.elements, class_name(singular(name)))
            parts.append(f"list[{_with_none(inner, optional=bool(seen.elements.nulls))}]")
        self.used |= _IMPORTS.keys() & set(parts or ["Any"])
        return " | ".join(parts or ["Any"])

    def _document(self, seen: Seen, name: str) -> str:
        if not seen.is_map:
            return self._shape(seen, name).name
        every = seen.values()
        inner = self._annotation(every, class_name(singular(name)))
        return f"dict[str, {_with_none(inner, optional=bool(every.nulls))}]"

    @property
    def imports(self) -> list[str]:
        """The import statements that the annotations need."""
        return sorted({_IMPORTS[one] for one in self.used}, key=lambda line: (line.startswith("from"), line))


def _with_none(annotation: str, *, optional: bool) -> str:
    return f"{annotation} | None" if optional and annotation != "Any" else annotation


def _is_declarable(stored: str, *, top: bool) -> bool:
    """Whether a class can have a field that is stored so."""
    if "\0" in stored or stored.startswith(META_FIELD):
        return False
    return not top or bool(stored and "." not in stored and not stored.startswith("$"))


def declared(member: Member) -> str:
    """The annotation of a field, and its default where documents may lack it."""
    return _with_none(member.annotation, optional=member.optional) + (" = None" if member.optional else "")
