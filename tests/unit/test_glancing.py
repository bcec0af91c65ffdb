"""Seeing from the bytes of a document that its V2 part is current says the same as the decoded document, or nothing."""

from __future__ import annotations

from random import Random
from typing import Any

import bson
import pytest
from bson import Binary, DatetimeMS, Decimal128, Int64, ObjectId
from mongomock_motor import AsyncMongoMockClient

from lazymig.protocol.in_place.glancing import is_clearly_current
from lazymig.protocol.in_place.parts import Parts
from lazymig.stores.decoding import decode
from lazymig.stores.elements import make_document
from lazymig.stores.whole_documents import parse_whole
from tests.places import filled, place_of, place_repository
from tests.sweeps import thing, things

SEED = 20_261_127
PLACE = place_of(place_repository(AsyncMongoMockClient()["nowhere"]))
VALUES: list[Any] = [
    *(0, 1, -1, 2**31, 2**40, Int64(1), 1.5, float("nan"), True, None, "", "text", "ü", b"bytes", Binary(b"x", 9)),
    *(ObjectId(b"a" * 12), Decimal128("1.50"), DatetimeMS(0), {}, {"a": {"b": [1, None, {}]}}, [], [1, "two"]),
]


def is_current(raw: bytes) -> bool:
    """Whether the decoded document says that nothing is to be stored."""
    parts = Parts(PLACE, parse_whole(decode(raw, bson.DEFAULT_CODEC_OPTIONS)))
    return parts.alone or parts.is_current


def test_what_is_current_is_seen() -> None:
    """A V2 part that was stored for these V1 fields is seen from the bytes, whatever their values and their order."""
    for value in VALUES:
        document = filled(thing(1, value))
        shuffled = dict(reversed(document.items()))
        for one in (document, shuffled):
            raw = bson.encode(one)
            assert is_clearly_current(PLACE, raw), value
            assert is_current(raw)


def test_what_is_not_is_never_seen() -> None:
    """Whatever is changed, the bytes never say more than the decoded document does."""
    print("seed", SEED)
    random, seen = Random(SEED), 0
    for _ in range(2000):
        document = filled(thing(1, random.choice(VALUES)))
        for _ in range(random.randrange(3)):
            name = random.choice(["n", "code", "colour", "count", "note", "_lazymig", "_lazymig.of", "_lazymig.rev"])
            top, _, inner = name.partition(".")
            if inner and isinstance(document[top], dict):
                document[top] = {**document[top], inner: random.choice(VALUES)}
            elif random.random() < 0.3:
                document.pop(top, None)
                document.setdefault("_lazymig", 1)
            else:
                document[top] = random.choice(VALUES)
        raw = bson.encode(document)
        clearly = is_clearly_current(PLACE, raw)
        seen += clearly
        assert not clearly or is_current(raw), document
    assert 400 < seen < 1600


def test_older_conversions_and_the_truth() -> None:
    """A V2 part of an older conversion is not current for a newer release; one that is the truth always is."""
    newer = place_of(place_repository(AsyncMongoMockClient()["nowhere"], migration=things(revision=2)))
    document = filled(thing(1))
    assert not is_clearly_current(newer, bson.encode(document))
    document["_lazymig"]["conv"] = 2
    assert is_clearly_current(newer, bson.encode(document))
    assert is_clearly_current(PLACE, bson.encode(document))  # a newer release made it
    document["n"] = 99
    assert not is_clearly_current(PLACE, bson.encode(document))
    document["_lazymig"]["alone"] = "things"
    assert is_clearly_current(PLACE, bson.encode(document))


def test_rare_values_are_left_to_the_decoded_document() -> None:
    """A symbol, which Python reads as a string, is current by its decoded value, and the bytes say nothing of it."""
    document = filled(thing(1, "text"))
    raw = bson.encode({name: value for name, value in document.items() if name != "n"})
    symbol = make_document(0x0E, b"n", (5).to_bytes(4, "little") + b"text\0")[4:-1]
    body = raw[4:-1] + symbol
    odd = (len(body) + 5).to_bytes(4, "little") + body + b"\0"
    assert not is_clearly_current(PLACE, odd)
    assert is_current(odd)


def test_what_python_cannot_hold_is_left_to_the_decoded_document() -> None:
    """Text that is not UTF-8 counts by its bytes in the fingerprint, which is not that of the document's bytes."""
    document = decode(_with_damage(thing(1, "x")), bson.DEFAULT_CODEC_OPTIONS)
    of = PLACE.shape.fingerprint(document)
    raw = _with_damage({**thing(1, "x"), "_lazymig": {"rev": 0, "of": of}})
    assert not is_clearly_current(PLACE, raw)
    assert is_current(raw)


def _with_damage(document: dict[str, Any]) -> bytes:
    """A document whose text `x` is not UTF-8."""
    raw = bson.encode(document)
    assert b"\x02\0\0\0x\0" in raw
    return raw.replace(b"\x02\0\0\0x\0", b"\x02\0\0\0\xff\0")


@pytest.mark.parametrize("meta", [1, [], {"rev": "x"}, {}])
def test_odd_meta_data_are_no_proof(meta: Any) -> None:
    """Meta data that lazymig cannot have stored show nothing."""
    assert not is_clearly_current(PLACE, bson.encode({**thing(1), "_lazymig": meta}))
