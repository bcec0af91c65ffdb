"""The comparison of an entity's two sides: verdicts, independent checks, and what nothing may show."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import bson
import pytest
from attrs import evolve, field, frozen
from bson import Binary, Decimal128, Int64
from cattrs.gen import make_dict_unstructure_fn

from lazymig import ConfigurationError, Migration, make_converter
from lazymig.comparing.checks import Checks, Comparison
from lazymig.comparing.comparer import Comparer
from lazymig.comparing.equivalences import Equivalence, suggest
from lazymig.shapes.conversions import conversions_for
from lazymig.stores.decoding import decode
from lazymig.stores.documents import parse_v1, parse_v2
from lazymig.stores.verdicts import Verdict

SECRET = "hunter2"


@frozen
class ItemV1:
    sku: str
    price: str


@frozen
class OrderV1:
    id: int
    name: str
    total: float
    items: list[ItemV1]
    labels: dict[str, str] = field(factory=dict)
    nickname: str | None = None


@frozen
class ItemV2:
    sku: str
    cents: int


@frozen
class OrderV2:
    id: int
    first: str
    last: str
    total: Decimal
    items: list[ItemV2]
    labels: dict[str, str]
    nickname: str | None = None
    note: str = ""


def upgrade(v1: OrderV1, previous: OrderV2 | None = None) -> OrderV2:
    first, _, last = v1.name.partition(" ")
    if not last:
        raise ValueError(f"{v1.name} has one word")
    items = [ItemV2(item.sku, int(Decimal(item.price) * 100)) for item in v1.items]
    note = "" if previous is None else previous.note
    return OrderV2(v1.id, first, last, Decimal(str(v1.total)), items, v1.labels, v1.nickname, note)


def downgrade(v2: OrderV2) -> OrderV1:
    items = [ItemV1(item.sku, f"{Decimal(item.cents) / 100:.2f}") for item in v2.items]
    return OrderV1(v2.id, f"{v2.first} {v2.last}", float(v2.total), items, v2.labels, v2.nickname)


def plain_upgrade(v1: OrderV1) -> OrderV2:
    return upgrade(v1)


V1_DOCUMENT = {
    "_id": 1, "name": "Ada Lovelace", "total": 3.5, "items": [{"sku": "a", "price": "1.25"}],
    "labels": {SECRET: SECRET}, "nickname": None, "_lazymig_rev": Int64(4),
}  # fmt: skip
V2_DOCUMENT = {
    "_id": 1, "first": "Ada", "last": "Lovelace", "total": Decimal128("3.5"), "items": [{"sku": "a", "cents": 125}],
    "labels": {SECRET: SECRET}, "nickname": None, "note": "n", "_lazymig": {"rev": Int64(4), "intent": Int64(4)},
}  # fmt: skip
META = V2_DOCUMENT["_lazymig"]
BODY = {name: value for name, value in V2_DOCUMENT.items() if name not in ("_id", "_lazymig")}


def orders(**changed: Any) -> Migration[OrderV1, OrderV2]:
    given: dict[str, Any] = {"name": "orders", "v1": OrderV1, "v2": OrderV2, "upgrade": upgrade, "downgrade": downgrade}
    return Migration(**given | changed)


def compare(
    v1: Mapping[str, Any] | None, v2: Mapping[str, Any] | None, migration: Any = None, **checks: Any
) -> Comparison:
    """Compare two documents as the server returns them."""
    conversions = conversions_for(migration or orders(), v1_aware=False, v2_aware=False)
    truth = None if v1 is None else parse_v1(decode(bson.encode(v1), conversions.v1.options))
    seen = None if v2 is None else parse_v2(decode(bson.encode(v2), conversions.v2.options))
    return asyncio.run(Comparer(conversions, Checks(**checks)).compare(truth, seen))


def v1(**changed: Any) -> dict[str, Any]:
    return V1_DOCUMENT | changed


def v2(**changed: Any) -> dict[str, Any]:
    return V2_DOCUMENT | changed


def meta(**changed: Any) -> dict[str, Any]:
    return v2(_lazymig=META | changed)  # type: ignore[operator]


def shown(comparison: Comparison) -> list[tuple[str, str, str]]:
    return [(one.path, one.expected, one.found) for one in comparison.differences]


GONE = {"_id": 1, "_lazymig": META | {"gone": True}}  # type: ignore[operator]
PLACEHOLDER = {"_id": 1, "_lazymig": {"rev": -1, "intent": 5, "gone": True}}


@pytest.mark.parametrize(
    ("truth", "seen", "verdict", "reason"),
    [
        (v1(), v2(), "match", ""),
        (None, None, "match", ""),
        (None, GONE, "match", ""),
        (None, PLACEHOLDER, "match", ""),
        (v1(), None, "missing", ""),
        (v1(), GONE, "missing", ""),
        (v1(name="Ada"), None, "missing", "upgrade failed: ValueError at test_comparer.py"),
        (v1(), PLACEHOLDER, "dirty", "a write of revision 5 was announced and is not finished"),
        (v1(), meta(intent=Int64(6)), "dirty", "a write of revision 6"),
        (None, v2(), "orphan", ""),
        (None, meta(intent=Int64(6)), "dirty", "a write of revision 6"),
        (v1(_lazymig_rev=Int64(5)), v2(), "stale", "V2 was made from revision 4; V1 is at revision 5, and both agree"),
        (v1(_lazymig_rev=Int64(3)), v2(), "stale", "V2 was made from revision 4; V1 is at revision 3"),
        (v1(_lazymig_rev=Int64(5), name="x"), v2(), "stale", "V1 is at revision 5; upgrade failed: ValueError"),
        (v1(name="x"), v2(), "unknown", "upgrade failed: ValueError at test_comparer.py"),
        (v1(items=[{"sku": 1, "price": "1"}]), v2(), "unknown", "V1 document does not decode at field 'items[0].sku'"),
        (v1(), v2(items=[{"sku": "a", "cents": SECRET}]), "unknown", "V2 document does not decode at field 'items[0]"),
        (v1(_lazymig_rev=0.5), v2(), "unknown", "unset it in V1"),
        (v1(), meta(conv=2), "unknown", "conversion revision 2; this release has 1"),
        (v1(total=4.5), v2(), "different", ""),
    ],
)
def test_verdicts(truth: Any, seen: Any, verdict: str, reason: str) -> None:
    """Each combination of two documents has its verdict, with a reason that shows nothing of them."""
    found = compare(truth, seen)
    assert (found.verdict, found.reason[: len(reason)] == reason or reason in found.reason) == (verdict, True), found
    assert SECRET not in repr(found)
    assert bool(found.signature) is (verdict != "match")


def test_older_conversion_is_stale() -> None:
    """A body of an older conversion revision is stale even where both agree."""
    found = compare(v1(), v2(), orders(revision=2))
    assert (found.verdict, found.reason) == (Verdict.STALE, "conversion revision 1; this release has 2")


def test_stale_names_what_differs() -> None:
    """A stale body is compared as well, so that a report can say what changed."""
    found = compare(v1(_lazymig_rev=Int64(5), total=4.5), v2())
    assert (found.verdict, found.check) == (Verdict.STALE, "upgrade")
    assert shown(found) == [("total", "decimal128", "decimal128")]


@pytest.mark.parametrize(
    ("changed", "difference"),
    [
        ({"total": Decimal128("3.50")}, ("total", "decimal128", "decimal128")),
        ({"items": [{"sku": "a", "cents": Int64(125)}]}, ("items[0].cents", "int32", "int64")),
        ({"items": [{"sku": "a", "cents": 124}]}, ("items[0].cents", "int32", "int32")),
        ({"items": []}, ("items[0]", "document", "missing")),
        ({"labels": {SECRET: "other"}}, ("labels[...]", "string", "string")),
        ({"labels": {}}, ("labels[...]", "string", "missing")),
        ({"extra": 1}, ("extra", "missing", "int32")),
        ({"items": [{"sku": "a", "cents": 125, SECRET: 1}]}, ("items[0][...]", "missing", "int32")),
    ],
)
def test_upgrade_check_compares_types_and_values(changed: Any, difference: Any) -> None:
    """V2's body must be V1 upgraded, with the same BSON types; map keys and unknown names are not shown."""
    found = compare(v1(), v2(**changed))
    assert (found.verdict, found.check, shown(found)) == (Verdict.DIFFERENT, "upgrade", [difference])
    assert SECRET not in repr(found)


