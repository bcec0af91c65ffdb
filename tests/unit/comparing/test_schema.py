"""Paths in reports: declared names are shown, and what documents themselves name is hidden."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, Optional

import pytest
from attrs import field, frozen
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from lazymig import make_converter, rename
from lazymig.comparing.schema import schema_of
from lazymig.shapes.codec import codec_for


class Pair(NamedTuple):
    left: Any
    right: dict[str, int]


class Extra(TypedDict):
    depth: int


class Model(BaseModel):
    inner: Optional[Model] = None  # noqa: UP045 - quoted
    size: int = Field(alias="Size")


@frozen
class Cat:
    kind: Literal["cat"]
    lives: int


@frozen
class Dog:
    kind: Literal["dog"]
    tricks: dict[str, list[Cat]]


@frozen
class Zoo:
    id: int
    pet: Cat | Dog | None
    pets: list[Cat | Dog]
    by_name: dict[str, Dog]
    pair: Pair
    model: Model
    extra: Extra
    anything: Any
    bare: dict[str, Any]
    renamed: int = field(default=0)


rename(Zoo, renamed="Re Named")
SCHEMA = schema_of(codec_for(Zoo, "id", None, tz_aware=False))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("steps", "shown", "is_unknown"),
    [
        (("pet", "lives"), "pet.lives", False),
        (("pet", "tricks", "roll", 0, "lives"), "pet.tricks[...][0].lives", False),
        (("pet", "colour"), "pet[...]", True),
        (("pets", 3, "kind"), "pets[3].kind", False),
        (("pets", 3, "size"), "pets[3][...]", True),
        (("by_name", "rex"), "by_name[...]", False),
        (("by_name", "rex", "kind"), "by_name[...].kind", False),
        (("by_name", "rex", "x"), "by_name[...][...]", True),
        (("by_name", "kind"), "by_name[...]", False),
        (("pair", 1, "a"), "pair[1][...]", False),
        (("model", "inner", "inner", "Size"), "model.inner.inner.Size", False),
        (("model", "size"), "model[...]", True),
        (("extra", "depth"), "extra.depth", False),
        (("extra", "more"), "extra[...]", True),
        (("anything", "a", 0, "b"), "anything[...][0][...]", False),
        (("bare", "a"), "bare[...]", False),
        (("Re Named",), "Re Named", False),
        (("renamed",), "[...]", True),
        ((), "", None),
    ],
)
def test_paths(steps: Any, shown: str, is_unknown: bool | None) -> None:
    """Declared names are shown at any depth, keys of maps and undeclared names never."""
    assert SCHEMA.show(steps) == shown
    assert is_unknown is None or SCHEMA.is_unknown(steps) is is_unknown


def test_names_at_the_top_are_shown_by_choice() -> None:
    """Undeclared names at the top may be shown, unless a terminal would obey them; those below never are."""
    assert SCHEMA.show(("legacy",), plain=True) == "legacy"
    assert SCHEMA.show(("leg\x1bacy",), plain=True) == "[...]"
    assert SCHEMA.show(("legacy", "a"), plain=True) == "legacy[...]"


def test_names_that_only_a_hook_knows() -> None:
    """Where a hook of the user's own writes a class, its declared names count."""
    converter = make_converter()
    converter.register_unstructure_hook(Cat, lambda cat: {"kind": cat.kind, "n": cat.lives})
    schema = schema_of(codec_for(Zoo, "id", converter, tz_aware=False))  # type: ignore[arg-type]
    assert [schema.show(("pet", name)) for name in ("lives", "n")] == ["pet.lives", "pet[...]"]


def test_what_a_hook_reads_may_hold_other_documents() -> None:
    """Where a hook of the user's own reads a class or anything else, no name below is unknown to V1."""

    @frozen
    class Holder:
        id: int
        mixed: Cat | Any

    converter = make_converter()
    converter.register_structure_hook_func(lambda kind: kind == Cat | Any, lambda value, _: value)
    converter.register_unstructure_hook_func(lambda kind: kind == Cat | Any, lambda value: value)
    schema = schema_of(codec_for(Holder, "id", converter, tz_aware=False))  # type: ignore[arg-type]
    assert [schema.show(("mixed", name)) for name in ("lives", "x")] == ["mixed.lives", "mixed[...]"]
    assert not schema.is_unknown(("mixed", "x"))
