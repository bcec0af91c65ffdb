"""A program that ends in the middle of a write leaves what a crash leaves, and where it can, nothing at all."""

from itertools import product

import pytest

from lazymig.protocol import tickets, writing
from lazymig.testing.explore import explore
from tests.interleaving.ended import interrupt_statements, left_clean, scenario
from tests.interleaving.mutants import Mutant
from tests.interleaving.running import check_killed, check_shown, visited
from tests.interleaving.subject import NAMES, STATES, WRITES
from tests.widening import WIDENING

FULL = WIDENING.full
ENDED = ("interrupted update", "exiting update")
SOME_STATES = tuple(STATES) if FULL else ("both clean", "dirty before V1's step", "V1 only")
SOME_WRITES = WRITES if FULL else ("insert", "update", "delete")
OTHERS = NAMES if FULL else ("get", "insert", "update", "delete", "heal")


@pytest.fixture(autouse=True)
def interrupted(monkeypatch):
    """What the explorer cancels is interrupted."""
    interrupt_statements(monkeypatch)


@pytest.mark.parametrize("state", SOME_STATES)
def test_ended_at_any_statement(state):
    """Any write, interrupted at any of its statements, which is done or not, beside any call."""
    pairs = product((*SOME_WRITES, ENDED[0]), OTHERS)
    visited("interrupted", [scenario(state, [[one], [other]], cancellations=1) for one, other in pairs])


@pytest.mark.parametrize("state", SOME_STATES)
def test_ended_by_a_change(state):
    """It leaves V2 dirty as often as a change that raises any other error, beside any call."""
    for other in OTHERS:
        failed = visited("failed", [scenario(state, [["failed update"], [other]])])
        for ended in ENDED:
            report = visited(ended, [scenario(state, [[ended], [other]])])
            assert (report.dirty_ends, report.ends) == (failed.dirty_ends, failed.ends)


@pytest.mark.parametrize("ended", ENDED)
def test_ended_alone(ended):
    """Where nobody dies, nothing is left to heal."""
    assert explore(left_clean("both clean", [[ended]])).ok


def left_announced(monkeypatch):
    """A write that ends the program leaves its announcement, as a crash does."""
    withdraw = tickets.withdraw

    async def withdraw_for_errors(pair, announced, step=1, *, missing=False, ending=None):
        if ending is None or isinstance(ending, Exception):
            await withdraw(pair, announced, step, missing=missing, ending=ending)

    monkeypatch.setattr(writing, "withdraw", withdraw_for_errors)


def undoubted(monkeypatch):
    """A write takes back its announcement though V1 may have been written."""

    class Undoubted:
        sent = property(lambda _: False, lambda _self, _sent: None)

    monkeypatch.setattr(writing, "Doubt", Undoubted)


MUTANTS = (
    Mutant("an ended write leaves its announcement", left_announced,
           lambda: left_clean("both clean", [["interrupted update"]])),
    Mutant("a withdrawal though V1 may have been written", undoubted,
           lambda: scenario("both clean", [["update"], ["get"]], cancellations=1)),
)  # fmt: skip


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_of_ends_is_killed(mutant, monkeypatch):
    """The scenario is sound as the protocol stands, and has a counter-example once the guard is taken away."""
    check_killed(mutant, monkeypatch)
    check_shown(mutant)
