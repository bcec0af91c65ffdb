"""Writes of documents with both shapes that share statements: what can cross them, and each guard of theirs bites."""

from itertools import product

import pytest
from pymongo import DeleteOne

from lazymig.stores import mongo_wholes, two_steps
from lazymig.stores.grouping import GuardedWrites
from lazymig.stores.mongo_wholes import build_delete
from lazymig.stores.two_steps import TwoStepDeletes
from tests.interleaving.failing_over import FAIL_OVER
from tests.interleaving.in_place import scenarios, unmoved
from tests.interleaving.in_place.clients import OUTSIDE, READS
from tests.interleaving.in_place.grouped import ENDS, BulkTask, in_bulks
from tests.interleaving.in_place.scenarios import COEXIST, SHADOW, V1_ONLY, V2_ONLY, V2_PRIMARY
from tests.interleaving.mutants import Mutant
from tests.interleaving.mutants_of_bulks import inserting_updates, lost_updates_count
from tests.interleaving.running import check_killed, visited
from tests.widening import WIDENING

FULL = WIDENING.full
PHASES = ((COEXIST, COEXIST), (V2_PRIMARY, V2_ONLY), (V1_ONLY, SHADOW), (V2_ONLY, V2_ONLY))
STATES = ("both current", "V1 only", "stale", "none")
#: What stands where only `v2_only` may write.
ALONE = ("alone", "alone, born in V2", "both current")
WRITES = ("insert", "update", "note", "replace", "delete", "V1 update", "V1 delete")


def check(name, tasks):
    """Nothing is wrong in any of these, and none was left half visited."""
    visited(name, [task.scenario() for task in tasks])


def states(phases):
    """The states to begin with."""
    return ALONE if V2_ONLY in phases else STATES


def test_deletes_in_two_steps_beside_every_call():
    """A reader, a writer or another program between both steps, with any crash, and whatever the bulk's others do."""
    outside = OUTSIDE if FULL else ("out name", "out delete", "out replace")
    calls = (*READS, *WRITES) if FULL else ("get", "list", "update", "delete", "insert")
    made = []
    for place, (phases, delete) in enumerate(product(PHASES, ("delete", "V1 delete") if FULL else ("delete",))):
        beside = calls if V2_ONLY in phases else (*calls, *outside)
        for number, (other, end) in enumerate(product(beside, ENDS)):
            some = states(phases)
            chosen = some if FULL else [some[(place + number) % len(some)]]
            made += [BulkTask(state, ((delete,), (other,)), phases=phases, end=end) for state in chosen]
    check("deletes in bulks", made)


def test_lives_of_one_entity_in_bulks():
    """Entities that are deleted and inserted again, by lazymig and by other programs, while a bulk deletes them."""
    lives = (("delete", "insert"), ("out delete", "out insert"), ("update", "delete"))
    made = [BulkTask("both current", (("delete",), some), end=end) for some, end in product(lives, ENDS)]
    made += [BulkTask("V1 only", (("delete", "insert"), (other,)), end=ENDS[1]) for other in ("update", "get")]
    check("lives in bulks", made)


def test_writes_in_bulks_beside_each_other():
    """Changes and inserts of bulks beside one another."""
    pairs = [pair for pair in product(WRITES, WRITES) if pair[0] <= pair[1] or FULL]
    made = []
    for number, (one, other) in enumerate(pairs):
        for phases in PHASES if FULL else [PHASES[number % len(PHASES)]]:
            some = states(phases)
            made += [BulkTask(state, ((one,), (other,)), phases=phases) for state in (some if FULL else some[:1])]
    check("writes in bulks", made)


def test_cancelled_members_of_bulks():
    """The caller of a delete in two steps is cancelled at any of them."""
    made = [
        BulkTask("both current", (("delete",), (other,)), cancellations=1, end=ENDS[number % 3])
        for number, other in enumerate(("update", "get", "out delete", "insert"))
    ]
    check("cancelled deletes in bulks", made)


def test_an_entity_that_v2s_door_does_not_know_is_not_deleted():
    """Another program makes it one between the steps, of which the first was for an entity that V2's door knew."""
    others = ("out leave", "out wait", "out convert", "V1 update", "leave", "get")
    made = [
        BulkTask(state, (("delete",), (other,)), unmoved=True, end=end)
        for number, (state, other) in enumerate(product(("current", "left, and renamed since", "waiting"), others))
        for end in (ENDS if FULL else [ENDS[number % 3]])
    ]
    check("deletes of what is just left", made)


