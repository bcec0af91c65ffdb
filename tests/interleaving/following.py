"""The follower beside clients and outside programs: V1 keeps the events that its change stream would report.

The follower sees each event at any later moment, when both sides may have moved on. It never stops for good, so the end
of every run is judged after it has handled all events, even if clients died: then both sides agree.
"""

from attrs import evolve, frozen

from lazymig.following.healing import begins_life, heal_one
from lazymig.following.judging import Finding, Memory
from lazymig.following.looking import Lookout
from lazymig.repository import calls_of
from lazymig.stores.documents import REVISION_FIELD
from lazymig.stores.events import Event, Operation
from lazymig.testing.exploration.values import freeze
from lazymig.testing.explore import FixedClock, World
from lazymig.testing.memory_collection import MemoryCollection
from tests.interleaving import repairs, subject
from tests.interleaving.subject import CLOCK, ID, MIGRATION, Call, opened, read_afterwards

#: More would mean that the follower and itself go on for ever.
LOOPS = 10


class Reporting(MemoryCollection):
    """A collection that keeps what its change stream reports, and the follower's position in it."""

    def __init__(self, *arguments):
        self.events, self.done = [], frozenset()
        super().__init__(*arguments)
        self.events = []

    def _report(self, operation, before, after):
        held = before.get(REVISION_FIELD) if before else None
        stored = after.get(REVISION_FIELD) if after else None
        # An update reports the fields that it changed.
        revision = stored if stored != held else None
        self.events = [*self.events, Event(ID, operation, revision, CLOCK.now(), {"after": len(self.events) + 1})]

    def _put(self, document):
        before = self.stored(document["_id"])
        super()._put(document)
        self._report(Operation.UPDATE if before else Operation.INSERT, before, document)

    def _delete_one(self, criteria):
        result = super()._delete_one(criteria)
        if result.deleted_count:
            self._report(Operation.DELETE, None, None)
        return result

    def pending(self):
        """The events that are not handled, with their places."""
        return [(place, event) for place, event in enumerate(self.events) if place not in self.done]

    def fingerprint(self, numbers):
        """The contents, the events and the position as numbers."""
        seen = numbers[freeze([[str(event.operation), event.revision] for event in self.events])]
        return (*super().fingerprint(numbers), -1 - seen, *sorted(-1000 - place for place in self.done))

    def snapshot(self):
        """A copy of all of it."""
        return (*super().snapshot(), self.events, self.done)

    def restore(self, snapshot):
        """Set it back."""
        *contents, self.events, self.done = snapshot
        super().restore(contents)


@frozen
class Followed:
    """What calls are made on."""

    repository: object
    v1: Reporting
    v2: MemoryCollection
    #: Whether an unannounced change is an error here, because nobody makes one, but for what looks like one.
    strict: bool = False


def set_up(state, *, strict, **options):
    """A function that gives the world of one starting state, the same one set back for every run."""
    v1_documents, v2_documents = repairs.STATES[state]
    v1, v2, clock = Reporting("V1", v1_documents), MemoryCollection("V2", v2_documents), FixedClock()
    world = World((v1, v2), Followed(opened(MIGRATION, v1, v2, clock, **options), v1, v2, strict))
    snapshots = v1.snapshot(), v2.snapshot()

    def set_back(gate):
        for store, snapshot in zip(world.stores, snapshots, strict=True):
            store.restore(snapshot)
        v1.gate = v2.gate = clock.gate = gate
        return world

    return set_back


async def follow(s):
    """Handle the events so far: the follower's own judging and healing, without its stream, tasks and leases."""
    pair, lookout = calls_of(s.repository).pair, Lookout(calls_of(s.repository).pair)
    pending = s.v1.pending()
    if not pending:
        return []
    memory = Memory()
    memory.trace([event for place, event in enumerate(s.v1.events) if place < pending[0][0]])
    findings = await lookout.judge([event for _, event in pending], memory)
    left, handled = [], []
    for (place, event), finding in zip(pending, findings, strict=True):
        if finding is Finding.OPEN:
            left.append(event)
            continue
        handled.append(place)
        if finding in (Finding.ROGUE, Finding.VANISHED):
            assert not s.strict or crossed(s, event), (
                f"a change of lazymig's own was taken for another program's: {event}"
            )
            await heal_one(pair, event.id, inserted=begins_life(event.operation))
    s.v1.done = s.v1.done | frozenset(handled)
    return left


def crossed(s, event):
    """Whether a delete drew the higher ticket, and V1 took the insert after it.

    Until the insert's last step, or where it died before that, this looks like an entity from a backup.
    """
    meta = s.v2.stored(ID)["_lazymig"]
    return event.operation is Operation.INSERT and meta.get("gone", False) and event.revision < meta["rev"]


async def follow_to_the_end(s):
    """Handle all events; what stays open is healed, as after some seconds."""
    for _ in range(LOOPS):
        for event in await follow(s):
            if await Lookout(calls_of(s.repository).pair).judge_again([event]) == [Finding.OPEN]:
                await heal_one(calls_of(s.repository).pair, event.id)
            s.v1.done = s.v1.done | {s.v1.events.index(event)}
        if not s.v1.pending():
            return
    raise AssertionError("the follower does not come to an end")


async def follow_and_read(s):
    """What both doors answer once the follower has handled everything."""
    await follow_to_the_end(s)
    return await read_afterwards(s)


def scenario(state, clients, *, strict=False, **changes):
    """Clients by lists of call names, and the follower at last, even if clients died."""

    def make(amount):
        return {**repairs.all_calls(amount), "follow": Call("follow", follow)}

    kept = {name: subject.INVARIANTS[name] for name in ("gone has no body", "marked")}
    made = subject.scenario(state, clients, make=make, setup=set_up(state, strict=strict), invariants=kept)
    return evolve(made, name=f"{made.name}, followed", afterwards=follow_and_read, model=repairs.any_history, **changes)
