"""What a class declares about its documents: which names in a path are schema, and which are contents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import get_args

from attrs import define, field
from cattrs import Converter

from lazymig.comparing.differences import Steps, is_plain_name
from lazymig.shapes.annotations import fields_of, is_class, is_mutable, is_namedtuple, is_union, members, stripped
from lazymig.shapes.codec import Codec
from lazymig.shapes.entities import declared_names
from lazymig.shapes.stored_names import written_names
from lazymig.shapes.unions import is_array, is_mapping

#: A name that is contents, such as the key of a map.
HIDDEN = "[...]"


@define(eq=False)
class Schema:
    """The declared names of the values at one place."""

    #: The stored names of the class there.
    fields: Mapping[str, Schema] = field(factory=dict)
    #: The elements of arrays, and the values of maps.
    elements: list[Schema] = field(factory=list)
    entries: list[Schema] = field(factory=list)
    #: The members of a union. They may still be incomplete when the union is made, as a class may contain itself.
    members: list[Schema] = field(factory=list)
    #: Whether documents of no declared class may be there.
    is_open: bool = False

    @property
    def names(self) -> frozenset[str]:
        """The declared names."""
        return frozenset(name for part in self._parts() for name in part.fields)

    def step(self, name: str | int) -> Schema:
        """Return what is declared below a name or at a place of an array."""
        below: list[Schema] = []
        for part in self._parts():
            if isinstance(name, int):
                below += part.elements
            else:
                below += part.entries
                if name in part.fields:
                    below.append(part.fields[name])
        return below[0] if len(below) == 1 else Schema(members=below)

    def is_unknown(self, steps: Steps) -> bool:
        """Return whether the last name of a path belongs to no class that may be there."""
        here, last = self, steps[-1]
        for step in steps[:-1]:
            here = here.step(step)
        names = here.names
        may_be_other = any(part.entries or part.is_open for part in here._parts())
        return bool(names) and not may_be_other and isinstance(last, str) and last not in names

    def show(self, steps: Steps, *, plain: bool = False) -> str:
        """Return a path as text, such as `lines[2].price`.

        Names that no class declares are contents and are hidden. With `plain`, those at the top are shown.
        """
        shown, here = "", self
        for depth, step in enumerate(steps):
            if isinstance(step, int):
                shown += f"[{step}]"
            elif is_plain_name(step) and (step in here.names or (plain and not depth)):
                shown += f".{step}"
            else:
                shown += HIDDEN
            here = here.step(step)
        return shown.removeprefix(".")

    def _parts(self) -> Iterator[Schema]:
        yield self
        for member in self.members:
            yield from member._parts()


def schema_of(codec: Codec[object]) -> Schema:
    """Return what the class of a codec declares, under the names that its converter stores."""
    return _schema(codec.fast, codec.cls, {})


def _schema(converter: Converter, kind: object, known: dict[object, Schema]) -> Schema:
    kind = stripped(kind)
    if kind in known:
        return known[kind]  # also a class inside itself
    known[kind] = schema = Schema()
    if is_union(kind):
        schema.members += [_schema(converter, member, known) for member in members(kind)]
    elif is_class(kind):
        names = written_names(converter, kind) or declared_names(kind)
        found = fields_of(kind).items()
        schema.fields = {names.get(name, name): _schema(converter, inner, known) for name, inner in found}
    elif is_mapping(kind):
        schema.entries += [_schema(converter, inner, known) for inner in get_args(kind)[1:]]
        schema.is_open = not schema.entries
    elif is_array(kind):
        inside = fields_of(kind).values() if is_namedtuple(kind) else get_args(kind)
        schema.elements += [_schema(converter, inner, known) for inner in inside]
    else:
        schema.is_open = is_mutable(kind)  # no plain value has names
    return schema
