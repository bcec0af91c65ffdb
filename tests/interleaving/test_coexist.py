"""The coexistence protocol under every interleaving: the real repository, V1 view and sweep, with every crash.

`--full` visits all of it (some minutes on two cores); without it, the states and calls that differ most.
`--walk-seed` draws the random walks anew.
"""

from itertools import combinations, combinations_with_replacement, product

import pytest

from lazymig import Phase
from lazymig.protocol import bodies
from lazymig.testing.explore import explore
from tests.interleaving.running import Task, explore_all
from tests.interleaving.subject import KEEPING, NAMES, STATES, WRITES, noted_scenario, setup
from tests.widening import WIDENING

FULL, SEED = WIDENING.full, WIDENING.walk_seed

SOME_STATES = ("V1 only", "both clean", "dirty before V1's step", "tombstone")
SOME_CALLS = ("get", "insert", "update", "delete")

# How often V2 may be left to be put right though nobody died: progress, not safety. A change may not raise it.
DIRTY_SHARE = 0.28 if FULL else 0.22
# What a call needs at most once nobody else moves: the sweep, which looks at everything and mends it.
STEPS_ALONE = 13


def pairs(names):
    """Two clients with one call each."""
    return [((first,), (second,)) for first, second in combinations_with_replacement(names, 2)]


def sound(report):
    """Whether everything was visited and nothing found."""
    assert not report.violations, report.violations[0]
    assert report.exhaustive
    return True


def test_every_pair_of_calls():
    """Any two calls, from any state, in any order of their steps, with any crash: linearizable, coherent, bounded."""
    states = STATES if FULL else SOME_STATES
    _, report = explore_all("pairs", [Task(state, clients) for state in states for clients in pairs(NAMES)])
    assert sound(report)
    assert report.crash_ends > report.ends
    assert report.alone_steps_max <= STEPS_ALONE
    assert report.dirty_ends <= DIRTY_SHARE * report.ends


def test_every_cancellation():
    """The same holds when one call is cancelled at any of its awaits, its statement having happened or not."""
    states, names = (STATES, NAMES) if FULL else (SOME_STATES, (*SOME_CALLS, "failed update"))
    tasks = [Task(state, clients, cancellations=1) for state in states for clients in pairs(names)]
    assert sound(explore_all("cancelled pairs", tasks)[1])


def test_two_writes_against_two_reads():
    """Two writes in a row are seen in their order by a client that reads twice beside them."""
    states, writes = (STATES, WRITES) if FULL else (("both clean", "tombstone"), SOME_CALLS[1:])
    tasks = [Task(state, (both, ("get", "get"))) for state in states for both in product(writes, repeat=2)]
    assert sound(explore_all("two writes against two reads", tasks)[1])


def test_readers_that_heal_at_once():
    """A reader may heal a mark whose writer is alive: that costs writes, and breaks nothing."""
    states = STATES if FULL else SOME_STATES
    names = NAMES if FULL else SOME_CALLS
    tasks = [Task(state, (("get",), (name,)), heal_at_once=True) for state in states for name in names]
    assert sound(explore_all("eager readers", tasks)[1])


TRIPLES = list(combinations_with_replacement(SOME_CALLS, 3))
WHOLE = pytest.mark.skipif(not FULL, reason="takes a minute; --full visits it")


@pytest.mark.parametrize(
    "state",
    ["both clean", pytest.param("tombstone", marks=WHOLE), pytest.param("V1 only", marks=WHOLE)],
)
def test_three_clients(state):
    """Three calls side by side, wholly where the states allow: from V1 alone, most are too many."""
    limit = 10_000 if FULL else 3000
    tasks = [Task(state, tuple((name,) for name in names), state_limit=limit) for names in TRIPLES]
    reports, summed = explore_all(f"three clients from {state}", tasks)
    exhausted = sum(report.exhaustive for report in reports)
    print(f"{exhausted} of {len(reports)} wholly")
    assert not summed.violations, summed.violations[0]
    assert exhausted >= 5


@WHOLE
def test_an_insert_repeats_no_revision():
    """Whoever holds an entity that was deleted meanwhile loses to the one that was inserted in its place."""
    names = (("insert",), ("update",), ("delete",))
    _, report = explore_all("insert, update, delete", [Task("V1 only", names)])
    assert not report.violations, report.violations[0]


def test_three_clients_at_random():
    """Three of all calls side by side, from every state, with a cancellation: random runs find nothing either."""
    print(f"seed {SEED}")
    runs = 100 if FULL else 10
    triples = list(combinations(NAMES, 3))
    chosen = triples if FULL else triples[:: len(triples) // 20]
    tasks = [
        Task(tuple(STATES)[number % len(STATES)], tuple((name,) for name in names), 1, walks=runs, seed=SEED + number)
        for number, names in enumerate(chosen)
    ]
    _, report = explore_all("three clients at random", tasks)
    assert not report.violations, report.violations[0]
    assert report.runs == runs * len(chosen)


# A sweep heals the mark of a placeholder, which is a write: the limit below applies.
@pytest.mark.parametrize(
    ("state", "reader"),
    [
        *product(["V1 only", "both clean", "neither"], ["get", "list", "sweep"]),
        *product(["placeholder with V1"], ["get", "list"]),
    ],
)
def test_readers_keep_what_v1_cannot_express(state, reader):
    """A read, listing or sweep beside a write never swallows a field that only V2 has."""
    report = explore(noted_scenario(state, [["note"], [reader]]))
    print(report)
    assert sound(report)


@pytest.mark.parametrize("reader", ["get", "list", "sweep"])
@pytest.mark.parametrize("writes", [("note", "update"), ("note", "note")], ids=", ".join)
@pytest.mark.parametrize("state", ["V1 only", "both clean", "neither", "dirty after V1's step"])
def test_slow_readers_keep_what_v1_cannot_express(state, writes, reader):
    """A reader that met V2 before two writes and V1 after them swallows no field that only V2 has either."""
    report = explore(noted_scenario(state, [writes, [reader]]))
    print(report)
    assert sound(report)


@pytest.mark.parametrize("phase", [Phase.COEXIST, Phase.V2_PRIMARY])
@pytest.mark.parametrize("reader", ["list", "get many"])
@pytest.mark.parametrize("writes", [("note", "update"), ("update", "note")], ids=", ".join)
def test_slow_readers_of_many_keep_what_v1_cannot_express(writes, reader, phase):
    """Nor does one that reads many entities at once and stores nothing, in either phase in which V2 answers."""
    before = setup("both clean", KEEPING, phase=phase)
    report = explore(noted_scenario("both clean", [writes, [reader]], setup=before))
    print(report)
    assert sound(report)


def test_slow_readers_repair_only_what_they_saw(monkeypatch):
    """Two readers that wait for no body keep what V1 cannot express, too, beside a client that writes twice."""
    monkeypatch.setattr(bodies, "WRITER_WAITS_S", ())
    report = explore(noted_scenario("both clean", [["note", "update"], ["get"], ["get"]]))
    print(report)
    assert sound(report)


def test_crossing_writers_may_lose_what_v1_cannot_express():
    """The limit of the protocol: a body that comes later than others wait for it may lose what only V2 can hold."""
    report = explore(noted_scenario("both clean", [["note"], ["update"]]))
    print(report)
    assert report.violations[0].check == "linearizable"
