"""Chains of upcasters: checked when they are built, exact when they are used."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import attrs
import bson
import mongomock
import pytest
from attrs import field, frozen
from bson import Int64
from hypothesis import given
from hypothesis import strategies as st

import lazymig
from lazymig import ConfigurationError, ConversionError, Migration, Upcasters, upcasters
from lazymig.shapes.codec import Codec, codec_for
from lazymig.shapes.conversions import conversions_for
from lazymig.shapes.fields import Rejected
from lazymig.shapes.fingerprint import fingerprint
from lazymig.shapes.upcasting import Upcaster, bring_up
from lazymig.shapes.v1_changes import find_rewrite, find_v1_changes
from lazymig.stores.decoding import Damaged, Unreadable
from lazymig.stores.documents import parse_v1
from lazymig.stores.mongo_v1 import build_update
from lazymig.sweeping.versions import _find_deletable
from lazymig.testing import LawBroken, assert_laws, documents_like
from tests.older import ADA, Address, Buyer, alone, buyers, chain, document

OPTIONS: Any = bson.CodecOptions()


def same(document: Any) -> Any:
    """An upcaster that changes nothing."""
    return document


async def later(document: Any) -> Any:
    """An async function, which no read could wait for."""
    return document


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ({}, "at least one step"),
        ({1: same, 3: same}, "no step takes version 2"),
        ([(1, same), (1, chain)], "two steps take version 1"),
        ({0: same}, "0 is no version"),
        ({-1: same}, "-1 is no version"),
        ({True: same}, "True is no version"),
        ({1.0: same}, "1.0 is no version"),
        ({"1": same}, "'1' is no version"),
        ({1: "split"}, "one argument"),
        ({1: lambda: None}, "one argument"),
        ({1: lambda one, two: one}, "one argument"),
        ({1: lambda one, *, key: one}, "one argument"),
        ({1: later}, "plain function"),
        (same, "functions by version"),
    ],
)
def test_a_chain_that_cannot_work(steps: Any, message: str) -> None:
    """No gap, no fork, positive ints, and functions of one argument: refused when the chain is built."""
    with pytest.raises(ConfigurationError, match=message):
        upcasters(steps)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"missing": 0}, "missing=0"),
        ({"missing": 4}, "missing=4"),
        ({"missing": True}, "missing=True"),
        ({"field": "_id"}, "plain name"),
        ({"field": "a.b"}, "plain name"),
        ({"field": "_lazymig_rev"}, "plain name"),
        ({"field": ""}, "plain name"),
        ({"newer": "ignore"}, "refuse"),
        ({"persist": 1}, "persist"),
    ],
)
def test_options_that_cannot_work(options: Any, message: str) -> None:
    """Each is refused when the chain is built, and the message names it."""
    with pytest.raises(ConfigurationError, match=message):
        chain(**options)


def test_a_chain_may_begin_above_one() -> None:
    """Once old upcasters are deleted, the meaning of a missing field must be stated."""
    with pytest.raises(ConfigurationError, match="missing=1: the chain takes the versions 4 to 6"):
        upcasters({4: same, 5: same})
    shorter = upcasters(steps={5: same, 4: same}, missing=None)
    assert (shorter.oldest, shorter.newest, list(shorter.steps)) == (4, 6, [4, 5])
    codec = codec_for(Buyer, "id", None, tz_aware=False, upcasters=shorter)
    with pytest.raises(Rejected, match="no version"):
        codec.decode(document(None))
    with pytest.raises(Rejected, match="the oldest upcaster takes 4"):
        codec.decode(document(3))


def test_a_migration_checks_what_it_gets() -> None:
    """Not a chain, a chain on the id, and a class whose default is another version than the newest."""

    @frozen
    class Stale:
        id: int
        schema_version: int = 2

    for wrong, message in (
        (partial(buyers, upcasters={1: same}), "what lazymig.upcasters"),
        (partial(buyers, upcasters=chain(field="id")), "'id' is the id"),
        (partial(Migration.upcasting, "stale", Stale, chain()), "the default 2, and the upcasters lead to version 3"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            wrong()


def test_what_a_step_returns() -> None:
    """None, another id, and lazymig's own names are refused; a new dict without `_id` is taken."""

    def read(step: Upcaster) -> Any:
        return bring_up(upcasters({1: step}), {"_id": 1, "n": 2, "_lazymig_rev": 7}, OPTIONS)

    for step, message in (
        (lambda one: None, "version 1 returned NoneType; return the document"),
        (lambda one: {**one, "_id": 2}, "version 1 changed the id"),
        (lambda one: {**one, "_lazymig_rev": 8}, "reserved or not plain"),
        (lambda one: {**one, "a.b": 8}, "reserved or not plain"),
        (lambda one: {**one, "$set": 8}, "reserved or not plain"),
        (lambda one: {**one, 7: 8}, "reserved or not plain"),
    ):
        with pytest.raises(Rejected, match=message):
            read(step)  # type: ignore[arg-type]
    assert read(lambda one: {"m": one["n"]}) == {"_id": 1, "m": 2, "schema_version": 2, "_lazymig_rev": 7}
    # It neither sees lazymig's fields nor decides the version.
    assert read(lambda one: {**one, "keys": sorted(one), "schema_version": 99}) == {
        "_id": 1, "n": 2, "keys": ["_id", "n"], "schema_version": 2, "_lazymig_rev": 7,
    }  # fmt: skip


