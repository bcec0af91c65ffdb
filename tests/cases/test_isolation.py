"""One document's trouble is its own: what does not decode, and ids that cannot be sent."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from attrs import evolve
from bson import Code
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lazymig import AlreadyExists, ConversionError, Criteria, Migration, NotFound, Phase, Repository, Sweeper
from lazymig.control import Control
from tests.damage import (
    TROUBLE,
    LineV1,
    OrderV1,
    OrderV2,
    bytes_of,
    document,
    down,
    element,
    inside,
    millis,
    orders,
    text,
    up,
)
from tests.widening import WIDENING

EACH_TROUBLE = pytest.mark.parametrize("kind", TROUBLE)
#: In `v1_only` V1 is decoded by the same code, so every third kind shows that.
EACH_TROUBLE_IN_A_PHASE = pytest.mark.parametrize(
    ("kind", "phase"),
    [(kind, Phase.COEXIST) for kind in TROUBLE]
    + [(kind, Phase.V1_ONLY) for kind in list(TROUBLE)[:: 1 if WIDENING.full else 3]],
    ids=str,
)
FIELDS = ["name", "info", "buyer", "lines", "placed"]


def plain(id: int) -> dict[str, Any]:
    return {"_id": id, "name": f"order {id}"}


def unknown(kind: str) -> list[bytes]:
    """Trouble in a field that no class knows, and in an unknown field of a known sub-document and of an element."""
    sku = element(0x02, "sku", text(b"x"))
    line = inside(sku, element(TROUBLE[kind][0], "odd", TROUBLE[kind][1]))
    return [
        element(TROUBLE[kind][0], "odd", TROUBLE[kind][1]),
        element(0x03, "buyer", line),
        element(0x04, "lines", inside(element(0x03, "0", line))),
    ]


async def renamed(door: Any, id: int) -> Any:
    return await door.update(id, lambda order: evolve(order, **{_name(order): "changed"}))


def _name(order: OrderV1 | OrderV2) -> str:
    return "name" if isinstance(order, OrderV1) else "title"


@EACH_TROUBLE_IN_A_PHASE
async def test_case_15_trouble_in_unknown_fields_hinders_nothing(server_database: Any, kind: str, phase: Phase) -> None:
    """Every call works through both doors, and the fields that no class knows stay as they are, byte for byte."""
    v1, repo = server_database["v1"], orders(server_database, phase=phase)
    odd = unknown(kind)
    await v1.insert_many([plain(1), document(plain(2), *odd), plain(3)])
    line = LineV1("x")
    expected = OrderV2(2, "order 2", buyer=line, lines=[line])
    for _ in range(2):  # when it is migrated, and once it is
        assert (await asyncio.gather(*map(repo.get, (1, 2, 3))))[1] == expected
        assert (await repo.get_many([1, 2, 3]))[2] == expected
        assert (await repo.v1.get_many([1, 2, 3]))[2].lines == [line]
        assert [order.id async for order in repo.list()] == [1, 2, 3]
        assert [order.id async for order in repo.v1.list()] == [1, 2, 3]
        assert await repo.exists(2)
    for door in (repo, repo.v1):
        await renamed(door, 2)
        stored = await bytes_of(v1, 2)
        assert all(part in stored for part in odd)
        assert element(0x02, "name", text(b"changed")) in stored
    for door in (repo, repo.v1):
        await door.delete(2)
        assert await v1.count_documents({"_id": 2}) == 0
        await v1.insert_one(document(plain(2) | {"_lazymig_rev": 10**12}, *odd))


@EACH_TROUBLE_IN_A_PHASE
async def test_case_15_trouble_in_a_known_field_fails_its_own_reader(
    server_database: Any, kind: str, phase: Phase
) -> None:
    """That caller gets `ConversionError` with id and path; neighbours are served; delete and exists work."""
    v1, repo = server_database["v1"], orders(server_database, phase=phase)
    for field, path in (("name", "name"), ("placed", "placed")):
        known = {key: value for key, value in plain(2).items() if key != field}
        await v1.delete_many({})
        await server_database["v2"].delete_many({})
        await v1.insert_many([plain(1), document(known, element(TROUBLE[kind][0], field, TROUBLE[kind][1])), plain(3)])
        before = await bytes_of(v1, 2)
        for door in (repo, repo.v1):
            one, two, three = await asyncio.gather(*map(door.get, (1, 2, 3)), return_exceptions=True)
            assert (one.id, three.id) == (1, 3)
            assert isinstance(two, ConversionError)
            assert (two.id, two.path) == (2, path)
            with pytest.raises(ExceptionGroup) as caught:
                await door.get_many([1, 2, 3])
            assert [error.id for error in caught.value.exceptions] == [2]
            assert [order.id async for order in door.list(on_error="skip")] == [1, 3]
            with pytest.raises(ConversionError):
                await renamed(door, 2)
            await renamed(door, 1)
            assert await door.exists(2)
        assert without_revision(await bytes_of(v1, 2)) == before
        await repo.delete(2)
        assert not await repo.exists(2)
        assert await v1.count_documents({"_id": 2}) == 0


def without_revision(stored: bytes) -> bytes:
    """A document as it was before a failed write was healed, or not: the revision is lazymig's own."""
    place = stored.find(b"_lazymig_rev\0")
    return stored if place < 0 else inside(stored[4 : place - 1])