def test_a_field_that_v2_lacks() -> None:
    """Missing is not null, and the reason names what accepts it."""
    lacking = v2()
    del lacking["nickname"]
    found = compare(v1(), lacking)
    assert shown(found) == [("nickname", "null", "missing")]
    assert found.reason == "accept with missing-null:nickname"
    assert suggest(found.differences) == ["missing-null:nickname"]


@pytest.mark.parametrize(
    ("changed", "difference", "reason"),
    [
        ({"total": 3}, ("total", "int32", "double"), "accept with numbers:total"),
        ({"items": [{"sku": "a", "price": "1.250"}]}, ("items[0].price", "string", "string"), ""),
    ],
)
def test_downgrade_check_finds_what_v1_would_lose(changed: Any, difference: Any, reason: str) -> None:
    """V2 downgraded must be V1's document: a type that only V1's class hides, and text that V2 does not keep, show."""
    total = {"total": Decimal128("3.0")} if "total" in changed else {}
    found = compare(v1(**changed), v2(**total))
    assert (found.verdict, found.check, shown(found), found.reason) == (
        Verdict.DIFFERENT, "downgrade", [difference], reason,
    )  # fmt: skip


def test_fields_that_v1s_class_does_not_know_are_left_out() -> None:
    """V1 keeps fields that no class knows, at the top and below; they are no differences."""
    assert compare(v1(legacy=SECRET, items=[{"sku": "a", "price": "1.25", "old": 1}]), v2()).verdict is Verdict.MATCH


