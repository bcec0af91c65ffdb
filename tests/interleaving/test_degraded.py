"""Writes that go to V1 alone while V2 is away, beside processes that reach V2, under every interleaving and crash."""

from itertools import product

import pytest

from lazymig import Phase
from lazymig.testing.explore import explore
from tests.interleaving.degraded import CALLS, WRITES, read_in_coexist, scenario
from tests.interleaving.running import KILLED, visited
from tests.interleaving.subject import STATES
from tests.widening import WIDENING

FULL = WIDENING.full
SOME_STATES = ("both clean", "tombstone", "dirty after V1's step", "V1 only")


def test_processes_that_take_nothing_from_v2_for_granted():
    """Linearizable with any crash; and once every entity is repaired, `coexist` answers what V1 holds."""
    writes, calls = (WRITES, CALLS) if FULL else (("update", "insert", "delete"), ("get", "update", "insert", "delete"))
    pairs = [((a,), (b,)) for a, b in product(writes, calls)]
    pairs += [
        (("delete", "insert"), ("update",)),
        (("update",), ("delete", "insert")),
        (("delete",), ("insert", "get")),
    ]
    states = STATES if FULL else SOME_STATES
    visited("V2 away", [scenario(state, clients) for state, clients in product(states, pairs)])


@pytest.mark.parametrize(
    ("without", "spoiled"),
    [
        ("a fleet in shadow", lambda: scenario("both clean", (("update",), ("get",)), beside=Phase.COEXIST)),
        ("mistrust in inserts", lambda: scenario("both clean", (("delete",), ("insert",)), suspect=False)),
        ("a verification", lambda: scenario("both clean", (("update",), ("get",)), afterwards=read_in_coexist)),
        (
            "a verification of deletes",
            lambda: scenario("both clean", (("delete",), ("get",)), afterwards=read_in_coexist),
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_what_keeps_degraded_writes_from_doing_harm(without, spoiled):
    """Without it, some read or write is wrong."""
    report = explore(spoiled())
    print(f"degraded writes without {without}\n{report}")
    assert report.violations, f"survived: degraded writes without {without}"
    KILLED.append(f"degraded writes: {without}")
