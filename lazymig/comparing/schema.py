"""What a class declares about its documents: which names in a path are schema, and which are contents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from attrs import define, field
from cattrs import Converter

from lazymig.comparing.differences import Steps, is_plain_name
from lazymig.shapes.annotations import fields_of, is_class, is_namedtuple, is_union, members, stripped
from lazymig.shapes.codec import Codec
from lazymig.shapes.entities import declared_names
from lazymig.shapes.stored_names import written_names
from lazymig.shapes.unions import is_array, is_mapping

#: A name that is contents, such as the key of a map.
HIDDEN = "[...]"


@define(eq=False)
class Schema:
    """The declared names of the values at one place: those of each class there, and of what else may be there."""

    #: One mapping of stored names per class.
    classes: list[Mapping[str, Schema]] = field(factory=list)
    #: The elements of arrays, and the values of maps.
    elements: list[Schema] = field(factory=list)
    entries: list[Schema] = field(factory=list)
    #: Whether documents of no declared class may be there.
    is_open: bool = False

    @property
    def names(self) -> frozenset[str]:
        """The declared names."""
        return frozenset(name for names in self.classes for name in names)

    def declares(self, name: str) -> bool:
        """Return whether a class here has a field that is stored under this name."""
        return any(name in names for names in self.classes)

    def step(self, name: str | int) -> Schema:
        """Return what is declared below a name or at a place of an array."""
        if isinstance(name, int):
            return _merged(self.elements)
        declared = [names[name] for names in self.classes if name in names]
        return _merged([*declared, *self.entries])

    def is_unknown(self, steps: Steps) -> bool:
        """Return whether the last name of a path belongs to no class that may be there."""
        here, last = self._above(steps), steps[-1]
        is_of_class = bool(here.classes) and not here.entries and not here.is_open
        return is_of_class and isinstance(last, str) and not here.declares(last)

    def show(self, steps: Steps, *, plain: bool = False) -> str:
        """Return a path as text, such as `lines[2].price`.

        Names that no class declares are contents and are hidden. With `plain`, those at the top are shown.
        """
        shown, here = "", self
        for depth, step in enumerate(steps):
            if isinstance(step, int):
                shown += f"[{step}]"
            elif is_plain_name(step) and (here.declares(step) or (plain and not depth)):
                shown += f".{step}"
            else:
                shown += HIDDEN
            here = here.step(step)
        return shown.removeprefix(".")

    def _above(self, steps: Steps) -> Schema:
        here = self
        for step in steps[:-1]:
            here = here.step(step)
        return here


def _merged(found: list[Schema]) -> Schema:
    if len(found) == 1:
        return found[0]
    merged = Schema()
    for one in found:
        merged.classes += one.classes
        merged.elements += one.elements
        merged.entries += one.entries
        merged.is_open = merged.is_open or one.is_open
    return merged


def schema_of(codec: Codec[object]) -> Schema:
    """Return what the class of a codec declares, under the names that its converter stores."""
    return _schema(codec.fast, codec.cls, {})


def _schema(converter: Converter, kind: object, known: dict[object, Schema]) -> Schema:
    kind = stripped(kind)
    if kind in known:
        return known[kind]  # also a class inside itself
    known[kind] = schema = Schema()
    if is_union(kind):
        merged = _merged([_schema(converter, member, known) for member in members(kind)])
        schema.classes, schema.elements = merged.classes, merged.elements
        schema.entries, schema.is_open = merged.entries, merged.is_open
    elif is_class(kind):
        names = written_names(converter, kind) or declared_names(kind)
        fields = fields_of(kind).items()
        schema.classes.append({names.get(name, name): _schema(converter, inner, known) for name, inner in fields})
    elif is_mapping(kind):
        schema.entries += [_schema(converter, inner, known) for inner in get_args(kind)[1:]]
        schema.is_open = not schema.entries
    elif is_array(kind):
        inside = fields_of(kind).values() if is_namedtuple(kind) else get_args(kind)
        schema.elements += [_schema(converter, inner, known) for inner in inside]
    else:
        schema.is_open = True
    return schema
