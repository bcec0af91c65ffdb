"""The interleaving explorer itself, on small programs whose behaviour is known."""

import asyncio
from math import comb

import pytest
from attrs import evolve
from pymongo.errors import DuplicateKeyError

from lazymig.testing.exploration.report import describe_document
from lazymig.testing.explore import (
    Call,
    FixedClock,
    Scenario,
    World,
    any_dirty,
    clean_is_current,
    dirty_is_marked,
    explore,
    retell,
    total,
    walk,
)
from lazymig.testing.linearizability import Outcome
from lazymig.testing.memory_collection import MemoryCollection
from tests.by_field import by_field, kept, split_by


class LostError(Exception):
    """A race was lost for good."""


async def read(store):
    """The value."""
    return (await store.find_one({"_id": 1}))["value"]


async def naive_add(store, amount):
    """Read, then write: loses updates."""
    value = await read(store)
    await store.update_one({"_id": 1}, {"$set": {"value": value + amount}})
    return value + amount


async def careful_add(store, amount):
    """Read, then compare and set, until it is not lost."""
    for _ in range(5):
        value = await read(store)
        result = await store.update_one({"_id": 1, "value": value}, {"$set": {"value": value + amount}})
        if result.matched_count:
            return value + amount
    raise LostError


async def atomic_add(store, amount):
    """One statement."""
    change = {"$inc": {"value": amount}}
    return (await store.find_one_and_update({"_id": 1}, change, return_document=True))["value"]


def adding(add, amount):
    """A call that adds."""
    return Call("update", lambda store: add(store, amount), 1, lambda value: value + amount)


READ = Call("get", read, 1)


def value_of(world):
    """The true value."""
    return {1: world.stores[0].stored(1)["value"]}


def one_store(gate):
    """A world of one document."""
    store = MemoryCollection("S", [{"_id": 1, "value": 0}], gate=gate)
    return World((store,), store)


def scenario(**changes):
    """One document and its clients."""
    clients = {name: changes.pop(name) for name in ("A", "B", "C") if name in changes}
    return Scenario(name="adding", setup=one_store, clients=clients, truth=value_of, **changes)


def test_lost_update_is_found_with_its_shortest_story():
    """Two naive writers are caught, by the shortest interleaving there is, told step by step."""
    report = explore(scenario(A=[adding(naive_add, 1)], B=[adding(naive_add, 10)], crashes=False))
    (violation,) = report.violations
    assert violation.check == "linearizable"
    assert len(violation.choices) == 4
    assert [client for client, _ in violation.choices][:2] in ([0, 1], [1, 0])
    assert "A: S find_one → rev 0 {'value': 0}" in str(violation)
    assert retell(scenario(A=[adding(naive_add, 1)], B=[adding(naive_add, 10)]), violation.choices) == violation.steps


def test_careful_writers_pass():
    """Writers that compare and set pass, with every crash and every reader in between."""
    report = explore(scenario(A=[adding(careful_add, 1)], B=[adding(careful_add, 10)], C=[READ, READ]))
    assert report.ok
    assert report.exhaustive
    assert report.crash_ends > 0
    assert report.alone_steps_max == 3  # a lost statement, then a read and a write again


@pytest.mark.parametrize(("first", "second"), [(1, 1), (2, 3), (4, 4)])
def test_every_interleaving_is_counted(first, second):
    """The number of interleavings is the binomial one, though far fewer runs are made for them."""
    report = explore(scenario(A=[READ] * first, B=[READ] * second))
    assert report.interleavings == comb(first + second, first)
    assert report.runs <= report.interleavings + 1


def test_states_seen_are_not_visited_again():
    """Runs grow with the number of states, not with the number of interleavings."""
    quiet = Call("idle", read)
    report = explore(scenario(A=[quiet] * 8, B=[quiet] * 8))
    assert report.states == 9 * 9
    assert report.interleavings == comb(16, 8)
    assert report.runs < 100


async def write_twice(stores):
    """One value in two places."""
    await stores[0].update_one({"_id": 1}, {"$set": {"value": 1}})
    await stores[1].update_one({"_id": 1}, {"$set": {"value": 1}})