#: Values that hold others and are no sub-documents to Python, by the path that an error names.
HOLDING = {
    "the id of a reference": (
        "info.r.$id",
        element(0x03, "r", inside(element(0x02, "$ref", text(b"c")), element(0x09, "$id", millis(2**60)))),
    ),
    "another field of a reference": (
        "info.r.x",
        element(
            0x03,
            "r",
            inside(
                element(0x02, "$ref", text(b"c")),
                element(0x10, "$id", b"\1\0\0\0"),
                element(0x02, "x", text(b"\xff")),
            ),
        ),
    ),
    "the scope of code": (
        "info.r",
        element(0x0F, "r", b"\x1a\0\0\0" + text(b"f") + inside(element(0x09, "w", millis(2**60)))),
    ),
}


@pytest.mark.parametrize(("path", "field"), HOLDING.values(), ids=HOLDING)
async def test_case_15_trouble_inside_a_reference_or_code_is_refused(
    server_database: Any, path: str, field: bytes
) -> None:
    """Either door names the path, and V1's entity holds no stand-in either."""
    await server_database["v1"].insert_one(document(plain(1), element(0x03, "info", inside(field))))
    repo = orders(server_database)
    for door in (repo, repo.v1):
        with pytest.raises(ConversionError) as caught:
            await door.get(1)
        assert caught.value.path == path


@pytest.mark.parametrize("inner", [True, False], ids=["in a field", "as a field"])
@pytest.mark.parametrize("kind", HOLDING)
async def test_case_15_such_trouble_in_one_document_is_replaced(server_database: Any, kind: str, inner: bool) -> None:
    """No statement has to hold what Python cannot, although it must know what it replaces."""
    _, field = HOLDING[kind]
    held = element(0x03, "info", inside(field)) if inner else field.replace(b"r", b"info", 1)
    await server_database["v1"].insert_one(document(plain(1), held))
    migration = Migration(name="orders", v1=OrderV1, v2=OrderV2, upgrade=up, downgrade=down)
    repo = Repository.in_place(migration, server_database["v1"], phase=Phase.COEXIST)
    await repo.replace(OrderV2(1, "new"))
    assert await repo.get(1) == OrderV2(1, "new")


async def test_case_15_trouble_elsewhere_leaves_the_scope_of_code_as_it_is(server_database: Any) -> None:
    """An entity holds the code that it holds without the trouble."""
    known = {**plain(1), "info": {"code": Code("f", {"a": {"b": 1}})}}
    await server_database["v1"].insert_one(document(known, element(0x09, "odd", millis(2**60))))
    assert (await orders(server_database).get(1)).info == known["info"]


@pytest.mark.parametrize("field", ["info", "lines[1]"])
async def test_case_15_trouble_inside_a_known_field_has_its_path(server_database: Any, field: str) -> None:
    """Where anything is allowed it is refused all the same: an entity never holds a stand-in."""
    bad = element(0x09, "w", millis(2**60))
    odd = {
        "info": element(0x03, "info", inside(bad)),
        "lines[1]": element(
            0x04,
            "lines",
            inside(
                element(0x03, "0", inside(element(0x02, "sku", text(b"x")))),
                element(0x03, "1", inside(element(0x02, "sku", text(b"\xff")))),
            ),
        ),
    }
    await server_database["v1"].insert_one(document(plain(1), odd[field]))
    repo = orders(server_database)
    with pytest.raises(ConversionError) as caught:
        await repo.get(1)
    assert caught.value.path == {"info": "info.w", "lines[1]": "lines[1].sku"}[field]


