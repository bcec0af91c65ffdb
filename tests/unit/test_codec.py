"""Entity to document and back, and which fields a write sets and unsets."""

from __future__ import annotations

from copy import deepcopy
from typing import Any
from uuid import UUID

import pytest
from attrs import frozen
from bson import Binary, Int64
from cattrs.gen import make_dict_unstructure_fn, override
from hypothesis import given, settings
from hypothesis import strategies as st

from lazymig import make_converter
from lazymig.shapes.changes import changes, needs_stored
from lazymig.shapes.codec import codec_for, failure_path
from lazymig.stores.documents import decode_id, parse_v1, parse_v2, raw_id
from tests.people import PersonV1


@frozen
class Street:
    name: str
    numbers: list[int]


@frozen
class House:
    id: int
    street: Street
    others: dict[str, Street]


HOUSES = codec_for(House, "id", None, tz_aware=False)
HOUSE = {"_id": 1, "street": {"name": "x", "numbers": [1]}, "others": {"secret": {"name": "y", "numbers": []}}}


def test_the_id_is_under_id_in_entities_and_under_underscore_id_in_documents() -> None:
    """The document that is encoded has neither: the store sets `_id`."""
    codec = codec_for(PersonV1, "id", None, tz_aware=False)
    entity = codec.decode({"_id": 5, "name": "x", "unknown": 1, "_lazymig_rev": 3})
    assert entity == PersonV1(5, "x")
    assert codec.encode(entity) == {"name": "x", "age": None, "tags": []}
    assert codec.id_of(entity) == 5
    assert codec.fields == ("name", "age", "tags")


def test_the_id_may_have_another_name() -> None:
    """An attribute that happens to be called `id` is then an ordinary field."""

    @frozen
    class Keyed:
        key: UUID
        id: int

    codec = codec_for(Keyed, "key", None, tz_aware=False)
    entity = codec.decode({"_id": Binary.from_uuid(UUID(int=1)), "id": 5})
    assert entity == Keyed(UUID(int=1), 5)
    assert codec.encode(entity) == {"id": 5}
    assert codec.id_of(entity) == Binary.from_uuid(UUID(int=1))
    assert codec.fields == ("id",)


def test_an_entity_is_read_among_fields_of_others() -> None:
    """As from a document of its own; not where a field does not fit or is missing, or only the converter reads."""
    others = {"_lazymig": {"rev": 3}, "city": "x", "name": object()}
    assert HOUSES.decode_among({**others, **HOUSE}) == HOUSES.decode(HOUSE)
    assert HOUSES.decode_among({**others, **HOUSE, "street": 5}) is None
    assert HOUSES.decode_among({**others, "_id": 1, "street": HOUSE["street"]}) is None
    by_converter = codec_for(House, "id", make_converter(), tz_aware=False)
    assert by_converter.decode(HOUSE) == HOUSES.decode(HOUSE)
    assert by_converter.decode_among(HOUSE) is None


def test_a_class_gets_its_converters_once() -> None:
    """Those for another time zone setting are others, and nobody gets those of a user's own."""
    first, second = (codec_for(PersonV1, "id", None, tz_aware=False) for _ in range(2))
    assert (first.fast, first.detailed) == (second.fast, second.detailed)
    aware, own = codec_for(PersonV1, "id", None, tz_aware=True), make_converter()
    assert {aware.fast, aware.detailed}.isdisjoint({first.fast, first.detailed})
    assert codec_for(PersonV1, "id", own, tz_aware=False).fast is own
    assert codec_for(House, "id", None, tz_aware=False).fast is not first.fast


def test_fields_have_the_names_of_a_converters_overrides_too() -> None:
    """What a new body lacks must be unset under the name that it is stored by."""
    own = make_converter()
    own.register_unstructure_hook(PersonV1, make_dict_unstructure_fn(PersonV1, own, name=override(rename="fullName")))
    codec = codec_for(PersonV1, "id", own, tz_aware=False)
    assert "fullName" in codec.encode(PersonV1(1, "x"))
    assert set(codec.encode(PersonV1(1, "x"))) <= set(codec.fields)


