"""The laws of one document that carries both shapes: what both share is not changed, and both fit into 16 MB."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve, frozen
from hypothesis import strategies as st

from lazymig import ConfigurationError, Migration, make_converter
from lazymig.testing import LawBroken, assert_laws
from lazymig.testing.law import SHARED, SIZE_OF_BOTH


@frozen
class StaffV1:
    id: int
    name: str
    age: int | None = None
    rooms: tuple[int, ...] = ()


@frozen
class StaffV2:
    id: int
    full_name: str
    age: int | None = None
    rooms: tuple[int, ...] = ()


def upgrade(v1: StaffV1) -> StaffV2:
    return StaffV2(v1.id, v1.name, v1.age, v1.rooms)


def downgrade(v2: StaffV2) -> StaffV1:
    return StaffV1(v2.id, v2.full_name, v2.age, v2.rooms)


def staff(**changed: Any) -> Migration[StaffV1, StaffV2]:
    """The migration, with any of its fields changed."""
    return Migration(
        **{"name": "staff", "v1": StaffV1, "v2": StaffV2, "upgrade": upgrade, "downgrade": downgrade} | changed
    )


@pytest.mark.parametrize("options", [{}, {"v2_within": "new"}], ids=repr)
def test_a_migration_that_leaves_alone_what_is_shared_is_fine(options: Any) -> None:
    """At the top and in a sub-document, where nothing is shared."""
    assert_laws(staff(**options), in_place=True, examples=20)


def older(v1: StaffV1) -> StaffV2:
    return evolve(upgrade(v1), age=(v1.age or 0) % 100 + 1)


def younger(v2: StaffV2) -> StaffV1:
    return evolve(downgrade(v2), age=0) if v2.full_name == "y" else downgrade(v2)


def first_room(v1: StaffV1) -> StaffV2:
    return evolve(upgrade(v1), rooms=v1.rooms[::-1])


@pytest.mark.parametrize(
    ("options", "path"),
    [({"upgrade": older}, "age"), ({"downgrade": younger}, "age"),
     ({"upgrade": first_room, "downgrade": lambda v2: evolve(downgrade(v2), rooms=v2.rooms[::-1])}, "rooms")],
    ids=["upgrade", "downgrade", "both, which come back"],
)  # fmt: skip
def test_a_conversion_that_changes_what_is_shared_is_shown(options: dict[str, Callable[..., Any]], path: str) -> None:
    """At its field, with both values and what to do; in a sub-document, nothing is shared."""
    v1 = st.builds(StaffV1, st.just(1), st.just("x"), st.integers(0, 9), st.just((1, 2)))
    v2 = st.builds(StaffV2, st.just(1), st.just("y"), st.integers(1, 9), st.just((1, 2)))
    with pytest.raises(LawBroken, match=r"V1 has .* and V2 has .*; let both .*pass Migration\(v2_within") as caught:
        assert_laws(staff(**options), v1=v1, v2=v2, in_place=True, examples=5)
    assert (caught.value.law, caught.value.path) == (SHARED, path)
    if path == "rooms":
        assert_laws(staff(**options, v2_within="new"), v1=v1, v2=v2, in_place=True, examples=5)
        assert_laws(staff(**options), v1=v1, v2=v2, examples=5)


def test_documents_without_a_shared_field_need_the_same_default() -> None:
    """V1 reads its default, and V2 would read its own, or none."""

    @frozen
    class Other:
        id: int
        full_name: str
        age: int | None
        rooms: tuple[int, ...] = ()

    options: dict[str, Any] = {
        "v2": Other, "upgrade": lambda v1: Other(v1.id, v1.name, v1.age, v1.rooms),
        "downgrade": lambda v2: StaffV1(v2.id, v2.full_name, v2.age, v2.rooms),
    }  # fmt: skip
    v2 = st.builds(Other, st.just(1), st.just("x"), st.just(5))
    whole, lacking = {"_id": 1, "name": "x", "age": None, "rooms": []}, {"_id": 1, "name": "x", "rooms": []}
    assert_laws(staff(**options), v1=st.just(whole), v2=v2, in_place=True, examples=2)
    with pytest.raises(LawBroken, match=r"V1 has 'no such field' and V2 has None; let both") as caught:
        assert_laws(staff(**options), v1=st.just(lacking), v2=v2, in_place=True, examples=2)
    assert (caught.value.law, caught.value.path) == (SHARED, "age")
    assert_laws(
        staff(), v1=st.just(lacking), v2=st.builds(StaffV2, st.just(1), st.just("x")), in_place=True, examples=2
    )


def test_converters_that_store_what_is_shared_in_two_ways_are_shown() -> None:
    """V2 would have to read what V1's converter stores."""
    converter = make_converter()
    converter.register_unstructure_hook(int, str)
    converter.register_structure_hook(int, lambda value, _: int(value))
    v1 = st.builds(StaffV1, st.just(1), st.just("x"), st.just(5))
    v2 = st.builds(StaffV2, st.just(1), st.just("x"), st.just(5))
    with pytest.raises(LawBroken) as caught:
        assert_laws(staff(v1_converter=converter), v1=v1, v2=v2, in_place=True, examples=5)
    assert (caught.value.law, caught.value.path) == (SHARED, "age")


def test_both_shapes_together_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each fits into a document, and both do not."""
    monkeypatch.setattr("lazymig.testing.sharing.DOCUMENT_BYTES_MAX", 400)
    names = st.just("x" * 150)
    v1, v2 = st.builds(StaffV1, st.just(1), names), st.builds(StaffV2, st.just(1), names)
    with pytest.raises(LawBroken, match=r"4\d\d bytes") as caught:
        assert_laws(staff(), v1=v1, v2=v2, in_place=True, examples=1)
    assert caught.value.law == SIZE_OF_BOTH


def test_a_name_that_means_two_things_is_no_law() -> None:
    """It is refused as the repository refuses it."""

    @frozen
    class Other:
        id: int
        full_name: str
        age: str = ""

    with pytest.raises(ConfigurationError, match="'age' means two things"):
        assert_laws(staff(v2=Other, upgrade=lambda one: one, downgrade=lambda one: one), in_place=True)
