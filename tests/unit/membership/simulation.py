"""A fleet and its operator in simulated time: every statement may be late, lost or answered by a replaced primary.

Processes register, renew, acknowledge and run calls by lazymig's own code. Any of them may stand still for longer than
its lease, in the middle of a statement too, or die. An operator moves the phase up and down and holds writes, as
`lazymig phase` does.

What must hold, at every moment:

- Two calls in flight are at most one phase apart, unless the lease is over under which one of them began.
- A call whose lease is held is at most one phase away from the recorded one.
- Once every process has acknowledged that writes are held, none is in flight whose lease is held.
"""

from __future__ import annotations

import operator
import random
import re
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, cast

from attrs import define, field
from pymongo.errors import AutoReconnect

from lazymig import Phase, PhaseError
from lazymig.control import Members, Phases, Standing
from lazymig.membership.in_flight import Generation
from lazymig.membership.member import Member
from lazymig.membership.terms import Terms
from lazymig.switching.waiting import RollCall
from tests.clocks import GivenTime

NAME = "things"
LADDER = list(Phase)
LEASE_S = 15.0
#: Seconds for which a primary that was replaced, and paused meanwhile, may answer reads; and how often it does.
STALE_S, STALE = 30.0, 0.1


class Step:
    """A moment at which others may move."""

    def __await__(self) -> Generator[None]:
        yield


class SimulatedClock:
    """The time of the simulation, the same for all: clocks run alike and are never compared."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def now(self) -> datetime:
        return datetime(2024, 5, 1) + timedelta(seconds=int(self.now_s))

    def monotonic(self) -> float:
        return self.now_s

    def random(self) -> float:
        return 0.5

    async def sleep(self, delay_s: float) -> None:
        await Step()


class Table:
    """The rows of a control collection, for the statements that a fleet makes."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}

    def _find(self, where: dict[str, Any]) -> list[dict[str, Any]]:
        return [row for row in self.rows.values() if all(_fits(row.get(key), asked) for key, asked in where.items())]

    async def find_first(self, where: Any) -> Any:
        return next(iter(self._find(where)), None)

    async def find_all(self, where: Any, *, sort: Any = ()) -> Any:
        return self._find(where)

    async def add(self, row: Any) -> None:
        assert row["_id"] not in self.rows
        self.rows[row["_id"]] = dict(row)

    async def change_and_find(self, where: Any, change: Any) -> Any:
        for row in self._find(where):
            made = row | change.get("$set", {})
            made |= {key: made.get(key, 0) + amount for key, amount in change.get("$inc", {}).items()}
            made |= {key: [*made[key], *pushed["$each"]] for key, pushed in change.get("$push", {}).items()}
            self.rows[row["_id"]] = made
            return made
        return None

    async def change(self, where: Any, change: Any) -> bool:
        return await self.change_and_find(where, change) is not None

    async def claim(self, where: Any, change: Any) -> Any:
        if where["_id"] in self.rows:
            return None
        self.rows[where["_id"]] = {"_id": where["_id"], **change["$set"]}
        return self.rows[where["_id"]]

    async def remove(self, where: Any) -> int:
        found = self._find(where)
        for row in found:
            del self.rows[row["_id"]]
        return len(found)


def _fits(value: Any, asked: Any) -> bool:
    asks = asked if isinstance(asked, dict) else {"$eq": asked}
    return all(_OPERATORS[name](value, of) for name, of in asks.items())


_OPERATORS: dict[str, Callable[[Any, Any], object]] = {
    "$eq": operator.eq, "$ne": operator.ne, "$lt": operator.lt, "$regex": lambda value, of: re.search(of, value),
}  # fmt: skip