@pytest.mark.parametrize(
    ("changed", "path"),
    [
        ({"street": {"name": 5, "numbers": [1]}}, "street.name"),
        ({"street": {"name": "x", "numbers": [1, 2, "3"]}}, "street.numbers[2]"),
        ({"street": {"name": "x"}}, "street.numbers"),
        ({"street": "x"}, "street"),
        ({"others": {"secret": {"name": "y", "numbers": ["x"]}}}, "others[...].numbers[0]"),
        ({"others": 5}, "others"),
        ({"_id": "x"}, "id"),
    ],
    ids=repr,
)
def test_the_path_of_a_failure_leads_to_the_field(changed: dict[str, Any], path: str) -> None:
    """Attributes and positions are shown; the key of a mapping is contents, and is not."""
    with pytest.raises(Exception, match=r".") as caught:
        HOUSES.decode(HOUSE | changed)
    assert failure_path(caught.value) == path


def test_an_error_without_notes_has_no_path() -> None:
    """A converter of one's own may know nothing of paths."""
    assert failure_path(ValueError("x")) == ""


def test_ids_are_compared_in_one_form() -> None:
    """A UUID is its standard binary, a binary of subtype 0 plain bytes; the rest is itself."""
    uuid = UUID(int=1)
    assert raw_id(uuid) == Binary.from_uuid(uuid)
    assert decode_id(raw_id(uuid)) == uuid
    assert type(raw_id(Binary(b"x"))) is bytes
    assert raw_id(Binary(b"x", 5)) == Binary(b"x", 5)
    assert [decode_id(raw_id(id)) for id in (1, "x", b"x")] == [1, "x", b"x"]


def test_a_stored_time_is_naive_utc_whatever_the_client_returns() -> None:
    """An aware client, in a time zone of its own even, gives the same moment."""
    import datetime as dt

    noon = dt.datetime(2024, 5, 1, 12)
    for at in (
        noon,
        noon.replace(tzinfo=dt.UTC),
        noon.replace(tzinfo=dt.UTC).astimezone(dt.timezone(dt.timedelta(hours=5))),
    ):
        assert parse_v2({"_id": 1, "_lazymig": {"rev": 1, "intent": 2, "at": at}}).at == noon
    assert parse_v2({"_id": 1, "_lazymig": {"rev": 1, "intent": 1}}).at is None
    assert parse_v1({"_id": 1}).revision == 0


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (1, 1.0),
        (1.0, 1),
        (1, True),
        (False, 0),
        (0.0, -0.0),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ([{"a": 1, "b": 2}], [{"b": 2, "a": 1}]),
        ([1], [1.0]),
        (b"x", Binary(b"x", 5)),
        ("1", 1),
        (None, 0),
        (5, Int64(5)),
        ([1, 2], [2, 1]),
    ],
    ids=repr,
)
def test_what_bson_takes_for_different_is_a_change(before: Any, after: Any) -> None:
    """Python takes 1, 1.0 and True for equal, and dictionaries in any order; BSON does not."""
    changed, vanished, within = changes({"x": before}, {"x": after})
    assert list(changed) == ["x"]
    assert changed["x"] is after
    assert (vanished, within) == ([], [])