@EACH_TROUBLE
async def test_case_15_trouble_in_v2_is_no_trouble_for_others(server_database: Any, kind: str) -> None:
    """Somebody's own field in V2: its entity works; in a field that the class knows: delete and exists do."""
    v2, repo = server_database["v2"], orders(server_database)
    for id in (1, 2, 3):
        await repo.insert(OrderV2(id, f"order {id}"))
    whole = await v2.find_one({"_id": 2})
    del whole["title"]
    await v2.delete_one({"_id": 2})  # a replacement's first key would be looked up by the driver, in the whole of it
    await v2.insert_one(document(whole, element(TROUBLE[kind][0], "title", TROUBLE[kind][1])))
    one, two, three = await asyncio.gather(*map(repo.get, (1, 2, 3)), return_exceptions=True)
    assert (one.title, three.title) == ("order 1", "order 3")
    assert isinstance(two, ConversionError | OrderV2)  # V1 may answer in its place
    assert await repo.exists(2)
    assert (await repo.v1.get(2)).name == "order 2"
    await repo.delete(2)
    assert await repo.get(2) is None
    await v2.replace_one({"_id": 3}, document(await v2.find_one({"_id": 3}), element(0x09, "odd", millis(2**60))))
    assert (await repo.get(3)).title == "order 3"
    assert (await renamed(repo, 3)).title == "changed"
    assert (await repo.get(3)).title == "changed"
    await repo.delete(3)


@pytest.mark.parametrize(
    ("kind", "field"),
    # Each trouble somewhere, and each field with all that differ: what is replaced is never decoded.
    [(kind, field) for number, kind in enumerate(TROUBLE) for place, field in enumerate(FIELDS)
     if WIDENING.full or number % 4 == 0 or number % len(FIELDS) == place],
)  # fmt: skip
async def test_case_41_what_does_not_decode_can_be_replaced(server_database: Any, kind: str, field: str) -> None:
    """A known-good entity takes the place of one that Python cannot hold, through both doors and with any trouble."""
    v1, repo = server_database["v1"], orders(server_database)
    known = {"_id": 1} if field == "name" else {"_id": 1, "name": "old"}
    for door, good in ((repo, OrderV2(1, "good")), (repo.v1, OrderV1(1, "good"))):
        await v1.insert_one(document(known, element(TROUBLE[kind][0], field, TROUBLE[kind][1])))
        await door.replace(good)
        assert await door.get(1) == good
        assert (await v1.find_one({"_id": 1}))["name"] == "good"
        await door.delete(1)


@EACH_TROUBLE
async def test_case_15_a_sweep_moves_what_can_be_moved(server_database: Any, kind: str) -> None:
    """Trouble in unknown fields: moved; in a known one: a dead letter with its path, every night; the rest is moved."""
    v1 = server_database["v1"]
    await v1.insert_many([plain(id) for id in range(10, 30)])
    await v1.insert_one(document(plain(1), *unknown(kind)))
    await v1.insert_one(document({"_id": 2}, element(TROUBLE[kind][0], "name", TROUBLE[kind][1])))
    for _ in range(2):
        report = await Sweeper(orders(server_database), batch_size=4).run()
        assert (report.finished, report.scanned, report.dead) == (True, 22, 1)
        (letter,) = [one async for one in Control(server_database["lazymig_control"]).dead_letters("orders")]
        assert (letter.id, letter.path, letter.direction) == (2, "name", "read")
    assert await server_database["v2"].count_documents({}) == 21