class Network:
    """The control collection's rows as processes reach them."""

    def __init__(self, rows: Table, world: World) -> None:
        self._rows, self._world = rows, world
        #: Until when nothing comes through, or no answer comes back.
        self.cut_until_s = 0.0

    @property
    def _fails(self) -> bool:
        return self._world.clock.now_s < self.cut_until_s or self._world.random.random() < self._world.losses / 2

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        statement = getattr(self._rows, name)

        async def sent(*arguments: Any, **options: Any) -> Any:
            world, chance = self._world, self._world.random
            await Step()
            if self._fails and chance.random() < 0.5:
                if chance.random() < 0.5:  # the server may still carry it out
                    world.late.append((world.clock.now_s + 20 * chance.random(), statement, arguments))
                raise AutoReconnect("the statement was lost")
            if name == "find_first" and chance.random() < STALE:
                result = world.find_stale()
            else:
                result = await statement(*arguments, **options)
                world.remember()
            await Step()
            if self._fails:
                raise AutoReconnect("the answer was lost")
            return result

        return sent


class Parts:
    """What a `Member` and a `RollCall` need of the control collection."""

    def __init__(self, rows: Any, clock: SimulatedClock) -> None:
        self.rows, self.clock, self.lease_s = rows, clock, LEASE_S

    def phases(self, migration: str) -> Phases:
        return Phases(self.rows, cast("Any", GivenTime(self.clock)), migration)

    def members(self, migration: str) -> Members:
        return Members(self.rows, self.clock, migration)


@define(eq=False)
class Process:
    """One process: its member, what its background task does now, and its calls."""

    member: Member
    task: Coroutine[Any, Any, None]
    network: Network
    calls: list[tuple[Generation, bool]] = field(factory=list)
    stands_until_s: float = 0.0
    is_dead: bool = False

    def is_bound(self, generation: Generation) -> bool:
        """Whether the lease is held under which a call began."""
        return not generation.lost and self.member.may_work


class Violated(AssertionError):
    """What must hold did not."""