def test_deletes_in_two_steps_while_another_member_takes_over():
    """Of the first step, a fail-over at any time takes back what the majority does not have yet."""
    beside = ("get", "list by", "update", "delete", "insert", "V1 update")
    pairs = [*product(PHASES if FULL else (PHASES[0], PHASES[3]), beside), *product(PHASES[:1], OUTSIDE)]
    made = []
    for number, (phases, other) in enumerate(pairs):
        some, ends = states(phases), ENDS if FULL else [ENDS[number % 3]]
        chosen = some if FULL else [some[number % len(some)]]
        clients = (("delete",), (other,), (FAIL_OVER,))
        made += [BulkTask(state, clients, phases=phases, end=end) for state, end in product(chosen, ends)]
    made += [BulkTask("both current", (("delete",), (FAIL_OVER, FAIL_OVER)), end=end, cancellations=1) for end in ENDS]
    made += [BulkTask("V1 only", (("delete",), ("delete", "insert"), (FAIL_OVER,)), end=end) for end in ENDS]
    check("deletes in bulks beside a fail-over", made)


def test_first_steps_of_which_nobody_knows_whether_they_were_done():
    """The connection is lost, and they are sent again, when they match no more."""
    beside = ("get", "update", "delete", "insert", "out delete", "out replace", FAIL_OVER)
    made = [
        BulkTask(state, (("delete",), (other,)), end=ENDS[number % 3], sends=2)
        for number, (state, other) in enumerate(product(("both current", "V1 only"), beside))
    ]
    check("deletes in bulks, sent again", made)


# ---- mutants --------------------------------------------------------------------------------------------------------


def hasty_second_step(monkeypatch):
    """The second step deletes what has the revision of the first, whatever values stand by now."""

    def build(seen, revision, held=None):
        one = build_delete(seen, revision, held)
        return one._replace(then={"_id": seen.id, "_lazymig.rev": revision})

    monkeypatch.setattr(mongo_wholes, "build_delete", build)


def unguarded_second_step(monkeypatch):
    """The second step deletes whatever has the id by now."""

    def build(seen, revision, held=None):
        one = build_delete(seen, revision, held)
        return one._replace(then={"_id": seen.id}, survived={"_id": seen.id})

    monkeypatch.setattr(mongo_wholes, "build_delete", build)


def survived_by_id(monkeypatch):
    """What stands under the id is taken for what was to be deleted."""

    def build(seen, revision, held=None):
        return build_delete(seen, revision, held)._replace(survived={"_id": seen.id})

    monkeypatch.setattr(mongo_wholes, "build_delete", build)


def shortfall_counts(monkeypatch):
    """A bulk that deleted fewer is taken for done."""
    send = GuardedWrites.send_deletes

    async def all_deleted(writes, requests):
        failures, _ = await send(writes, requests)
        return failures, len(requests) - len(failures)

    monkeypatch.setattr(GuardedWrites, "send_deletes", all_deleted)


def gone_is_deleted(monkeypatch):
    """What did not survive is taken for deleted by this bulk."""
    monkeypatch.setattr(two_steps, "unknown", lambda why: True)


def hasty_answers(monkeypatch):
    """The second step waits for the majority as little as the first."""
    made = TwoStepDeletes.__init__

    def make(deletes, firsts, seconds):
        seconds._collection = firsts._collection
        made(deletes, firsts, seconds)

    monkeypatch.setattr(TwoStepDeletes, "__init__", make)


def raised_is_deleted(monkeypatch):
    """What has got its deleter's revision is taken for deleted."""

    async def delete_each(deletes, all):
        outcomes = await deletes._firsts.update_each([one.first for one in all])
        await deletes._seconds.send_deletes([DeleteOne(one.then) for one in all])
        return outcomes

    monkeypatch.setattr(TwoStepDeletes, "delete_each", delete_each)


def shown(*clients, state="both current", **options):
    """The calls of each client, in `coexist`."""
    return lambda: in_bulks(scenarios.scenario, (COEXIST, COEXIST), state, clients, **options)


def left_meanwhile():
    """V2's door deletes an entity beside a program by which `upgrade` leaves it."""
    return in_bulks(unmoved.scenario, (COEXIST, COEXIST), "current", (["delete"], ["out leave"]))


MUTANTS = (
    Mutant("the second step holds no values", hasty_second_step, left_meanwhile),
    Mutant("the second step is not guarded", unguarded_second_step, left_meanwhile),
    Mutant(
        "what has the id survived", survived_by_id,
        shown(["delete"], ["insert"], end="gone by another's hand"),
    ),
    Mutant("a shortfall counts as done", shortfall_counts, shown(["delete"], ["out delete"])),
    Mutant("what is gone was deleted", gone_is_deleted, shown(["delete"], ["out delete"], end="deleted")),
    Mutant("the second step waits for nobody", hasty_answers, shown(["delete"], [FAIL_OVER])),
    Mutant("what was raised was deleted", raised_is_deleted, shown(["delete"], [FAIL_OVER])),
    Mutant(
        "what fell back was deleted", gone_is_deleted,
        shown(["delete"], [FAIL_OVER], end="deleted"),
    ),
    Mutant("updates insert", inserting_updates, shown(["replace"], ["delete"])),
    Mutant("lost updates count", lost_updates_count, shown(["note"], ["note"])),
)  # fmt: skip


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_of_bulks_in_one_document_is_killed(mutant, monkeypatch):
    """The scenario is sound as the bulks stand, and has a counter-example once the guard is taken away."""
    check_killed(mutant, monkeypatch)
