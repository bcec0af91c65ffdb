"""Named equivalences: what each accepts, for which field, and that a match says so."""

from __future__ import annotations

from typing import Any

import pytest
from bson import Decimal128, Int64

from lazymig.comparing.checks import Comparison
from lazymig.comparing.equivalences import BUILT_IN, Equivalence, suggest
from lazymig.stores.documents import MISSING
from lazymig.stores.verdicts import Verdict
from tests.unit.comparing.test_comparer import compare, v1, v2

EMPTY: list[Any] = [MISSING, None, [], {}, ""]
ONES: list[Any] = [1, Int64(1), 1.0, Decimal128("1"), Decimal128("1.00")]
OTHERS: list[Any] = [True, "1", [1], 2, Int64(2), 1.5, float("nan"), Decimal128("1.01"), b"", " ", 0, False]


def accepted(name: str) -> list[tuple[Any, Any]]:
    """The pairs of different values that an equivalence accepts."""
    values = [*EMPTY, *ONES, *OTHERS]
    return [(a, b) for i, a in enumerate(values) for j, b in enumerate(values) if i != j and BUILT_IN[name](a, b)]


def test_what_each_accepts() -> None:
    """Each built-in equivalence accepts its own pairs of values, in both directions, and no other."""
    assert len(accepted("missing-null")) == 2
    assert len(accepted("missing-empty")) == 5 * 4
    assert accepted("int-width") == [(1, Int64(1)), (Int64(1), 1), (2, Int64(2)), (Int64(2), 2)]
    assert len(accepted("numbers")) == 5 * 4 + 2
    assert BUILT_IN["numbers"](float("nan"), Decimal128("NaN"))
    assert not BUILT_IN["numbers"](0.1, Decimal128("0.1"))  # the double is not exactly that


def without(document: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key != name}


@pytest.mark.parametrize(
    ("truth", "seen", "name"),
    [
        (v1(), without(v2(), "nickname"), "missing-null:nickname"),
        (without(v1(), "nickname"), v2(), "missing-null:nickname"),
        (without(v1(labels={}), "labels"), v2(labels={}), "missing-default:labels"),
        (v1(), v2(items=[{"sku": "a", "cents": Int64(125)}]), "int-width:items[].cents"),
        (v1(), v2(total=Decimal128("3.500")), "numbers:total"),
        (v1(total=3), v2(total=Decimal128("3.0")), "numbers:total"),
    ],
)
def test_suggested_equivalences_accept(truth: Any, seen: Any, name: str) -> None:
    """The reason of a difference names what accepts it, for this field; then it is a match and says so."""
    found = compare(truth, seen)
    assert (found.verdict, found.reason, suggest(found.differences)) == (
        Verdict.DIFFERENT, f"accept with {name}", [name],
    )  # fmt: skip
    everywhere = name.partition(":")[0]
    for one in (name, everywhere):
        assert compare(truth, seen, accept=[one]) == Comparison(Verdict.MATCH, accepted=(one,))
    assert compare(truth, seen, accept=[f"{everywhere}:first"]).verdict is Verdict.DIFFERENT


def test_defaults_of_v1s_class_are_not_those_of_a_conversion() -> None:
    """`missing-default` accepts what V1's class adds, and nothing that a conversion makes up."""
    truth, seen = without(v1(), "labels"), v2(labels={"a": "b"})
    found = compare(truth, seen, accept=["missing-default"])
    assert (found.verdict, found.check) == (Verdict.DIFFERENT, "upgrade")


def test_nothing_suggested_for_another_value() -> None:
    """Another value is no matter of form: nothing is suggested for it."""
    found = compare(v1(), v2(first="Eva"))
    assert (found.reason, suggest(found.differences)) == ("", [])


def test_own_equivalence() -> None:
    """A team's own rule gets path and both values, and accepts by its name; what it does not accept remains."""
    met: list[tuple[str, Any, Any]] = []

    def accepts(path: str, expected: Any, found: Any) -> bool:
        met.append((path, expected, found))
        return path == "first" and str(expected).lower() == str(found).lower()

    mine = Equivalence("any-case", accepts)
    truth = v1()
    assert compare(truth, v2(first="ADA"), accept=[mine]).check == "downgrade"  # the way back differs as well
    assert met[0] == ("first", "Ada", "ADA")
    found = compare(truth, v2(first="ADA", last="Byron"), accept=[mine])
    assert ([one.path for one in found.differences], found.accepted) == (["last"], ("any-case",))
    compare(truth, without(v2(), "nickname"), accept=[mine])
    assert met[-1] == ("nickname", None, Equivalence.MISSING)