async def read_second(stores):
    """The copy's value."""
    return {1: await read(stores[1])}


def two_stores(gate):
    """A value in two places."""
    stores = tuple(MemoryCollection(name, [{"_id": 1, "value": 0}], gate=gate) for name in "ST")
    return World(stores, stores)


def test_crash_between_two_writes_is_found():
    """A client that dies between two writes is explored, and told as such; without crashes the same code passes."""
    writing = Scenario(
        name="twice",
        setup=two_stores,
        clients={"A": [Call("replace", write_twice, 1, 1, lambda _: 1)]},
        truth=value_of,
        afterwards=read_second,
    )
    (violation,) = explore(writing).violations
    assert violation.check == "reads afterwards"
    assert violation.steps[-1] == "(every unfinished client crashes here)"
    assert explore(evolve(writing, crashes=False)).ok


async def guarded_add(store):
    """Takes a lock, and gives it back whatever happens to the write in between."""
    await store.update_one({"_id": 1}, {"$set": {"locked": True}})
    try:
        await store.update_one({"_id": 1}, {"$inc": {"value": 1}})
    finally:
        await store.update_one({"_id": 1}, {"$unset": {"locked": ""}})


def unlocked(world):
    """The lock is free once no call is open."""
    return "locked" in world.stores[0].stored(1)


def test_cancellation_is_explored_before_and_after_the_statement():
    """A cancelled call runs its clean-up, and its write has happened in some runs and not in others."""
    adds = Call("update", guarded_add, 1, lambda value: value + 1, lambda _: Outcome.DONE)
    report = explore(scenario(A=[adds], crashes=False, cancellations=1, is_dirty=unlocked))
    assert report.ok
    # Cancelled before or after the lock, the write or the unlocking, or not at all.
    assert report.interleavings == 7
    # Cancelled right after the lock was taken: nothing gives it back.
    assert report.dirty_interleavings == 2


def test_cancelled_write_counts_as_uncertain_only():
    """A cancellation that swallows another's acknowledged write is still a violation."""

    async def undoing(store):
        value = await read(store)
        try:
            await store.update_one({"_id": 1}, {"$inc": {"value": 1}})
        except asyncio.CancelledError:
            await store.update_one({"_id": 1}, {"$set": {"value": value}})
            raise
        return value + 1

    adds = Call("update", undoing, 1, lambda value: value + 1, lambda _: Outcome.DONE)
    both = scenario(A=[adds], B=[adding(atomic_add, 10)], crashes=False)
    assert explore(both).ok
    (violation,) = explore(evolve(both, cancellations=1)).violations
    assert violation.check == "linearizable"
    assert any("is cancelled" in step for step in violation.steps)


def test_the_dead_run_no_clean_up():
    """A client that died leaves its lock taken: its clean-up runs in no state that anybody looks at."""
    adds = Call("idle", guarded_add)

    def free_at_first(world):
        document = world.stores[0].stored(1)
        return None if document["value"] or "locked" not in document else "locked"

    (violation,) = explore(scenario(A=[adds], invariants={"free": free_at_first})).violations
    assert violation.check == "free"
    assert len(violation.choices) == 1


def test_endless_call_is_found():
    """A call that never gives up is a violation, not a hanging test."""

    async def waiting(store):
        while not (await store.find_one({"_id": 1})).get("done"):
            pass

    (violation,) = explore(scenario(A=[Call("idle", waiting)], step_limit=20)).violations
    assert violation.check == "ends"


def test_limit_on_steps_alone():
    """A call that takes more statements alone than it may is a violation, even where all else is well."""
    calls = scenario(A=[adding(careful_add, 1)], B=[adding(careful_add, 10)], alone_limit=3)
    assert explore(calls).ok
    (violation,) = explore(evolve(calls, alone_limit=2)).violations
    assert violation.check == "steps alone"


def test_unexpected_error_is_found():
    """An error that the scenario does not name is a violation; one that it names is a result."""

    async def losing(store):
        await read(store)
        raise LostError

    calls = scenario(A=[Call("update", losing, 1, lambda value: value + 1)])
    (violation,) = explore(calls).violations
    assert violation.check == "unexpected error"
    assert explore(evolve(calls, outcomes={LostError: Outcome.UNCERTAIN})).ok