def test_what_is_the_same_is_not_written() -> None:
    """Fields that did not change stay as V1 has them, even where they were spelled differently there."""
    before = {"a": 1, "b": {"x": [1.5, None]}, "gone": 3, "null": None}
    after = {"null": None, "b": {"x": [1.5, None]}, "a": 1, "new": None}
    assert changes(before, after) == ({"new": None}, ["gone"], [])
    assert changes({}, {}) == ({}, [], [])


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ({"x": 1, "y": 1}, {"x": 2, "y": 1}, ({"a.x": 2}, [], ["a"])),
        ({"x": 1, "y": 1}, {"x": 1, "z": 1}, ({"a.z": 1}, ["a.y"], ["a"])),
        ({}, {"x": 1}, ({"a.x": 1}, [], ["a"])),
        ({"x": 1}, {}, ({}, ["a.x"], ["a"])),
        ({"x": {"y": 1}}, {"x": {"y": 2}}, ({"a.x.y": 2}, [], ["a", "a.x"])),
        ({"x": {"y": 1}}, {"x": {}}, ({}, ["a.x.y"], ["a", "a.x"])),
        ({"x": {"y": 1}}, {"x": None}, ({"a.x": None}, [], ["a"])),
        ({"x": [{"y": 1}]}, {"x": [{"y": 2}]}, ({"a.x": [{"y": 2}]}, [], ["a"])),
        ({"0": 1}, {"0": 2}, ({"a.0": 2}, [], ["a"])),
        ({"x": 1}, None, ({"a": None}, [], [])),
        (None, {"x": 1}, ({"a": {"x": 1}}, [], [])),
        ({"x.y": 1, "z": 1}, {"x.y": 1, "z": 2}, ({"a.z": 2}, [], ["a"])),
        ({"x": {"y": 1, "z": 1}}, {"x": {"z": 1, "y": 1}}, ({"a.x": {"z": 1, "y": 1}}, [], ["a"])),
        *[({"b": {key: 1}}, {"b": {key: 2}}, ({"a.b": {key: 2}}, [], ["a"])) for key in ("", "x.y", "$x", "x\0")],
        *[({"b": {key: 1}}, {"b": {}}, ({"a.b": {}}, [], ["a"])) for key in ("", ".", "$", "\0")],
        *[({"b": {}}, {"b": {key: {}}}, ({"a.b": {key: {}}}, [], ["a"])) for key in ("", ".", "$", "\0")],
        ({"b": {"": {"x": 1}}}, {"b": {"": {"x": 2}}}, ({"a.b": {"": {"x": 2}}}, [], ["a"])),
    ],
    ids=repr,
)
def test_of_a_sub_document_only_the_parts_that_changed_are_written(before: Any, after: Any, told: Any) -> None:
    """By their paths. An array, another order, and what no path can name: the smallest document around it, whole."""
    assert changes({"a": before, "b": 1}, {"a": after, "b": 1}) == told


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"x": 1}, {"x": 1, "b": 1, "a": 1}),
        ({"x": 1}, {"a": 1, "x": 1}),
        ({}, {"10": 1, "9": 1}),
        ({"x": {}}, {"x": {"b": 1, "a": 1}}),
    ],
    ids=repr,
)
def test_new_names_that_paths_would_set_in_another_order(before: Any, after: Any) -> None:
    """Whole, once V1 is known to hold nothing else there; by paths where it does, and where it was not read."""
    assert needs_stored({"a": before}, {"a": after})
    by_paths = changes({"a": before}, {"a": after})
    assert changes({"a": before}, {"a": after}, {"a": before}) != by_paths
    beside = before | {"x": before["x"] | {"unknown": 1}} if before == {"x": {}} else before | {"unknown": 1}
    assert changes({"a": before}, {"a": after}, {"a": beside}) == by_paths


def test_new_names_in_the_servers_order_are_set_by_paths() -> None:
    """As are single ones at the end, and what only goes."""
    for before, after in (({"x": 1}, {"x": 1, "a": 1, "b": 1}), ({}, {"z": 1}), ({"a": 1, "b": 1}, {"b": 1})):
        assert not needs_stored({"a": before}, {"a": after})
        assert changes({"a": before}, {"a": after}, {"a": before}) == changes({"a": before}, {"a": after})


@pytest.mark.parametrize("key", ["", "a.x", "$a", "a\0"])
def test_a_top_level_name_that_is_no_path_makes_all_whole(key: str) -> None:
    """As long as it changes; so that no path in one update can be the beginning of another."""
    assert changes({key: 1, "a": {"x": 1}}, {key: 1, "a": {"x": 2}}) == ({"a.x": 2}, [], ["a"])
    assert changes({key: 1, "a": {"x": 1}}, {key: 2, "a": {"x": 2}}) == ({key: 2, "a": {"x": 2}}, [], [])