def test_a_known_field_that_the_conversion_loses_shows() -> None:
    """A field that V1's class knows, and that the way back does not write, is a difference."""

    def lossy(v2: OrderV2) -> OrderV1:
        return evolve(downgrade(v2), labels={})

    found = compare(v1(), v2(), orders(downgrade=lossy))
    assert (found.check, shown(found)) == ("downgrade", [("labels[...]", "string", "missing")])


@pytest.mark.parametrize("opaque", [False, True], ids=["generated", "own hook"])
def test_a_field_that_the_way_back_leaves_out_shows(opaque: bool) -> None:
    """A known field that V1 holds and that the downgraded document lacks is a difference, whatever wrote that."""
    own = make_converter()
    write = make_dict_unstructure_fn(OrderV1, own, _cattrs_omit_if_default=True)
    own.register_unstructure_hook(OrderV1, (lambda order: write(order)) if opaque else write)

    def lossy(v2: OrderV2) -> OrderV1:
        return evolve(downgrade(v2), nickname=None)

    found = compare(v1(nickname=SECRET), v2(nickname=SECRET), orders(downgrade=lossy, v1_converter=own))
    assert (found.check, shown(found)) == ("downgrade", [("nickname", "string", "missing")])
    assert compare(v1(nickname=SECRET), v2(nickname=SECRET), orders(v1_converter=own)).verdict is Verdict.MATCH


def test_names_that_only_a_hook_knows_are_known_by_what_it_writes() -> None:
    """A hook of the user's own may store a field under a name that no class declares; its loss shows as well."""
    own = make_converter()
    write = make_dict_unstructure_fn(OrderV1, own, _cattrs_omit_if_default=True)
    read = own.get_structure_hook(OrderV1)

    def unstructure(order: OrderV1) -> dict[str, Any]:
        return {"nick" if name == "nickname" else name: value for name, value in write(order).items()}

    def structure(document: dict[str, Any], kind: Any) -> Any:
        return read({"nickname" if name == "nick" else name: value for name, value in document.items()}, kind)

    own.register_unstructure_hook(OrderV1, unstructure)
    own.register_structure_hook(OrderV1, structure)
    truth = {"nick" if name == "nickname" else name: value for name, value in v1(nickname=SECRET).items()}
    assert compare(truth, v2(nickname=SECRET), orders(v1_converter=own)).verdict is Verdict.MATCH

    def lossy(v2: OrderV2) -> OrderV1:
        return evolve(downgrade(v2), nickname=None)

    found = compare(truth, v2(nickname=SECRET), orders(v1_converter=own, downgrade=lossy))
    assert (found.check, shown(found)) == ("downgrade", [("[...]", "string", "missing")])


def test_a_body_that_its_own_class_refuses_is_no_match() -> None:
    """V2 holds exactly what `upgrade` makes, and its class does not read it: that is unknown, not a match."""
    own = make_converter()

    def refuse(document: Any, kind: Any) -> Any:
        raise ValueError(SECRET)

    own.register_structure_hook(OrderV2, refuse)
    found = compare(v1(), v2(note=""), orders(upgrade=plain_upgrade, v2_converter=own))
    assert (found.verdict, found.reason[:40]) == (Verdict.UNKNOWN, "V2 document does not decode: ValueError "[:40])
    assert SECRET not in found.reason


def swap_up(v1: OrderV1, previous: OrderV2 | None) -> OrderV2:
    right = upgrade(v1, previous)
    return evolve(right, first=right.last, last=right.first)


