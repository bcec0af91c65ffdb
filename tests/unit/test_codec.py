"""Entity to document and back, and which fields a write sets and unsets."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from attrs import frozen
from bson import Binary, Int64
from cattrs.gen import make_dict_unstructure_fn, override
from hypothesis import given, settings
from hypothesis import strategies as st

from lazymig import make_converter
from lazymig.codec import changes, check_bson, codec_for, decode_id, failure_path
from lazymig.documents import raw_id, stored_v1, stored_v2
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
        assert stored_v2({"_id": 1, "_lazymig": {"rev": 1, "intent": 2, "at": at}}).at == noon
    assert stored_v2({"_id": 1, "_lazymig": {"rev": 1, "intent": 1}}).at is None
    assert stored_v1({"_id": 1}).revision == 0


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
    changed, vanished = changes({"x": before}, {"x": after})
    assert list(changed) == ["x"]
    assert changed["x"] is after
    assert vanished == []


def test_what_is_the_same_is_not_written() -> None:
    """Fields that did not change stay as V1 has them, even where they were spelled differently there."""
    before = {"a": 1, "b": {"x": [1.5, None]}, "gone": 3, "null": None}
    after = {"null": None, "b": {"x": [1.5, None]}, "a": 1, "new": None}
    assert changes(before, after) == ({"new": None}, ["gone"])
    assert changes({}, {}) == ({}, [])


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from([0.0, 1.0, 2.5]) | st.sampled_from("ab"),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("xy"), inner, max_size=2),
    max_leaves=4,
)
DOCUMENTS = st.dictionaries(st.sampled_from("abc"), VALUES)


@settings(max_examples=60, deadline=None, print_blob=True)
@given(DOCUMENTS, DOCUMENTS)
def test_changes_turn_one_document_into_the_other(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Set and unset as told, and the encoded fields are the other document's, each byte."""
    changed, vanished = changes(before, after)
    made = {key: value for key, value in (before | changed).items() if key not in vanished}
    assert {key: _encoded(value) for key, value in made.items()} == {k: _encoded(v) for k, v in after.items()}
    assert all(key not in before or _encoded(before[key]) != _encoded(changed[key]) for key in changed)


def _encoded(value: Any) -> bytes:
    import bson

    return bson.encode({"": value})


def test_what_the_driver_would_refuse_is_refused_before() -> None:
    """The check is the driver's own encoder."""
    check_bson({"a": 1})
    with pytest.raises(OverflowError):
        check_bson({"a": 2**64})
