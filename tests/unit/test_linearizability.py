"""The history checker, on histories whose verdict is known."""

import random

import pytest

from lazymig.testing.linearizability import Operation, Outcome, Verdict, check, check_entities, listed


def history(*rows):
    """Operations from rows of (client, name, argument, result, called_at, returned_at)."""
    return [Operation(*row) for row in rows]


def plus(amount):
    """A change that adds."""
    return lambda value: value + amount


GOOD = {
    "a read beside a write may see either value": history(
        ("A", "replace", 2, 2, 0, 9), ("B", "get", None, 1, 1, 2), ("B", "get", None, 2, 3, 4)
    ),
    "crossing updates both count": history(
        ("A", "update", plus(1), 12, 0, 5), ("B", "update", plus(10), 11, 1, 4), ("A", "get", None, 12, 6, 7)
    ),
    "a crashed write may have happened": history(("A", "replace", 2, None, 0, None), ("B", "get", None, 2, 5, 6)),
    "a crashed write may not have happened": history(("A", "replace", 2, None, 0, None), ("B", "get", None, 1, 5, 6)),
    "a crashed write may happen late": history(
        ("A", "replace", 2, None, 0, None), ("B", "get", None, 1, 5, 6), ("B", "get", None, 2, 7, 8)
    ),
    "an uncertain return is as good as a crash": history(
        ("A", "delete", None, Outcome.UNCERTAIN, 0, 1), ("B", "get", None, None, 5, 6)
    ),
    "an insert may follow a delete it overlaps": history(
        ("A", "delete", None, Outcome.DONE, 0, 5), ("B", "insert", 3, 3, 1, 6), ("A", "get", None, 3, 7, 8)
    ),
    "one of two deletes finds nothing": history(
        ("A", "delete", None, Outcome.DONE, 0, 3), ("B", "delete", None, Outcome.NOT_FOUND, 1, 2)
    ),
    "an update after a delete finds nothing": history(
        ("A", "delete", None, Outcome.DONE, 0, 1), ("B", "update", plus(1), Outcome.NOT_FOUND, 2, 3)
    ),
}
BAD = {
    "lost update": history(
        ("A", "update", plus(1), 2, 0, 4), ("B", "update", plus(10), 11, 1, 5), ("A", "get", None, 11, 6, 7)
    ),
    "stale read after a write returned": history(("A", "replace", 2, 2, 0, 1), ("B", "get", None, 1, 2, 3)),
    "reads that go back in time": history(
        ("A", "replace", 2, 2, 0, 9), ("B", "get", None, 2, 1, 2), ("C", "get", None, 1, 3, 4)
    ),
    "resurrected after a delete": history(("A", "delete", None, Outcome.DONE, 0, 1), ("B", "get", None, 1, 2, 3)),
    "two inserts that both succeed": history(
        ("A", "delete", None, Outcome.DONE, 0, 1), ("A", "insert", 5, 5, 2, 4), ("B", "insert", 6, 6, 3, 5)
    ),
    "two deletes that both succeed": history(
        ("A", "delete", None, Outcome.DONE, 0, 3), ("B", "delete", None, Outcome.DONE, 1, 2)
    ),
    "a value that nobody wrote": history(("A", "replace", 2, 2, 0, 1), ("B", "get", None, 7, 2, 3)),
    "an insert refused though nothing stood": history(
        ("A", "delete", None, Outcome.DONE, 0, 1), ("B", "insert", 3, Outcome.ALREADY_EXISTS, 2, 3)
    ),
    "an update that found nothing though it stood": history(("A", "update", plus(1), Outcome.NOT_FOUND, 0, 1)),
    "a crashed write that happened before its call": history(
        ("B", "get", None, 2, 0, 1), ("A", "replace", 2, None, 5, None)
    ),
    "a crashed write that came and went": history(
        ("A", "replace", 2, None, 0, None), ("B", "get", None, 2, 1, 2), ("B", "get", None, 1, 3, 4)
    ),
}


@pytest.mark.parametrize("name", GOOD)
def test_good_history(name):
    """A history that some order of instants explains is accepted."""
    assert check(GOOD[name], 1) is Verdict.OK


@pytest.mark.parametrize("name", BAD)
def test_bad_history(name):
    """A history that no order of instants explains is refused."""
    assert check(BAD[name], 1) is Verdict.ILLEGAL


def test_budget_gives_unknown():
    """A check that runs out of its budget says that it does not know, rather than accept or refuse."""
    rows = [(f"C{n}", "replace", n, None, 0, None) for n in range(12)] + [("R", "get", None, 99, 1, 2)]
    assert check(history(*rows), 1, budget=5) is Verdict.UNKNOWN


def test_entities_are_judged_apart():
    """One entity's bad history does not stain another's, and an unnamed entity begins absent."""
    operations = [
        Operation("A", "insert", 1, 1, 0, 1, "new"),
        Operation("A", "get", None, 1, 2, 3, "new"),
        Operation("A", "get", None, 5, 2, 3, "old"),
    ]
    assert check_entities(operations, {"old": 4}) == {"old": Verdict.ILLEGAL, "new": Verdict.OK}


def test_listing_is_a_read_of_each_entity():
    """A listing that misses an entity which stood all the while is refused for that entity alone."""
    reads = listed({1: "a"}, [1, 2], client="A", called_at=0, returned_at=1)
    assert check_entities(reads, {1: "a", 2: "b"}) == {1: Verdict.OK, 2: Verdict.ILLEGAL}


def serial_history(seed, length):
    """A history recorded from a real variable: each operation takes effect at one instant within its interval."""
    chance = random.Random(seed)
    value, operations, moments = 0, [], []
    for instant in range(length):
        early, late = chance.random() * 3, chance.random() * 3
        name = chance.choice(["get", "replace", "update"])
        argument = instant + 1 if name == "replace" else plus(instant) if name == "update" else None
        value = value if name == "get" else argument if name == "replace" else argument(value)
        moments.append(instant)
        operations.append(Operation(f"C{instant}", name, argument, value, instant - early, instant + late))
    return operations


@pytest.mark.parametrize("seed", range(20))
def test_recorded_history_is_accepted_and_its_corruption_refused(seed):
    """A long history that truly happened is accepted; the same with one read of a value never written is refused."""
    print(f"seed {seed}")
    operations = serial_history(seed, 400)
    assert check(operations, 0) is Verdict.OK
    spoiled = [*operations, Operation("late", "get", None, -1, 200.5, 201.5)]
    assert check(spoiled, 0) is Verdict.ILLEGAL