def test_a_step_gets_a_copy() -> None:
    """A step may change its argument in place, at any depth; the stored document stays as it is."""
    stored: dict[str, Any] = {"_id": 1, "list": [{"n": 1}]}

    def change(one: dict[str, Any]) -> dict[str, Any]:
        one["list"][0]["n"] = 2
        return one

    assert bring_up(upcasters({1: change}), stored, OPTIONS)["list"] == [{"n": 2}]
    assert stored == {"_id": 1, "list": [{"n": 1}]}


def test_values_are_as_they_will_be_read_back() -> None:
    """The class gets what it will get after a rewriting: lists for tuples, milliseconds, the BSON types as they are."""
    moment = datetime(2024, 1, 1, 0, 0, 0, 123456, tzinfo=UTC)
    made = bring_up(
        upcasters({1: lambda one: {**one, "pair": (1, 2), "at": moment}}), {"_id": 1, "long": Int64(5)}, OPTIONS
    )
    assert made["pair"] == [1, 2]
    assert made["at"] == datetime(2024, 1, 1, 0, 0, 0, 123000)
    assert type(made["long"]) is Int64


def test_a_value_that_bson_cannot_hold() -> None:
    """A step that returns one fails for this document only, without its contents."""
    conversions = conversions_for(
        Migration.upcasting("set", Buyer, upcasters({1: lambda one: {**one, "secret": {"Ada"}}})),
        v1_aware=False, v2_aware=False,
    )  # fmt: skip
    with pytest.raises(ConversionError) as caught:
        conversions.v1_entity(parse_v1(document(3, schema_version=1)))
    assert "Ada" not in str(caught.value)


def test_damaged_documents() -> None:
    """A date that Python cannot hold stays where it is, in an unknown field, while the document is brought up."""
    odd = Unreadable("a date", 9, b"\0" * 8)
    stored = Damaged(document(2, odd=odd, deep=[{"odd": odd}]))
    codec = codec_for(Buyer, "id", None, tz_aware=False, upcasters=chain())
    assert codec.decode(stored) == ADA
    found = find_rewrite(codec, chain(), stored)
    assert found is not None
    assert (found.changed, found.vanished) == (
        {"address": {"city": "London", "country": "GB"}, "schema_version": 3}, ["city"],
    )  # fmt: skip
    assert found.held is not None
    assert not {"odd", "deep"} & set(found.held)
    moving = upcasters({1: lambda one: {**one, "moved": one["odd"]}})
    with pytest.raises(Rejected, match="cannot read"):
        find_rewrite(codec_for(Address, "city", None, tz_aware=False, upcasters=moving), moving, Damaged(
            {"_id": "London", "odd": odd}
        ))  # fmt: skip


@frozen
class Stated:
    """A class that declares its version."""

    id: int
    n: int = 0
    schema_version: int = 2


def stating(**options: Any) -> Codec[Stated]:
    return codec_for(Stated, "id", None, tz_aware=False, upcasters=upcasters({1: same}, **options))