@pytest.mark.parametrize("kind", ["a date past the year 9999", "text that is not UTF-8"])
@pytest.mark.parametrize("direction", ["", "-"])
async def test_case_15_a_listing_goes_on_behind_a_value_that_it_cannot_hold(
    server_database: Any, kind: str, direction: str
) -> None:
    """Sorted by the field in trouble, at a page's end: each entity is met once, the bad ones as errors."""
    code, value = TROUBLE[kind]
    bad = [document({"_id": id}, element(code, "name", value)) for id in range(100, 230)]
    await server_database["v1"].insert_many([*map(plain, range(90)), *bad, *map(plain, range(300, 420))])
    errors: list[Any] = []
    repo = orders(server_database)
    for door in (repo, repo.v1):
        sort = (f"{direction}name", f"{direction}title")
        # V2's door asks V1 for ids, revisions and the sort field only, or for whole documents.
        met = [order.id async for order in door.list(sort=sort, on_error=errors.append)]
        assert sorted(met) == [*range(90), *range(300, 420)]
        assert sorted(error.id for error in errors) == list(range(100, 230))
        errors.clear()


async def test_case_15_ids_that_python_cannot_hold_do_not_stop_a_sweep(server_database: Any) -> None:
    """Dates past 9999 and text that is not UTF-8 as ids: the rest is moved, however the pages are read."""
    v1, repo = server_database["v1"], orders(server_database)
    texts = [element(0x02, "_id", text(b"a\xff" + bytes([65 + place]))) for place in range(9)]
    dates = [element(0x09, "_id", millis(2**60 + place)) for place in range(3)]
    await v1.insert_many([{"_id": f"{letter}{n}", "name": "x"} for letter in "abz" for n in range(8)])
    for id in (*texts, *dates):
        await v1.insert_one(document({}, id, element(0x02, "name", text(b"x"))))
    for lean in (False, True):
        if lean:
            await server_database["v2"].delete_many({"_id": {"$regex": "^b"}})
        report = await Sweeper(repo, batch_size=4).run()
        assert (report.finished, report.scanned) == (True, 36)
        assert await server_database["v2"].count_documents({}) == 24


@EACH_TROUBLE
async def test_case_15_trouble_in_the_revision_is_one_dead_letter(server_database: Any, kind: str) -> None:
    """Where a revision should stand: every sweep moves the rest, and counts that entity once, if it cannot be moved."""
    await server_database["v1"].insert_many([plain(1), document(plain(2), element(*_named(kind, "_lazymig_rev")))])
    for _ in range(2):
        report = await Sweeper(orders(server_database)).run()
        assert (report.finished, report.dead) == (True, report.dead_letters)
        assert report.dead + await server_database["v2"].count_documents({}) == 2


def _named(kind: str, name: str) -> tuple[int, str, bytes]:
    return TROUBLE[kind][0], name, TROUBLE[kind][1]


async def test_case_25_a_document_that_does_not_fit_its_class_names_no_line(server_database: Any) -> None:
    """Wherever the converter fails, in a mapping too: none of its generated functions is taken for the user's code."""
    wrong = [{"info": 7}, {"lines": [3]}, {"buyer": "x"}, {"placed": []}, {"name": 1}, {"lines": {"0": 1}}]
    for id, fields in enumerate(wrong):
        await server_database["v1"].insert_one(plain(id) | fields)
        with pytest.raises(ConversionError) as caught:
            await orders(server_database).get(id)
        assert caught.value.line == "", caught.value
        assert caught.value.path.startswith(next(iter(fields)))


@pytest.mark.parametrize("driver", ["motor"])
async def test_case_15_on_the_other_driver(database: Any) -> None:
    """Motor raises the same error for a whole reply, and is asked again in the same way."""
    odd = unknown("a date past the year 9999")
    bad = element(0x02, "name", text(b"\xff"))
    await database["v1"].insert_many([plain(1), document(plain(2), *odd), document({"_id": 3}, bad), plain(4)])
    repo = orders(database)
    for _ in range(2):
        one, two, three, four = await asyncio.gather(*map(repo.get, (1, 2, 3, 4)), return_exceptions=True)
        assert (one.id, two.id, four.id) == (1, 2, 4)
        assert isinstance(three, ConversionError)
    for door in (repo, repo.v1):
        await renamed(door, 2)
        assert [order.id async for order in door.list(on_error="skip")] == [1, 2, 4]
    stored = await bytes_of(database["v1"], 2)
    assert all(part in stored for part in odd)
    await repo.delete(3)
    assert await database["v1"].distinct("_id") == [1, 2, 4]


