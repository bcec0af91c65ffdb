"""What comes late: conversions that are stored after V2 has forgotten a delete, and bodies behind their callers."""

from collections import Counter
from datetime import timedelta

from attrs import evolve, frozen

from lazymig import protocol
from lazymig.repository import calls_of
from lazymig.sweeping.moving import Mover
from lazymig.testing.explore import FixedClock
from tests.interleaving import subject
from tests.interleaving.subject import ID, INVARIANTS, KEEPING, MIGRATION, Call, calls, done, noted_calls, opened, setup

# ---- old reads ------------------------------------------------------------------------------------------------------


class RunningClock(FixedClock):
    """Between any two looks at it more time passes than an old read may take; the time of day stands still."""

    def __init__(self):
        super().__init__()
        self._elapsed_s = 0.0

    def monotonic(self):
        self._elapsed_s += 10
        return self._elapsed_s


async def delete_and_forget(s):
    """A delete, and its tombstone purged at once: nothing in V2 remembers the entity any more."""
    await s.repository.delete(ID)
    pair = calls_of(s.repository).pair
    for seen in await pair.ledger.marks(pair.clock.now() + timedelta(1), 10):
        await protocol.purge(pair, seen, timedelta(0))


async def sweep_slowly(s):
    """A sweep whose page was read long before it is stored."""
    pair = calls_of(s.repository).pair
    found = [document async for document in s.v1.find({})]
    await Mover(pair, None, Counter(), dry_run=False).move(found, pair.clock.monotonic())


def late_calls(amount):
    """Those that store conversions, and a delete that V2 forgets."""
    made = calls(amount)
    forgotten = Call("delete", delete_and_forget, ID, observe=done)
    return {**made, "delete and forget": forgotten, "slow sweep": Call("sweep", sweep_slowly)}


def late_scenario(clients, **changes):
    """From V1 alone; judged when all is over, since a late store may show for a moment."""
    made = subject.scenario("V1 only", clients, make=late_calls, setup=setup("V1 only", clock=RunningClock()))
    invariants = {name: check for name, check in INVARIANTS.items() if name != "clean is V1"}
    return evolve(made, invariants=invariants, crashes=False, **changes)


# ---- bodies behind their callers ------------------------------------------------------------------------------------


class Queue:
    """Write-behind without an event loop: steps wait until somebody runs them, which may be at any time."""

    def __init__(self):
        self.steps = {}

    async def do(self, step, assumed, id=None):
        """Put the step behind; one without an id is done at once."""
        if id is None:
            return await step()
        self.steps[id] = step
        return assumed

    def holds(self, id):
        """Whether a step waits."""
        return id in self.steps

    async def wait_for(self, id, within_s=None):
        """Wait for it: here, run it, which as a store of the same body may happen twice."""
        await self.run(id)

    async def wait_for_all(self, within_s):
        """The same for all."""
        for id in list(self.steps):
            await self.run(id)

    async def run(self, id):
        """Run the step, which is over only then."""
        step = self.steps.get(id)
        if step is not None:
            await step()
            if self.steps.get(id) is step:
                del self.steps[id]

    async def at_last(self, step, ending=None):
        """As the last step of a call that fails."""
        await step()
        return True


@frozen
class Queued:
    """What calls are made on: a repository whose bodies wait."""

    repository: object
    queue: Queue


def queued(migration):
    """Makes it; the queue is empty at the beginning of every run."""

    def make(v1, v2, clock):
        repository = opened(migration, v1, v2, clock)
        queue = Queue()
        calls = calls_of(repository)
        repository._calls = calls.with_pair(evolve(calls.pair, behind=queue))
        return Queued(repository, queue)

    return make


async def bring(s):
    """The queue's turn."""
    await s.queue.wait_for_all(None)


def queued_calls(amount):
    """The calls of V2's door, judged by the whole entity, and the queue's turn."""
    return {**noted_calls(amount), "bring": Call("bring", bring)}


def queued_scenario(state, clients, keeping=True):
    """One client at a time writes: what it wrote before, it finds again, be V2's body late or not."""
    migration = KEEPING if keeping else MIGRATION
    made = subject.noted_scenario(state, clients, migration, make=queued_calls)
    set_back = setup(state, migration, subject=queued(migration))

    def emptied(gate):
        world = set_back(gate)
        world.subject.queue.steps.clear()
        return world

    return evolve(made, name=f"{made.name}, behind", setup=emptied, resumes=False)  # the queue is no store