def test_a_class_may_declare_the_version() -> None:
    """It reads the newest version, and an entity that states another one is refused rather than stored otherwise."""
    codec = stating()
    assert codec.decode({"_id": 1, "n": 3}) == Stated(1, 3)
    assert codec.encode_exactly(Stated(1, 3)) == {"n": 3, "schema_version": 2}
    conversions = conversions_for(
        Migration.upcasting("stated", Stated, upcasters({1: same})), v1_aware=False, v2_aware=False
    )
    with pytest.raises(ConversionError, match="schema_version"):
        conversions.v1_document(Stated(1, 3, schema_version=1))
    assert_laws(Migration.upcasting("stated", Stated, upcasters({1: same})), examples=20)


def test_a_class_that_declares_the_version_of_newer_documents() -> None:
    """Passed on, it sees the newer version; an update keeps it, and no entity brings it into another document."""
    codec = stating(newer="pass")
    stored = {"_id": 1, "n": 3, "schema_version": 7}
    entity = codec.decode(stored)
    assert entity == Stated(1, 3, 7)
    for after in (attrs.evolve(entity, n=4), Stated(1, 4)):
        found = find_v1_changes(codec, codec.encode(entity), codec.encode(after), stored, replacing=True)
        assert (found.changed, found.vanished) == ({"n": 4}, [])
    with pytest.raises(Rejected, match="leave the version to lazymig"):
        find_v1_changes(codec, codec.encode(Stated(1)), codec.encode(entity), {"_id": 1, "schema_version": 2})


async def test_a_copy_of_a_newer_entity_is_not_inserted() -> None:
    """It lacks what only the newer release knows, so its version would be wrong."""
    migration = Migration.upcasting("stated", Stated, upcasters({1: same}, newer="pass"))
    repo = lazymig.testing.memory_repository(migration, lazymig.Phase.V1_ONLY)
    for insert in (repo.insert, repo.v1.insert):
        with pytest.raises(ConversionError, match="leave the version to lazymig"):
            await insert(Stated(2, 3, 7))
    assert await repo.count() == 0


def test_the_fingerprint_knows_the_newest_version() -> None:
    """A longer chain changes it; leaving out an upcaster that is no longer needed does not."""
    one, longer, shorter = (
        fingerprint(conversions_for(buyers(upcasters=made), v1_aware=False, v2_aware=False))
        for made in (chain(), upcasters({**chain().steps, 3: same}), upcasters({2: same}, missing=2))
    )
    assert one != longer
    assert one == shorter
    assert one != fingerprint(conversions_for(buyers(upcasters=None), v1_aware=False, v2_aware=False))


def test_what_is_compared_with_an_entity() -> None:
    """`v1_stored` is the document in the newest version without the version, and `v1_before` has none either."""
    made = buyers(upcasters=chain(newer="pass"))
    conversions = conversions_for(made, v1_aware=False, v2_aware=False)
    for version in (None, 1, 2, 3, 4):
        stored = conversions.v1_stored(parse_v1(document(version)))
        assert stored == {name: value for name, value in document(3).items() if name != "schema_version"}
        before = conversions.v1_before(conversions.v1_entity(parse_v1(document(version))))
        assert before == {name: stored[name] for name in before}


def test_laws_on_documents_of_all_versions() -> None:
    """Documents of each version are recombined apart, and a chain that is not deterministic breaks a law."""
    kept = [document(version, id) for id, version in enumerate((None, 1, 2, 3))]
    like = documents_like(kept, Buyer, upcasters=chain())
    simple = st.builds(Buyer, st.integers(0, 9), st.just("A"), st.just("B"), st.builds(Address, st.just("C")))
    assert_laws(alone(), v1=like, v2=simple, examples=30)
    counted: list[int] = []

    def count(one: dict[str, Any]) -> dict[str, Any]:
        counted.append(1)
        return {**one, "visits": len(counted)}

    with pytest.raises(LawBroken, match="upcasters are deterministic"):
        assert_laws(Migration.upcasting("b", Buyer, upcasters({3: count}, missing=3)), v1=like, v2=simple, examples=30)


@pytest.mark.parametrize(
    ("counts", "deletable"),
    [
        ({3: 9}, (1, 2)),
        ({2: 1, 3: 9}, (1,)),
        ({1: 1, 3: 9}, ()),
        ({"missing": 1, 2: 1}, ()),
        ({"missing": 0, 2: 0, 3: 1}, (1, 2)),
        ({"string": 1, 4: 2}, (1, 2)),
        ({}, (1, 2)),
    ],
)
def test_which_upcasters_may_be_deleted(counts: Any, deletable: tuple[int, ...]) -> None:
    """Those before the oldest version that a document has; a missing field counts as what it means."""
    assert _find_deletable(chain(), counts) == deletable