@pytest.mark.parametrize(
    ("stored", "told"),
    [
        ({"a": {"x": {"unknown": 1}}}, ({"a.x.y": 2}, [], ["a", "a.x"])),
        ({"a": {"unknown": 1}}, ({"a.x": {"y": 2, "z": 1}}, [], ["a"])),
        *[({"a": {"x": x}}, ({"a.x": {"y": 2, "z": 1}}, [], ["a"])) for x in (None, "text", [], [{"y": 1}])],
        *[({"a": a}, ({"a": {"x": {"y": 2, "z": 1}}}, [], [])) for a in (None, 5, [{"x": {}}])],
        ({}, ({"a": {"x": {"y": 2, "z": 1}}}, [], [])),
    ],
    ids=repr,
)
def test_a_sub_document_that_v1_does_not_hold_is_set_whole(stored: Any, told: Any) -> None:
    """Where V1's document is known: a conversion made something of its null, array, scalar, or nothing at all."""
    before, after = {"a": {"x": {"y": 1, "z": 1}}}, {"a": {"x": {"y": 2, "z": 1}}}
    assert changes(before, after, stored) == told
    assert changes(before, before, stored) == ({}, [], [])


def _values(keys: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    return st.recursive(
        st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from([0.0, 1.0, 2.5]) | st.sampled_from("ab"),
        lambda inner: st.lists(inner, max_size=2) | _documents(keys, inner),
        max_leaves=6,
    )


def _documents(keys: st.SearchStrategy[str], values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    # In one order, for another order is another document.
    return st.dictionaries(keys, values, max_size=3).map(lambda document: dict(sorted(document.items())))


NAMES = st.sampled_from("abc")
DOCUMENTS = _documents(NAMES, _values(NAMES))
AWKWARD = _documents(NAMES, _values(st.sampled_from(("a", "0", "", "a.b", "$set", "$", "."))))


def _applied(document: Any, changed: dict[str, Any], vanished: list[str], within: list[str]) -> Any:
    """What the server makes of it, or an error where it would refuse it."""
    paths = [*changed, *vanished]
    assert len(set(paths)) == len(paths)
    assert not any(one.startswith(f"{other}.") for one in paths for other in paths)
    made = deepcopy(document)
    assert all(isinstance(_at(made, path.split(".")), dict) for path in within)
    for path in paths:
        *parents, last = path.split(".")
        assert not parents or ".".join(parents) in within
        assert last
        assert last[0] != "$"
        parent = _at(made, parents)
        parent.pop(last) if path in vanished else parent.update({last: deepcopy(changed[path])})
    return made


def _at(document: Any, names: list[str]) -> Any:
    for name in names:
        document = document[name]
    return document


def _typed(value: Any) -> Any:
    """Equal where BSON is, but for the order of fields."""
    if isinstance(value, dict):
        return {name: _typed(inner) for name, inner in value.items()}
    return [_typed(inner) for inner in value] if isinstance(value, list) else (type(value), value)


@settings(max_examples=100, deadline=None, print_blob=True)
@given(AWKWARD, AWKWARD)
def test_changes_turn_one_document_into_the_other(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Whatever the keys; and what did not change is not written, at any depth."""
    changed, vanished, within = changes(before, after)
    assert _typed(_applied(before, changed, vanished, within)) == _typed(after)
    assert changes(after, after) == ({}, [], [])


def _beside(document: Any, draw: Any) -> Any:
    """The document with unknown fields at any depth, outside of arrays."""
    if not isinstance(document, dict):
        return document
    more = draw(st.dictionaries(st.sampled_from(("u", "v")), st.integers() | st.just({"w": [1]}), max_size=2))
    return {name: _beside(inner, draw) for name, inner in document.items()} | more


def _expected(stored: Any, before: Any, after: Any) -> Any:
    """The document wanted, with the unknown fields that still have a place."""
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return after
    known = {name: _expected(stored.get(name), before.get(name), inner) for name, inner in after.items()}
    return known | {name: inner for name, inner in stored.items() if name not in before}


@settings(max_examples=100, deadline=None, print_blob=True)
@given(DOCUMENTS, DOCUMENTS, st.data(), st.booleans())
def test_unknown_fields_stay_wherever_they_still_have_a_place(
    before: dict[str, Any], after: dict[str, Any], data: st.DataObject, read: bool
) -> None:
    """At any depth outside of arrays, whether V1's document was read or not."""
    stored = _beside(before, data.draw)
    made = _applied(stored, *changes(before, after, stored if read else None))
    assert _typed(made) == _typed(_expected(stored, before, after))
