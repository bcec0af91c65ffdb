"""Dark reads under every interleaving: no call of lazymig, crashed or not, looks like a mismatch to one."""

from itertools import product

import pytest

from lazymig.comparing.comparer import Comparer
from lazymig.dark import looking
from lazymig.dark.contests import Look, Outcome
from lazymig.dark.looking import compare_once
from lazymig.repository import calls_of
from lazymig.testing.explore import Call, explore
from tests.interleaving.subject import ID, KEEPING, STATES, calls, scenario, setup
from tests.widening import WIDENING

SOME_STATES = ("V1 only", "both clean", "dirty after V1's step")
SOME_CALLS = (("update",), ("V1 update",), ("delete", "insert"))
MORE_CALLS = (
    ("get",),
    ("insert",),
    ("delete",),
    ("heal",),
    ("sweep",),
    ("V1 delete", "V1 insert"),
    ("update", "update"),
)


async def look(subject) -> None:
    """Compare as a dark read does; a difference is an error."""
    pair = calls_of(subject.repository).pair
    found = await compare_once(pair, Comparer(pair.conversions), ID)
    assert found.outcome is not Outcome.DIFFERS, found


def with_dark_reads(amount):
    """The calls of the repository, and the comparison."""
    return {**calls(amount), "dark read": Call("dark read", look)}


def compared(state, other):
    """A dark read beside a client with these calls."""
    clients = [("dark read",), other]
    return explore(scenario(state, clients, make=with_dark_reads, setup=setup(state, KEEPING)))


@pytest.mark.parametrize("state", STATES if WIDENING.full else SOME_STATES)
def test_no_call_looks_like_a_mismatch(state):
    """In any order of the steps, and with a crash before any of them."""
    for other in SOME_CALLS + (MORE_CALLS if WIDENING.full else ()):
        report = compared(state, other)
        assert not report.violations, report.violations[0]
        assert report.exhaustive


def test_one_look_is_not_enough(monkeypatch):
    """Without the second look a write between the two reads is taken for a mismatch."""

    async def first_only(_contest, _clock, _id, first: Look) -> Look:
        return first

    monkeypatch.setattr(looking, "look_until_settled", first_only)
    found = [compared(state, other).violations for state, other in product(["both clean"], SOME_CALLS)]
    assert all(violations and violations[0].check == "unexpected error" for violations in found)