@pytest.mark.parametrize("door", ["v2", "v1"])
async def test_case_15_references_stay_as_they_are(server_database: Any, door: str) -> None:
    """Sub-documents like a DBRef, in their own order of keys: V1 keeps them byte for byte, whatever else changes."""
    ref = [element(0x10, "$id", b"\1\0\0\0"), element(0x02, "z", text(b"y")), element(0x02, "$ref", text(b"c"))]
    info = element(0x03, "info", inside(element(0x10, "n", b"\1\0\0\0"), element(0x03, "ref", inside(*ref))))
    odd = element(0x03, "odd", inside(*ref))
    await server_database["v1"].insert_one(document(plain(1), info, odd))
    repo = orders(server_database)
    caller = repo if door == "v2" else repo.v1
    await renamed(caller, 1)
    await caller.update(1, lambda order: evolve(order, info=order.info | {"n": 2}))
    stored = await bytes_of(server_database["v1"], 1)
    assert element(0x10, "n", b"\2\0\0\0") + element(0x03, "ref", inside(*ref)) in stored
    assert odd in stored


async def test_case_15_a_reference_is_no_dictionary(server_database: Any) -> None:
    """The driver makes a DBRef of it: refused where a dictionary is declared, and never stored in another order."""
    ref = inside(element(0x02, "$ref", text(b"c")), element(0x10, "$id", b"\1\0\0\0"))
    await server_database["v1"].insert_many([plain(1), document(plain(2), element(0x03, "info", ref))])
    repo = orders(server_database)
    one, two = await asyncio.gather(repo.get(1), repo.get(2), return_exceptions=True)
    assert one.id == 1
    assert isinstance(two, ConversionError)
    assert two.path == "info"


async def test_case_15_errors_about_ids_that_python_cannot_hold_can_be_shown(server_database: Any) -> None:
    """In a listing: text, and nothing that raises when it is printed or pickled."""
    await server_database["v1"].insert_one(
        document({}, element(0x02, "_id", text(b"a\xffb")), element(0x0A, "name", b""))
    )
    await server_database["v1"].insert_one(plain(1))
    errors: list[ConversionError] = []
    repo = orders(server_database)
    for door in (repo, repo.v1):
        assert [order.id async for order in door.list(on_error=errors.append)] == [1]
    assert [str(error.id) for error in errors] == ["a\ufffdb"] * 2
    again = pickle.loads(pickle.dumps(errors[0]))
    assert (again.id, type(again.cause)) == (errors[0].id, type(errors[0].cause))


#: Any BSON value by its bytes, sound or not.
SOUND = st.sampled_from(
    [
        (0x01, b"\0" * 8), (0x01, b"\1\0\0\0\0\0\xf8\x7f"), (0x06, b""), (0x07, b"x" * 12),
        (0x08, b"\1"), (0x0A, b""), (0x0C, text(b"db.c") + b"x" * 12), (0x10, b"\5\0\0\0"), (0x11, b"\1" * 8),
        (0x12, b"\5" + b"\0" * 7), (0x13, b"\1" * 16), (0xFF, b""), (0x7F, b""), (0x0B, b"a.*\0im\0"),
        (0x0D, text(b"f()")), (0x0E, text(b"symbol")), (0x05, b"\3\0\0\0\x04abc"), (0x05, b"\3\0\0\0\x03abc"),
    ]
)  # fmt: skip
LEAF = (
    SOUND
    | st.integers(-(2**63), 2**63 - 1).map(lambda value: (0x09, millis(value)))
    | st.binary(max_size=6).map(lambda data: (0x02, text(data)))
)
NAMES = st.sampled_from(["a", "b", "$ref", "$id", "$db", "sku", "w"])


def nested(inner: st.SearchStrategy[tuple[int, bytes]]) -> st.SearchStrategy[tuple[int, bytes]]:
    fields = st.dictionaries(NAMES, inner, max_size=4)
    objects = fields.map(lambda d: (0x03, inside(*(element(code, name, value) for name, (code, value) in d.items()))))
    arrays = st.lists(inner, max_size=3).map(
        lambda values: (0x04, inside(*(element(code, str(n), value) for n, (code, value) in enumerate(values))))
    )
    return objects | arrays


async def emptied(database: Any) -> Any:
    """The database for one example of many. Its collections stay: making them takes longer than the example."""
    for name in await database.list_collection_names():
        await database[name].delete_many({})
    return database