# Drawn chains: each step changes how one field is stored.

Change = tuple[Upcaster, Callable[[dict[str, Any]], None]]


def _renamed(name: str) -> Change:
    def up(one: dict[str, Any]) -> dict[str, Any]:
        one[name] = one.pop(f"old_{name}")
        return one

    def down(one: dict[str, Any]) -> None:
        one[f"old_{name}"] = one.pop(name)

    return up, down


def _as_text(name: str) -> Change:
    def down(one: dict[str, Any]) -> None:
        one[name] = str(one[name])

    return lambda one: {**one, name: int(one[name])}, down


def _in_a_box(name: str) -> Change:
    def up(one: dict[str, Any]) -> dict[str, Any]:
        one[name] = one["box"].pop(name)
        return one

    def down(one: dict[str, Any]) -> None:
        one["box"][name] = one.pop(name)

    return up, down


def _added(name: str) -> Change:
    def down(one: dict[str, Any]) -> None:
        del one[name]

    return lambda one: {**one, name: 0}, down


@st.composite
def cases(draw: st.DrawFn) -> tuple[Upcasters, type, list[dict[str, Any]], dict[str, Any], dict[str, int]]:
    """A chain, its class, one document in each version, its values, and what an update changes."""
    kinds = draw(st.lists(st.sampled_from([_renamed, _as_text, _in_a_box, _added]), min_size=1, max_size=6))
    names = [f"f{number}" for number in range(len(kinds))]
    made = [kind(name) for kind, name in zip(kinds, names, strict=True)]
    missing = draw(st.integers(1, len(kinds) + 1))
    built = upcasters({number: up for number, (up, _) in enumerate(made, 1)}, missing=missing)
    values = {name: 0 if kind is _added else draw(st.integers(-9, 9)) for name, kind in zip(names, kinds, strict=True)}
    box = {"unknown": draw(st.integers(0, 3))}
    versions = []
    for version in range(1, built.newest + 1):
        older: dict[str, Any] = {"_id": 1, "shoe": 38, "box": dict(box), **values}
        for _, down in reversed(made[version - 1 :]):
            down(older)
        if version != missing or draw(st.booleans()):
            older["schema_version"] = version
        versions.append(older)
    changed = draw(st.dictionaries(st.sampled_from(names), st.integers(20, 29)))
    cls = attrs.make_class("Drawn", {"id": field(type=int), **{name: field(type=int) for name in names}}, frozen=True)
    return built, cls, versions, values, changed


@given(cases())
def test_every_version_is_one_entity_and_is_stored_whole(case: Any) -> None:
    """By drawn chains: each version reads as the same entity, and a write or rewriting of it leaves one whole shape."""
    built, cls, versions, values, changed = case
    codec = codec_for(cls, "id", None, tz_aware=False, upcasters=built)
    entity, after = cls(1, **values), cls(1, **{**values, **changed})
    for stored in versions:
        assert codec.decode(stored) == entity
        found = find_v1_changes(codec, codec.encode(entity), codec.encode(after), stored)
        whole = {"_id": 1, "shoe": 38, "box": versions[-1]["box"], **values, "schema_version": built.newest}
        assert _updated(stored, found) == {**whole, **changed}
        if stored.get("schema_version") == built.newest:
            assert {*found.changed} <= {*changed}  # nothing else of a newest document is written
            assert find_rewrite(codec, built, stored) is None
            continue
        rewritten = find_rewrite(codec, built, stored)
        assert rewritten is not None
        assert _updated(stored, rewritten) == whole
        assert find_rewrite(codec, built, whole) is None


def _updated(stored: dict[str, Any], found: Any) -> dict[str, Any]:
    """The document after this update, as a server would have it."""
    collection = mongomock.MongoClient()["test"]["v1"]
    collection.insert_one(stored)
    collection.update_one({"_id": 1}, build_update(1, found.changed, found.vanished))
    result: dict[str, Any] = collection.find_one({"_id": 1})
    del result["_lazymig_rev"]
    return result


def test_async_callables_are_refused() -> None:
    """An object whose call is async is no plain function either."""

    class Later:
        async def __call__(self, one: Any) -> Any:
            await asyncio.sleep(0)
            return one

    with pytest.raises(ConfigurationError, match="plain function"):
        upcasters({1: Later()})  # type: ignore[dict-item]