def test_unexpected_error_is_found_behind_a_state_that_was_visited():
    """A call without an entity leaves the same state whether it fails or not; both are judged."""

    async def surprised(store):
        assert await read(store) == await read(store)

    calls = scenario(A=[Call("look", surprised)], B=[adding(careful_add, 1)])
    (violation,) = explore(calls).violations
    assert violation.check == "unexpected error"
    assert "AssertionError" in violation.message


def test_foreign_awaitable_is_refused():
    """Code that waits for an event loop is told so, since the explorer has none."""

    async def sleeping(_store):
        await asyncio.sleep(0)

    with pytest.raises(TypeError, match="no event loop"):
        explore(scenario(A=[Call("idle", sleeping)]))


def test_clock_stands_still_and_its_sleep_is_a_step():
    """The explorer's clock gives the same time always, and others move during its sleep."""

    def setup(gate):
        world = one_store(gate)
        return World(world.stores, (world.stores[0], FixedClock(gate)))

    async def slow_add(subject):
        store, clock = subject
        value = await read(store)
        await clock.sleep(clock.random())
        assert clock.now() == FixedClock().now()
        assert clock.monotonic() == 0
        await store.update_one({"_id": 1}, {"$set": {"value": value + 1}})
        return value + 1

    calls = Scenario(
        name="slow",
        setup=setup,
        clients={name: [Call("update", slow_add, 1, lambda value: value + 1)] for name in "AB"},
        truth=value_of,
    )
    assert explore(evolve(calls, clients={"A": calls.clients["A"]})).interleavings == 1
    (violation,) = explore(calls).violations
    assert "A: clock sleep 0.0005 → nothing" in violation.steps


@pytest.mark.parametrize("resumes", [False, True])
def test_sleepers_go_on_where_they_may(resumes):
    """With `wakes`, a sleep ends only where that holds, or where nobody else can move."""

    def setup(gate):
        store = MemoryCollection("store", [{"_id": 1, "open": False}], gate=gate)
        return World((store,), (store, FixedClock(gate)))

    async def write_in_two_steps(subject):
        for opens in (True, False):
            await subject[0].update_one({"_id": 1}, {"$set": {"open": opens}})

    async def look_twice(subject):
        await subject[0].find_one({"_id": 1})
        await subject[1].sleep(1)
        await subject[0].find_one({"_id": 1})

    def is_closed(world):
        return not world.stores[0].stored(1)["open"]

    clients = {"A": [Call("write", write_in_two_steps)], "B": [Call("look", look_twice)]}
    calls = Scenario(name="sleep", setup=setup, clients=clients, truth=lambda _: {}, crashes=False, resumes=resumes)
    assert explore(calls).interleavings == comb(5, 2)
    # In four of these the sleep ends between both writes.
    assert explore(evolve(calls, wakes=is_closed)).interleavings == comb(5, 2) - 4
    # After both writes the sleep ends all the same; the first look may come at three places.
    assert explore(evolve(calls, wakes=lambda _: False)).interleavings == 3
    assert explore(evolve(calls, clients={"B": clients["B"]}, wakes=lambda _: False)).interleavings == 1


def test_calls_draw_numbers_of_their_own():
    """Each call draws the same numbers in every interleaving, and no two calls draw the same."""
    drawn = {}

    def drawing(name):
        async def draw(store):
            numbers = [FixedClock().random()]
            await read(store)
            numbers.append(FixedClock().random())
            assert drawn.setdefault(name, numbers) == numbers

        return Call("idle", draw)

    assert explore(scenario(A=[drawing("A1"), drawing("A2")], B=[drawing("B")])).ok
    assert len({number for numbers in drawn.values() for number in numbers}) == 6
    assert FixedClock().random() == 0.5


def test_listing_is_judged_per_entity():
    """A listing that misses a value which stood all the while is a violation."""

    async def blind(_store):
        return {}

    async def seeing(store):
        return {document["_id"]: document["value"] async for document in store.find()}

    assert explore(scenario(A=[Call("list", seeing)], B=[adding(atomic_add, 1)])).ok
    (violation,) = explore(scenario(A=[Call("list", blind)])).violations
    assert violation.check == "linearizable"


