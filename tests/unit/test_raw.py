"""Documents as bytes: split, distinguished and decoded as the driver would."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import bson
import pytest
from bson import DatetimeMS, Int64, ObjectId
from bson.binary import Binary
from bson.codec_options import DEFAULT_CODEC_OPTIONS
from bson.decimal128 import Decimal128
from hypothesis import given
from hypothesis import strategies as st

from lazymig.stores.chunks import COUNT_MAX
from lazymig.stores.documents import META_FIELD, REVISION_FIELD, holds_body, parse_v2
from lazymig.stores.heads import Ids
from lazymig.stores.raw import Undecoded, split

#: One id of every BSON type that a document's id can have.
IDS = [
    ObjectId("5ca4bbcea2dd94ee58162a68"), "text", "", "\u00e9", 5, Int64(2**40), -1, 5.5, Decimal128("1.10"), b"bytes",
    Binary.from_uuid(UUID(int=7)), True, None, datetime(1969, 1, 1), {"a": 1, "b": "x"}, bson.MinKey(), bson.MaxKey(),
    bson.Timestamp(1, 2), bson.Code("x"),
]  # fmt: skip


def undecoded(documents: list[Any]) -> Undecoded[Any]:
    """The documents as bytes."""
    return Undecoded([bson.encode(document) for document in documents], DEFAULT_CODEC_OPTIONS, dict)


@pytest.mark.parametrize("id", IDS, ids=lambda id: type(id).__name__)
def test_an_id_is_told_without_the_rest(id: Any) -> None:
    """Wherever it stands in the document, and the same key for the same id."""
    found = undecoded([{"_id": id, "x": [1, 2]}, {"x": {"_id": 9}, "_id": id}])
    assert found.ids == [bson.decode(bson.encode({"_id": id}))["_id"]] * 2
    assert len(set(found.keys)) == 1


def test_different_ids_have_different_keys() -> None:
    """Of whatever types they are."""
    assert len(set(undecoded([{"_id": id} for id in IDS]).keys)) == len(IDS)


def test_equal_numbers_have_one_key() -> None:
    """5, 5.0 and a long 5 are one id to MongoDB."""
    fives = [5, 5.0, Int64(5), Decimal128("5.00")]
    assert len(set(undecoded([{"_id": five} for five in fives]).keys)) == 1


def test_same_ids_are_recognised_by_their_bytes() -> None:
    """Two lists of documents have the same ids if these have the same bytes, in the same order."""
    ours = undecoded([{"_id": id, "n": 1} for id in IDS])
    assert ours.has_ids_of(undecoded([{"_id": id, "count": "x"} for id in IDS]))
    assert not ours.has_ids_of(undecoded([{"_id": id} for id in reversed(IDS)]))
    assert not ours.has_ids_of(undecoded([{"_id": id} for id in IDS[1:]]))
    assert not undecoded([{"_id": 5}]).has_ids_of(undecoded([{"_id": 5.0}]))


@pytest.mark.parametrize("size", [1, 2, 100])
def test_parts_are_the_whole(size: int) -> None:
    """Decoded a few at a time, they are the same documents in the same order, damaged ones among them."""
    documents = [{"_id": id, "n": 1} for id in IDS]
    damaged = bson.encode({"_id": 1, "x": "ab"}).replace(b"ab", b"\xffb")
    whole = Undecoded([*map(bson.encode, documents), damaged], DEFAULT_CODEC_OPTIONS, dict)
    parts = list(whole.parts(size))
    assert [len(part) for part in parts[:-1]] == [size] * (len(parts) - 1)
    assert [list(one) for part in parts for one in part] == [list(one) for one in whole]
    assert sum(map(len, parts)) == len(documents) + 1


def test_what_equals_nothing_has_a_key_too() -> None:
    """Not a number, in either type."""
    keys = undecoded([{"_id": id} for id in (float("nan"), Decimal128("NaN"), Decimal128("sNaN"))]).keys
    assert len(set(keys)) == 3


def test_a_date_that_python_cannot_hold_is_an_id_all_the_same() -> None:
    """Looking for ids fails on none."""
    assert undecoded([{"_id": DatetimeMS(2**60)}]).ids == [DatetimeMS(2**60)]


_DOCUMENTS = st.lists(
    st.builds(
        lambda id, text: {"_id": id, "text": text}, st.integers(-9, 9) | st.text(max_size=3), st.text(max_size=5)
    ),
    max_size=8,
)


@given(_DOCUMENTS)
def test_a_batch_is_split_into_its_documents(documents: list[Any]) -> None:
    """Equally long or not, and decoded one by one or all at once they are what they were."""
    pieces = split(b"".join(map(bson.encode, documents)))
    assert pieces == [bson.encode(document) for document in documents]
    found = Undecoded(pieces, DEFAULT_CODEC_OPTIONS, dict)
    assert list(found) == found.at_once() == documents
    assert [found[place] for place in range(len(found))] == documents


def test_in_memory_documents_are_what_they_are() -> None:
    """Nothing is decoded, and the keys are those of the same ids as bytes."""
    documents = [{"_id": 1}, {"_id": "x"}, {"_id": {"a": 1}}]
    found: Undecoded[Any] = Undecoded(documents, None, dict)
    assert found.ids == [1, "x", {"a": 1}]
    assert found.keys == undecoded(documents).keys
    assert found.at_once() == list(found) == documents


@pytest.mark.parametrize("revision", [None, 1, 127, 2**31 - 1, Int64(5), 2**40])
def test_revisions_are_read_from_the_bytes_of_ids_and_revisions(revision: int | None) -> None:
    """What a listing asks of V1: an ObjectId and lazymig's revision, which may be missing."""
    head = {"_id": IDS[0]} if revision is None else {"_id": IDS[0], REVISION_FIELD: revision}
    assert undecoded([head, {"_id": IDS[0]}]).revisions == [revision or 0, 0]