VALUES = st.recursive(LEAF, nested, max_leaves=6)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(values=st.lists(VALUES, min_size=1, max_size=5))
async def test_case_15_any_bson_in_unknown_fields_survives(
    server_database: Any, values: list[tuple[int, bytes]]
) -> None:
    """Whatever stands in fields that no class knows: reads, listings and writes work, and it stays byte for byte."""
    database = await emptied(server_database)
    odd = [element(code, f"odd{place}", value) for place, (code, value) in enumerate(values)]
    buyer = element(0x03, "buyer", inside(element(0x02, "sku", text(b"x")), *odd))
    await database["v1"].insert_many([plain(1), document(plain(2), buyer, *odd)])
    repo = orders(database)
    expected = OrderV2(2, "order 2", buyer=LineV1("x"))
    assert (await asyncio.gather(repo.get(1), repo.get(2)))[1] == expected
    assert [order async for order in repo.list()][1] == expected
    for door in (repo, repo.v1):
        await renamed(door, 2)
        await door.update(2, lambda order: evolve(order, buyer=LineV1("y")))
    stored = await bytes_of(database["v1"], 2)
    assert inside(*odd)[4:-1] in stored.replace(inside(*odd)[4:-1], b"", 1)  # twice: at the top, and in the buyer


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(field=st.sampled_from(["name", "placed", "buyer", "lines", "info"]), value=VALUES)
async def test_case_15_any_bson_in_a_known_field_is_its_own_readers(
    server_database: Any, field: str, value: tuple[int, bytes]
) -> None:
    """An entity without stand-ins, or `ConversionError` with the id; neighbours are served, exists and delete work."""
    database = await emptied(server_database)
    known = {key: old for key, old in plain(2).items() if key != field}
    await database["v1"].insert_many([plain(1), document(known, element(value[0], field, value[1])), plain(3)])
    repo = orders(database)
    for door in (repo, repo.v1):
        one, two, three = await asyncio.gather(*map(door.get, (1, 2, 3)), return_exceptions=True)
        assert (one.id, three.id) == (1, 3)
        assert isinstance(two, OrderV1 | OrderV2) or (isinstance(two, ConversionError) and two.id == 2)
        assert "unreadable" not in repr(two) or isinstance(two, ConversionError)
        met = [order.id async for order in door.list(on_error="skip")]
        assert met == [1, *([] if isinstance(two, ConversionError) else [2]), 3]
    report = await Sweeper(repo).run()
    assert (report.finished, report.scanned) == (True, 3)
    assert await repo.exists(2)
    await repo.delete(2)
    assert not await repo.exists(2)


async def test_case_16_a_longer_id_in_v1_does_not_stop_a_sweep(server_database: Any) -> None:
    """Longer than any call takes, and than a dead letter can name twice: reported, and the rest is moved."""
    await server_database["v1"].insert_many(
        [{"_id": id, "name": "x"} for id in ("a", "b" * 6_000_000, "c", b"x" * 6_000_000, "d")]
    )
    for _ in range(2):
        report = await Sweeper(orders(server_database), batch_size=2).run()
        assert (report.finished, report.scanned) == (True, 5)
    assert await server_database["v2"].distinct("_id") == ["a", "c", "d"]


BAD_IDS: dict[str, Any] = {
    "more than 64 bits": 2**64,
    "less than 64 bits": -(2**63) - 1,
    "a lone surrogate": "\ud800",
    "17 MB of text": "x" * 17_000_000,
    "17 MB of text of two bytes": "é" * 8_500_000,
    "17 MB of bytes": b"x" * 17_000_000,
}
BY_ID: dict[str, Callable[[Any, Any], Awaitable[Any]]] = {
    "get": lambda door, id: door.get(id),
    "get_many": lambda door, id: door.get_many([1, id]),
    "exists": lambda door, id: door.exists(id),
    "update": lambda door, id: door.update(id, lambda order: order),
    "delete": lambda door, id: door.delete(id),
    "list": lambda door, id: anext(door.list(after=id)),
    "insert": lambda door, id: door.insert(entity(door, id)),
    "replace": lambda door, id: door.replace(entity(door, id)),
}


def entity(door: Any, id: Any) -> Any:
    return (OrderV2 if hasattr(door, "pair") else OrderV1)(id, "x")