async def read_pair(store):
    """Both values."""
    document = await store.find_one({"_id": 1})
    return document["value"], document.get("other", 0)


async def add_beside(store):
    """Read both values, then compare and set one of them: another writer of the other one is not seen."""
    value, other = await read_pair(store)
    await store.update_one({"_id": 1, "value": value}, {"$set": {"value": value + 1}})
    return value + 1, other


async def set_other(store):
    """Set the other value."""
    await store.update_one({"_id": 1}, {"$set": {"other": 1}})
    return Outcome.DONE


def test_parts_of_an_entity_may_have_orders_of_their_own():
    """What has no order as a whole may have one for each part, and a lost update of one part is still found."""
    names = ("value", "other")
    adds = Call("update", add_beside, 1, (lambda value: value + 1, kept))
    sets = [Call("update", set_other, 1, (kept, 1)), Call("get", read_pair, 1)]
    made = scenario(A=[adds], B=sets)

    def pair_of(world):
        document = world.stores[0].stored(1)
        return document["value"], document.get("other", 0)

    def as_pair(pair, operation):
        changes = operation.argument or (kept, kept)
        after = tuple(one(part) if callable(one) else one for one, part in zip(changes, pair, strict=True))
        return operation.result in (after, Outcome.DONE, Outcome.UNCERTAIN), after

    split = evolve(made, truth=lambda world: by_field(1, pair_of(world), names), split=split_by(names))
    assert explore(split).ok
    assert not explore(evolve(made, truth=lambda world: {1: pair_of(world)}, model=as_pair)).ok
    assert not explore(evolve(split, clients={"A": [adds, adds], "B": [adds]})).ok


def test_observations_are_counted_and_not_held_against():
    """An observation is counted per state of the stores and fails nothing."""
    seen = {"above one": lambda world: "above" if value_of(world)[1] > 1 else None}
    report = explore(scenario(A=[adding(atomic_add, 1)] * 3, observations=seen))
    assert report.ok
    assert report.observed == {"above one": 2}


def test_state_limit_is_told():
    """A scenario beyond the limit is reported as not exhausted."""
    report = explore(scenario(A=[READ] * 6, B=[READ] * 6), state_limit=10)
    assert not report.exhaustive


def three_naive():
    """Too small to need a walk, but with a fault to be found by one."""
    return scenario(**{name: [adding(naive_add, 1), READ] for name in "ABC"})


def test_walk_finds_and_shortens():
    """A random walk finds the lost update among three clients, repeats by its seed, and drops idle steps."""
    seed = 7
    print(f"seed {seed}")
    report = walk(three_naive(), runs=500, seed=seed)
    (violation,) = report.violations
    assert report.seed == seed
    assert not report.exhaustive
    assert walk(three_naive(), runs=500, seed=seed) == report
    assert len(violation.choices) < 3 * 3


def test_walk_of_sound_code_passes():
    """A walk of code that is sound makes all its runs and finds nothing."""
    calls = scenario(**{name: [adding(careful_add, 1), READ] for name in "ABC"})
    report = walk(calls, runs=50, seed=1)
    assert report.ok
    assert report.runs == 50
    assert report.ends > 0


def test_documents_with_both_shapes_are_told():
    """A document that carries both shapes is described by its revision, and whether V2's part is alone."""
    assert describe_document({"_id": 1, "a": 1, "_lazymig": {"rev": 7, "of": b""}}) == "rev 7 {'a': 1}"
    assert describe_document({"_id": 1, "a": 1, "_lazymig": {"rev": 7, "alone": True}}) == "rev 7 alone {'a': 1}"


def test_total_adds_up():
    """Several reports add up to one, which names what any of them found."""
    sound = explore(scenario(A=[READ], B=[READ]))
    broken = explore(scenario(A=[adding(naive_add, 1)], B=[adding(naive_add, 1)]))
    both = total("both", [sound, broken])
    assert both.runs == sound.runs + broken.runs
    assert both.violations == broken.violations
    assert not both.ok
    assert str(both).splitlines()[1] == str(broken.violations[0]).splitlines()[0]