class World:
    """One run."""

    def __init__(self, seed: int, processes: int = 3, losses: float = 0.03) -> None:
        self.random, self.losses = random.Random(seed), losses
        self.clock = SimulatedClock()
        self.table = Table()
        self._tasks: list[Coroutine[Any, Any, None]] = []
        self._former: list[tuple[float, dict[str, Any] | None]] = [(0.0, None)]
        self.moves = self.holds = self.refusals = 0
        #: Statements that nobody waits for any more, and when they arrive.
        self.late: list[tuple[float, Callable[..., Any], tuple[Any, ...]]] = []
        #: The epoch of a hold that all have acknowledged.
        self.held: int | None = None
        self._run(
            Phases(cast("Any", self.table), cast("Any", GivenTime(self.clock)), NAME).begin(
                self.random.choice(LADDER[:3]), by="", why=""
            )
        )
        self.remember()
        self.processes = [self._start() for _ in range(processes)]
        self.operator, self._operator_stands_until_s = self._operate(), 0.0

    @staticmethod
    def _run(work: Coroutine[Any, Any, Any]) -> Any:
        try:
            work.send(None)
        except StopIteration as ended:
            return ended.value
        raise AssertionError("it waits")

    # The record, and its former states.

    def _row(self) -> dict[str, Any] | None:
        return self.table.rows.get(f"{NAME}/phase")

    def remember(self) -> None:
        row = self._row()
        if row != self._former[-1][1]:
            self._former.append((self.clock.now_s, row))

    def find_stale(self) -> dict[str, Any] | None:
        """A state of the record that was replaced a moment ago at most, as a primary that was replaced has it."""
        kept = self._former
        recent = [row for (_, row), (ended_s, _) in pairwise(kept)
                  if row is not None and ended_s >= self.clock.now_s - STALE_S]  # fmt: skip
        return self.random.choice([*recent, self._row()])

    @property
    def recorded(self) -> Phase:
        row = self._row()
        assert row is not None
        return Phase(row["phase"])

    # What runs.

    def _start(self) -> Process:
        network = Network(self.table, self)
        member = Member(cast("Any", Parts(network, self.clock)), NAME, Terms(lease_s=LEASE_S))
        self._tasks.append(self._keep(member))
        return Process(member, self._tasks[-1], network)

    async def _keep(self, member: Member) -> None:
        while True:
            with suppress(AutoReconnect, PhaseError):
                await member.exchange()
            await Step()

    async def _operate(self) -> None:
        parts = Parts(Network(self.table, self), self.clock)
        phases, roll_call = parts.phases(NAME), RollCall(cast("Any", parts), NAME, lambda _: None)
        while True:
            try:
                standing = await phases.find_newest()
                await self._wait_for_all(roll_call, standing)
                if standing.hold == "writes":
                    self.held = standing.epoch
                    self.holds += 1
                    for _ in range(self.random.randrange(5)):
                        await Step()
                self.held = None
                await self._change(phases, standing)
            except AutoReconnect:
                pass
            finally:
                self.held = None

    async def _wait_for_all(self, roll_call: RollCall, standing: Standing) -> None:
        while await roll_call.find_behind(standing.epoch):
            await Step()

    async def _change(self, phases: Phases, standing: Standing) -> None:
        if standing.hold is None and self.random.random() < 0.3:
            await phases.change(standing, hold="writes")
            return
        place = LADDER.index(standing.phase) + self.random.choice((-1, 1))
        self.moves += await phases.move(standing, LADDER[max(0, min(place, 5))], by="", why="") is not None

    # One step of the run.

    def step(self) -> None:
        chance = self.random.random()
        self.clock.now_s += self.random.choice((0.0, 0.01, 0.1, 0.3))
        if self.late and min(self.late, key=lambda one: one[0])[0] <= self.clock.now_s:
            due = min(self.late, key=lambda one: one[0])
            self.late.remove(due)
            self._run(due[1](*due[2]))
            self.remember()
        elif chance < 0.4:
            if self.clock.now_s >= self._operator_stands_until_s:
                self.operator.send(None)
                if self.random.random() < 0.01:
                    self._operator_stands_until_s = self.clock.now_s + 4 * self.random.random()
        else:
            self._move(self.random.randrange(len(self.processes)))
        self.check()

    def _move(self, place: int) -> None:
        process, chance = self.processes[place], self.random.random()
        if process.is_dead:
            if chance < 0.02:
                self.processes[place] = self._start()
            return
        if process.stands_until_s > self.clock.now_s:
            return
        if chance < 0.004:
            process.stands_until_s = self.clock.now_s + self.random.choice((1, 10, 17, 18, 19, 20, 21, 40))
        elif chance < 0.01:
            process.network.cut_until_s = self.clock.now_s + self.random.choice((2, 10, 20, 30))
        elif chance < 0.012:
            process.is_dead = True
        elif chance < 0.35:
            self._begin_call(process)
        elif chance < 0.6:
            self._end_call(process)
        else:
            process.task.send(None)

    def _begin_call(self, process: Process) -> None:
        writes = self.random.random() < 0.5
        generation = process.member.try_to_enter(writes=writes)
        if generation is None:
            self.refusals += 1
        elif len(process.calls) < 3:
            process.calls.append((generation, writes))
        else:
            process.member.end(generation, writes=writes)

    def _end_call(self, process: Process) -> None:
        if process.calls:
            generation, writes = process.calls.pop(self.random.randrange(len(process.calls)))
            process.member.end(generation, writes=writes)

    def check(self) -> None:
        """Raise `Violated` where something does not hold."""
        bound = [
            (generation, writes) for one in self.processes if not one.is_dead
            for generation, writes in one.calls if one.is_bound(generation)
        ]  # fmt: skip
        places = [LADDER.index(generation.standing.phase) for generation, _ in bound]
        if places and max(places) - min(places) > 1:
            raise Violated(f"calls in flight in {sorted({LADDER[place] for place in places})}")
        now = LADDER.index(self.recorded)
        if any(abs(place - now) > 1 for place in places):
            raise Violated(
                f"a call in flight in {[LADDER[place] for place in places]}, and {self.recorded} is recorded"
            )
        # A statement of the operator's that arrived late may have ended the hold: its own next one fails then.
        row = self._row()
        if row is not None and row["epoch"] == self.held and any(writes for _, writes in bound):
            raise Violated("a write in flight while all have acknowledged that writes are held")

    def close(self) -> None:
        """End what runs."""
        for work in (self.operator, *self._tasks):
            work.close()


def run(seed: int, steps: int) -> World:
    """Make one run. Raises `Violated`."""
    world = World(seed)
    try:
        for _ in range(steps):
            world.step()
    finally:
        world.close()
    return world