@pytest.mark.parametrize("call", BY_ID)
@pytest.mark.parametrize("bad", BAD_IDS)
async def test_case_16_an_id_that_cannot_be_sent_is_its_own_callers(server_database: Any, call: str, bad: str) -> None:
    """`TypeError` for that caller, without the id; those of the same turn are served."""
    await server_database["v1"].insert_many([plain(1), plain(2)])
    repo = orders(server_database)
    for door in (repo, repo.v1):
        one, wrong, two = await asyncio.gather(
            door.get(1), BY_ID[call](door, BAD_IDS[bad]), door.get(2), return_exceptions=True
        )
        assert (one.id, two.id) == (1, 2)
        assert type(wrong) is TypeError
        assert len(str(wrong)) < 200


@pytest.mark.parametrize(
    "id",
    ["", "a\0b", "\U0001f600", "x" * 3_900_000, b"\0" * 3_900_000, 2**63 - 1, -(2**63)],
    ids=lambda id: repr(id)[:9],
)
async def test_case_16_every_id_that_can_be_sent_works(server_database: Any, id: Any) -> None:
    """Beside others of the same turn, through all calls."""
    repo = orders(server_database)
    await repo.insert(OrderV2(id, "x"))
    await repo.insert(OrderV2("other", "y"))
    with pytest.raises(AlreadyExists):
        await repo.insert(OrderV2(id, "x"))
    first, second, missing = await asyncio.gather(repo.get(id), repo.get("other"), repo.get("none"))
    assert (first.title, second.title, missing) == ("x", "y", None)
    assert set(await repo.get_many([id, "other"])) == {id, "other"}
    assert (await renamed(repo, id)).title == "changed"
    assert {order.id async for order in repo.list()} == {id, "other"}
    await repo.delete(id)
    with pytest.raises(NotFound):
        await repo.delete(id)


async def test_case_16_values_of_criteria_are_the_callers_own(server_database: Any) -> None:
    """What BSON does not hold fails the listing or the count that asks for it, and nobody beside it."""
    await server_database["v1"].insert_one(plain(1))
    repo = orders(server_database)
    for value in (2**64, "\ud800", object()):
        where = Criteria(v1={"name": value}, v2={"title": value})
        calls = (repo.get(1), repo.count(where), anext(repo.list(where)), repo.get(1))
        one, *wrong, two = await asyncio.gather(*calls, return_exceptions=True)
        assert (one.id, two.id) == (1, 1)
        assert all(isinstance(error, Exception) for error in wrong)


async def test_case_38_a_listing_goes_on_after_an_error(server_database: Any) -> None:
    """By `on_error`, on both doors and in both phases: raise, skip, or a function, sync or async."""
    bad = {3, 150}
    await server_database["v1"].insert_many([{"_id": id} if id in bad else plain(id) for id in range(250)])
    good = [id for id in range(250) if id not in bad]
    met: list[ConversionError] = []

    async def later(error: ConversionError) -> None:
        await asyncio.sleep(0)
        met.append(error)

    for phase in (Phase.COEXIST, Phase.V1_ONLY):
        repo = orders(server_database, phase=phase)
        for door in (repo, repo.v1):
            assert [order.id async for order in door.list(on_error="skip")] == good
            for on_error in (met.append, later):
                assert [order.id async for order in door.list(on_error=on_error)] == good
                assert [error.id for error in met] == sorted(bad)
                assert {error.path for error in met} == {"name"}
                met.clear()
            assert [order.id async for order in door.list(limit=5, on_error="skip")] == [0, 1, 2, 4]
            for keywords in ({}, {"on_error": "raise"}):
                listing = door.list(**keywords)
                assert [(await anext(listing)).id for _ in range(3)] == [0, 1, 2]
                with pytest.raises(ConversionError):
                    await anext(listing)
            for wrong in ("ignore", None, 5):
                with pytest.raises(TypeError, match="on_error"):
                    await anext(door.list(on_error=wrong))


async def test_case_38_what_the_function_raises_ends_the_listing(server_database: Any) -> None:
    """The caller gets it, and the listing is closed."""
    await server_database["v1"].insert_many([plain(1), {"_id": 2}, plain(3)])
    repo = orders(server_database)

    def fail(error: ConversionError) -> None:
        raise KeyError(error.id)

    for door in (repo, repo.v1):
        with pytest.raises(KeyError):
            _ = [order async for order in door.list(on_error=fail)]