def swap_down(v2: OrderV2) -> OrderV1:
    return downgrade(evolve(v2, first=v2.last, last=v2.first))


SWAPPED = v2(first="Lovelace", last="Ada")


def drop_cents(v1: OrderV1) -> OrderV2:
    right = upgrade(v1)
    return evolve(right, items=[evolve(item, cents=item.cents // 100 * 100) for item in right.items])


def add_cents(v2: OrderV2, current: OrderV1 | None) -> OrderV1:
    return evolve(downgrade(v2), items=current.items if current else [])


WITHOUT_CENTS = v2(items=[{"sku": "a", "cents": 100}], note="")
INVARIANTS: dict[str, Callable[[OrderV1, OrderV2], bool]] = {
    "names": lambda v1, v2: v1.name == f"{v2.first} {v2.last}",
    "prices": lambda v1, v2: [Decimal(i.price) * 100 for i in v1.items] == [i.cents for i in v2.items],
}


@pytest.mark.parametrize(
    ("migration", "stored", "name"),
    [
        (orders(upgrade=swap_up, downgrade=swap_down), SWAPPED, "names"),
        (orders(upgrade=drop_cents, downgrade=add_cents), WITHOUT_CENTS, "prices"),
    ],
)
def test_a_defect_of_both_conversions_needs_another_opinion(migration: Any, stored: Any, name: str) -> None:
    """Both conversions agree on the wrong body; an invariant and an expectation of somebody else find it."""
    assert compare(v1(), stored, migration).verdict is Verdict.MATCH
    found = compare(v1(), stored, migration, invariants=INVARIANTS)
    assert (found.verdict, found.check) == (Verdict.DIFFERENT, name)
    found = compare(v1(), stored, migration, expected=upgrade)
    assert (found.verdict, found.check, bool(found.differences)) == (Verdict.DIFFERENT, "expected", True)


@pytest.mark.parametrize(("wrong", "stored"), [(swap_up, SWAPPED), (drop_cents, WITHOUT_CENTS)])
def test_a_defect_of_upgrade_alone_is_found_by_the_way_back(wrong: Any, stored: Any) -> None:
    """V2 holds what a wrong `upgrade` makes, so that check passes; V1's own document shows it."""
    found = compare(v1(), stored, orders(upgrade=wrong))
    assert (found.verdict, found.check) == (Verdict.DIFFERENT, "downgrade")


def test_sound_entities_pass_every_check() -> None:
    """All checks pass on a sound entity: plain, with V2's values, as a mapping, and async."""

    async def later(v1: OrderV1, stored: OrderV2) -> Mapping[str, Any]:
        await asyncio.sleep(0)
        return BODY | {"_id": v1.id}

    async def holds(v1: OrderV1, v2: OrderV2) -> bool:
        await asyncio.sleep(0)
        return v1.id == v2.id

    invariants = INVARIANTS | {"ids": holds}
    for expected in (upgrade, later):
        assert compare(v1(), v2(), expected=expected, invariants=invariants, ordered=True).verdict is Verdict.MATCH
    assert compare(v1(), v2(note=""), expected=plain_upgrade).verdict is Verdict.MATCH
    assert compare(v1(), v2(), expected=plain_upgrade).check == "expected"  # it does not know the note


@pytest.mark.parametrize(
    ("checks", "reason"),
    [
        ({"invariants": {"i": lambda a, b: [][0]}}, "invariant 'i' raised IndexError at test_comparer.py"),
        ({"invariants": {"i": lambda a, b: None}}, "invariant 'i' returned None; return True or False"),
        ({"expected": lambda a: None}, "expected returned NoneType; return OrderV2 or a mapping"),
        ({"expected": lambda a: a}, "expected returned OrderV1; return OrderV2 or a mapping"),
        ({"expected": lambda a: {"a": 2**70}}, "expected: BSON cannot hold the result (OverflowError)"),
        ({"expected": lambda a: {"a": object()}}, "expected: BSON cannot hold the result (InvalidDocument)"),
        ({"expected": lambda a: {"a": {5: 1}}}, "expected: BSON cannot hold the result (InvalidDocument)"),
        ({"expected": lambda a: {SECRET[0]: int(SECRET)}}, "expected raised ValueError at test_comparer.py"),
    ],
)
def test_a_check_that_fails_proves_nothing(checks: Any, reason: str) -> None:
    """A check that raises, or forgets to return, makes the verdict unknown and never a match; nothing is quoted."""
    found = compare(v1(), v2(), **checks)
    assert (found.verdict, found.reason.startswith(reason)) == (Verdict.UNKNOWN, True), found.reason
    assert SECRET not in found.reason


def test_an_equivalence_that_raises_proves_nothing() -> None:
    """So does an equivalence of the user's own."""
    broken = Equivalence("mine", lambda path, expected, found: [][0])  # type: ignore[misc]
    found = compare(v1(), v2(first="Eva"), accept=[broken])
    assert (found.verdict, found.reason) == (Verdict.UNKNOWN, "equivalence 'mine' raised IndexError")


def test_key_order_counts_by_choice() -> None:
    """Keys in another order match; with `ordered` they differ, at the top and below."""
    turned = dict(reversed(v2().items()))
    below = v2(items=[{"cents": 125, "sku": "a"}])
    assert compare(v1(), turned).verdict is compare(v1(), below).verdict is Verdict.MATCH
    assert shown(compare(v1(), turned, ordered=True)) == [("", "document", "document with its keys in another order")]
    assert [one.path for one in compare(v1(), below, ordered=True).differences] == ["items[0]"]


def test_no_equivalence_accepts_another_order() -> None:
    """Who asks for the order of keys gets it, even with a rule that accepts everything."""
    anything = Equivalence("anything", lambda path, expected, found: True)
    turned = dict(reversed(v2(first="Eva").items()))
    assert compare(v1(), turned, accept=[anything]).accepted == ("anything",)
    assert compare(v1(), turned, accept=[anything], ordered=True).verdict is Verdict.DIFFERENT


def test_twenty_differences_are_enough() -> None:
    """A comparison lists at most 20 differences."""
    items = [{"sku": str(number), "price": "1.00"} for number in range(50)]
    assert len(compare(v1(items=items), v2()).differences) == 20


def test_values_are_shown_by_choice_only() -> None:
    """Values are part of a difference only where the caller asked for them."""
    assert compare(v1(), v2(first=SECRET)).differences[0].values is None
    (difference,) = compare(v1(), v2(first=SECRET), show_values=True).differences
    assert difference.values == ('"Ada"', f'"{SECRET}"')
    (difference,) = compare(v1(), v2(items=[{"sku": "a", "cents": Int64(125)}]), show_values=True).differences
    assert difference.values == ('{"$numberInt": "125"}', '{"$numberLong": "125"}')


def test_signature_changes_with_either_side() -> None:
    """The signature is the same for the same two documents, and another one when either changes."""
    base = compare(v1(), v2(first="Eva"))
    assert base.signature == compare(v1(), v2(first="Eva")).signature
    others = [
        compare(v1(legacy=1), v2(first="Eva")),
        compare(v1(), v2(first="Eve")),
        compare(v1(), meta(intent=Int64(5))),
        compare(v1(), None),
        compare(None, v2(first="Eva")),
    ]
    assert len({base.signature, *(one.signature for one in others)}) == 6


def test_unreadable_parts_do_not_stop_a_comparison() -> None:
    """A date that Python cannot hold, in a field that no class knows, matches; V2's is a difference with its path."""
    beyond = bson.DatetimeMS(2**60)
    assert compare(v1(old=beyond), v2()).verdict is Verdict.MATCH
    assert compare(v1(old={"a": [beyond]}), v2(first="Eva")).signature
    assert shown(compare(v1(), v2(extra=beyond))) == [("extra", "missing", "unreadable")]


@pytest.mark.parametrize("cls", [Binary(b"x", 5), Decimal128("1"), 1.5, [], None])
def test_a_wrong_type_where_upgrade_needs_no_previous_body_has_a_path(cls: Any) -> None:
    """V2's body need not decode to be compared, where `upgrade` takes V1 alone: the field is named with both types."""
    found = compare(v1(), v2(note="", first=cls), orders(upgrade=plain_upgrade))
    assert (found.verdict, found.check, found.differences[0].path) == (Verdict.DIFFERENT, "upgrade", "first")
    assert "V2 document does not decode at field 'first'" in found.reason


@pytest.mark.parametrize(
    "checks",
    [
        {"invariants": {"": len}},
        {"invariants": {"upgrade": len}},
        {"invariants": {"i": 1}},
        {"invariants": [len]},
        {"expected": 1},
        {"accept": "missing-null"},
        {"accept": ["missing"]},
        {"accept": ["missing-null:"]},
        {"accept": [1]},
    ],
)
def test_unusable_checks_are_refused(checks: Any) -> None:
    """What cannot be a check is refused before anything is compared."""
    with pytest.raises(ConfigurationError):
        compare(v1(), v2(), **checks)