def body_equal(v1, v2):
    """The same value on both sides."""
    return v1["value"] == v2["value"]


V1 = {"_id": 1, "value": "x", "_lazymig_rev": 3}


@pytest.mark.parametrize(
    ("v1", "v2", "fine"),
    [
        ([V1], [{"_id": 1, "value": "x", "_lazymig": {"rev": 3, "intent": 3}}], True),
        ([V1], [{"_id": 1, "value": "y", "_lazymig": {"rev": 3, "intent": 3}}], False),
        ([V1], [{"_id": 1, "value": "x", "_lazymig": {"rev": 2, "intent": 2}}], False),
        ([V1], [{"_id": 1, "value": "y", "_lazymig": {"rev": 2, "intent": 3}}], True),
        ([], [{"_id": 1, "value": "x", "_lazymig": {"rev": 3, "intent": 3}}], False),
        ([], [{"_id": 1, "_lazymig": {"rev": 3, "intent": 3, "gone": True}}], True),
        ([{"_id": 1, "value": "x"}], [{"_id": 1, "value": "x", "_lazymig": {"rev": 0, "intent": 0}}], True),
        ([V1], [], True),
    ],
)
def test_clean_is_current(v1, v2, fine):
    """A clean V2 document that is not V1's current revision breaks the invariant; every other state keeps it."""
    assert (clean_is_current(v1, v2, body_equal) is None) == fine


def test_marks_and_dirt():
    """A dirty document without a mark is told; a tombstone at rest is no dirt."""
    dirty = {"_id": 1, "_lazymig": {"rev": 0, "intent": 1}}
    tombstone = {"_id": 2, "_lazymig": {"rev": 1, "intent": 1, "gone": True, "at": FixedClock().now()}}
    assert dirty_is_marked([tombstone]) is None
    assert "1" in dirty_is_marked([tombstone, dirty])
    assert any_dirty([tombstone, dirty])
    assert not any_dirty([tombstone])


def acting_on_what_it_found():
    """One client searches, pauses and acts on what it found; the other inserts a document and deletes it again."""

    async def search(store):
        found = await store.find({"_id": 2}).to_list(None)
        for _ in range(2):
            await store.find_one({"_id": 1})
        if found:
            await store.update_one({"_id": 1}, {"$set": {"value": -1}})

    async def come_and_go(store):
        await store.insert_one({"_id": 2})
        await store.delete_one({"_id": 2})

    calls = {"search": search, "come and go": come_and_go}
    return {name: [Call(name, run)] for name, run in calls.items()}


@pytest.mark.parametrize("order", [("search", "come and go"), ("come and go", "search")])
def test_states_differ_by_what_a_search_found(order):
    """Where the stores are alike, a client that has found something is not taken for one that has found nothing."""
    clients = acting_on_what_it_found()
    unharmed = {"unharmed": lambda world: "acted" if world.stores[0].stored(1)["value"] < 0 else None}
    made = Scenario(
        name="found", setup=one_store, clients={name: clients[name] for name in order}, truth=value_of,
        invariants=unharmed, crashes=False,
    )  # fmt: skip
    assert explore(made).violations


async def taken_apart(store):
    """Takes a document apart before it goes on, and acts on what it took."""
    found = await store.find_one({"_id": 1})
    value = found.pop("value")
    await store.find_one({"_id": 1})
    if value == 5:
        await store.update_one({"_id": 1}, {"$set": {"value": -1}})


async def five_for_a_moment(store):
    """Another value, and the old one again."""
    await store.update_one({"_id": 1}, {"$set": {"value": 5}})
    await store.update_one({"_id": 1}, {"$set": {"value": 0}})