@pytest.mark.parametrize(
    "document",
    [
        {"_id": "text", REVISION_FIELD: 1}, {"_id": IDS[0], REVISION_FIELD: 1, "x": 1}, {"_id": IDS[0], "x": 1},
        {"_id": IDS[0], REVISION_FIELD: 1.0}, {"_id": IDS[0], REVISION_FIELD: -1}, {"_id": IDS[0], REVISION_FIELD: 0},
        {"_id": IDS[0], REVISION_FIELD: "1"}, {"_id": IDS[0], REVISION_FIELD: None}, {REVISION_FIELD: 1, "x": IDS[0]},
    ],
)  # fmt: skip
def test_what_another_program_has_stored_is_no_revision_by_its_bytes(document: dict[str, Any]) -> None:
    """Such documents are decoded, which knows what to make of them."""
    assert undecoded([{"_id": IDS[0]}, document]).revisions is None


def test_ids_that_stay_bytes_are_those_that_are_decoded() -> None:
    """One by one, in slices, and in the filter that finds them, which is that of the driver's own encoding."""
    ids = [ObjectId() for _ in range(COUNT_MAX)]
    found = undecoded([{"_id": id, REVISION_FIELD: 1} for id in ids]).undecoded_ids
    assert isinstance(found, Ids)
    assert list(found) == ids
    assert list(found[3:7]) == ids[3:7]
    assert bson.encode({"_id": found.make_condition()}) == bson.encode({"_id": {"$in": ids}})


@pytest.mark.parametrize("id", IDS[1:], ids=lambda id: type(id).__name__)
def test_other_ids_are_decoded(id: Any) -> None:
    """A filter is built of bytes only where each id is an ObjectId, and where one statement can name them all."""
    documents = [{"_id": IDS[0]}, {"_id": id}]
    assert not isinstance(undecoded(documents).undecoded_ids, Ids)
    assert list(undecoded(documents).undecoded_ids) == undecoded(documents).ids
    assert not isinstance(undecoded([{"_id": IDS[0]}] * (COUNT_MAX + 1)).undecoded_ids, Ids)
    in_memory = Undecoded([{"_id": IDS[0]}], None, dict)
    assert (in_memory.revisions, list(in_memory.undecoded_ids)) == (None, [IDS[0]])


@pytest.mark.parametrize(
    ("meta", "held"),
    [
        ({"rev": 3, "intent": 3}, True), ({"rev": 3, "intent": 4}, True), ({"rev": Int64(3), "intent": 3}, True),
        ({"rev": 3, "intent": 3, "conv": 2}, True), ({"rev": 3, "intent": 3, "conv": 1}, True),
        ({"rev": 2, "intent": 3}, False), ({"rev": 4, "intent": 4}, False), ({"rev": 3.0, "intent": 3}, False),
        ({"rev": True, "intent": 3}, False), ({"rev": 3}, False), ({"intent": 3}, False), ([], False), (None, False),
        ({"rev": 3, "intent": 3.0}, False), ({"rev": 3, "intent": 3, "gone": True}, False),
        ({"rev": 3, "intent": 3, "conv": 0}, False), ({"rev": 3, "intent": 3, "conv": "1"}, False),
    ],
)  # fmt: skip
def test_a_body_is_held_where_the_meta_data_say_so(meta: Any, held: bool) -> None:
    """The short way never says more than the long one."""
    document = {"_id": 1, META_FIELD: meta}
    assert holds_body(document, 3, 1) is held
    if held:
        stored = parse_v2(document)
        assert (stored.revision, stored.gone, stored.conv >= 1) == (3, False, True)
    assert not holds_body(document, 3, 9)