@pytest.mark.parametrize("order", [(taken_apart, five_for_a_moment), (five_for_a_moment, taken_apart)])
def test_states_differ_by_what_was_found_whatever_became_of_it(order):
    """Code may take what it found apart: it is distinguished from code that found something else all the same."""
    unharmed = {"unharmed": lambda world: "acted" if world.stores[0].stored(1)["value"] < 0 else None}
    made = Scenario(
        name="taken apart", setup=one_store, clients={run.__name__: [Call(run.__name__, run)] for run in order},
        truth=value_of, invariants=unharmed, crashes=False,
    )  # fmt: skip
    assert explore(made).violations
    assert explore(evolve(made, resumes=True)).violations


async def insert_or_add(store):
    """Goes on after an error, with a document that it changes itself."""
    try:
        await store.insert_one({"_id": 1, "value": 0})
    except DuplicateKeyError:
        found = await store.find_one({"_id": 1})
        found["value"] += 1
        await store.replace_one({"_id": 1, "value": found["value"] - 1}, found)
    return (await store.find_one({"_id": 1}))["value"]


ANY = {"model": lambda state, operation: (True, state)}
RESUMED = {
    "careful": scenario(A=[adding(careful_add, 1)], B=[adding(careful_add, 10)], C=[READ, READ]),
    "naive": scenario(A=[adding(naive_add, 1), READ], B=[adding(naive_add, 10)]),
    "three at once": scenario(**{name: [adding(careful_add, 10**n)] for n, name in enumerate("ABC")}),
    "cancelled": scenario(
        A=[Call("update", guarded_add, 1, lambda value: value + 1, lambda _: Outcome.DONE)],
        B=[adding(careful_add, 10), READ], cancellations=2, is_dirty=unlocked,
    ),
    "errors": scenario(A=[Call("update", insert_or_add, 1)], B=[Call("update", insert_or_add, 1), READ], **ANY),
    "not judged": scenario(A=[Call("sweep", lambda store: naive_add(store, 1))], B=[READ], **ANY),
}  # fmt: skip


@pytest.mark.parametrize("name", RESUMED)
def test_resuming_changes_nothing(name):
    """Going on from a copy of the stores finds the same states, ends and counter-example as running all again."""
    again, resumed = (explore(evolve(RESUMED[name], resumes=resumes)) for resumes in (False, True))
    assert resumed == again
    assert bool(again.violations) == (name == "naive")


async def reuse_its_filter(store):
    """Changes a filter that it has sent, and sends it again."""
    wanted = {"_id": 1, "value": 0}
    first = await store.find_one(wanted)
    wanted["value"] = 1
    await store.find_one(wanted)
    return 0 if first is None else 1


def test_resuming_takes_a_statement_as_it_was_sent():
    """What a call does later to what it has sent changes nothing in the runs that go on from before that."""
    made = scenario(A=[Call("look", reuse_its_filter)], B=[adding(naive_add, 1)], C=[adding(careful_add, 2)])
    again, resumed = (explore(evolve(made, **ANY, resumes=resumes)) for resumes in (False, True))
    assert resumed == again
    assert again.states > 10


def test_resuming_runs_a_call_once_for_equal_answers():
    """However many runs take a client past the same answers, its code runs on from them once."""
    looks = []

    async def look(store):
        for _ in range(3):
            await store.find_one({"_id": 1})
            looks.append(None)

    made = scenario(A=[Call("look", look)], B=[Call("look", look)])
    run_on = []
    for resumes in (False, True):
        looks.clear()
        explore(evolve(made, resumes=resumes))
        run_on.append(len(looks))
    assert run_on[1] == 2 * 3 < run_on[0]


def test_resuming_takes_no_statement_twice():
    """What a branch goes on from is not sent again: each step from each state has its effect once."""
    taken = []

    class Counting(MemoryCollection):
        def _find_one(self, criteria, projection):
            taken.append(criteria)
            return super()._find_one(criteria, projection)

    def counted(gate):
        store = Counting("S", [{"_id": 1, "value": 0}], gate=gate)
        return World((store,), store)

    made = evolve(scenario(A=[Call("look", read)] * 3, B=[Call("look", read)] * 3), setup=counted)
    effects = []
    for resumes in (False, True):
        taken.clear()
        explore(evolve(made, resumes=resumes))
        effects.append(len(taken))
    edges = 2 * 3 * 4  # of a grid of four by four states
    assert effects[1] == edges < effects[0]
