"""Lives of a few ids against a plain dict: no value that only V2 holds crosses from one entity to the next of its id.

Two processes, both doors, dead writers at every step. Fixed in CI, at random elsewhere; `--hypothesis-seed` chooses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from attrs import evolve, frozen
from hypothesis import HealthCheck, seed, settings
from hypothesis import Phase as HypothesisPhase
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from mongomock_motor import AsyncMongoMockClient
from pymongo import AsyncMongoClient
from pymongo.errors import AutoReconnect

from lazymig import AlreadyExists, Control, Migration, NotFound, Phase, Repository, Sweeper
from lazymig.loop.clock import SYSTEM_CLOCK
from lazymig.repository import calls_of
from lazymig.shapes.conversions import Conversions
from lazymig.stores.documents import parse_v2
from tests.sweeps import StandingClock

IDS = (1, 2)
ids, doors = st.sampled_from(IDS), st.sampled_from((0, 1))
STEPS = (
    "ticket",
    "begin_ticket",
    "find_local",
    "compare_and_set",
    "delete",
    "insert",
    "apply",
    "bury",
    "vacant_ticket",
)


@frozen
class LifeV1:
    """Which life it is, and a count."""

    id: int
    life: str
    count: int


@frozen
class LifeV2:
    """The same, and the life's own secret, which V1 cannot express."""

    id: int
    life: str
    count: int
    secret: str = ""


def keeping(v1: LifeV1, previous: LifeV2 | None) -> LifeV2:
    """Upgrade, and keep the secret."""
    return LifeV2(v1.id, v1.life, v1.count, previous.secret if previous else "")


MIGRATION: Migration[Any, Any] = Migration(
    name="lives", v1=LifeV1, v2=LifeV2, upgrade=keeping, downgrade=lambda v2: LifeV1(v2.id, v2.life, v2.count)
)


class Lives(RuleBasedStateMachine):
    """Two repositories on empty collections; each insert begins a life with a name of its own."""

    def __init__(self, run: Callable[[Awaitable[Any]], Any], database: Any) -> None:
        super().__init__()
        self._run, self._database = run, database
        for name in ("v1", "v2", "control"):
            run(database[name].delete_many({}))
        self._clock = StandingClock()
        self._clock.time = SYSTEM_CLOCK.now()  # a real server writes its marks by its own clock
        options = {"v1": database["v1"], "v2": database["v2"], "phase": Phase.COEXIST, "clock": self._clock}
        self._doors = [Repository(MIGRATION, **options) for _ in range(2)]
        self._lives = 0

    def _named(self) -> str:
        self._lives += 1
        return f"life {self._lives}"

    def _do(self, call: Awaitable[Any]) -> Any:
        with suppress(AlreadyExists, NotFound):
            return self._run(call)
        return None

    @rule(id=ids, door=doors, v1=st.booleans())
    def insert(self, id: int, door: int, v1: bool) -> None:
        life = self._named()
        if v1:
            self._do(self._doors[door].v1.insert(LifeV1(id, life, 0)))
        else:
            self._do(self._doors[door].insert(LifeV2(id, life, 0, f"secret of {life}")))

    @rule(id=ids, door=doors)
    def update(self, id: int, door: int) -> None:
        self._do(self._doors[door].update(id, lambda entity: evolve(entity, secret=f"secret of {entity.life}")))

    @rule(id=ids, door=doors)
    def update_v1(self, id: int, door: int) -> None:
        self._do(self._doors[door].v1.update(id, lambda entity: evolve(entity, count=entity.count + 1)))

    @rule(id=ids, door=doors)
    def delete(self, id: int, door: int) -> None:
        self._do(self._doors[door].delete(id))

    @rule(id=ids, door=doors)
    def get(self, id: int, door: int) -> None:
        self._of_its_own(self._do(self._doors[door].get(id)))

    @rule(
        id=ids,
        door=doors,
        verb=st.sampled_from(("insert", "update", "update_v1", "delete")),
        v1=st.booleans(),
        at=st.integers(1, 4),
    )
    def dies(self, id: int, door: int, verb: str, v1: bool, at: int) -> None:
        """A writer dies at its n-th statement, which happens or not; nothing of its clean-up runs."""
        pair, count = calls_of(self._doors[door]).pair, [0]
        with pytest.MonkeyPatch.context() as patch:
            for store in (pair.v1, pair.bodies):
                for step in STEPS:
                    if hasattr(store, step):
                        patch.setattr(store, step, self._dying(getattr(store, step), count, at))
            patch.setattr(pair.bodies, "withdraw", _dead)
            patch.setattr(pair.bodies, "forget_insert", _dead)
            with suppress(AutoReconnect):
                if verb == "insert":
                    self.insert(id, door, v1)
                else:
                    getattr(self, verb)(id, door)

    @rule(id=ids, doors=st.tuples(doors, doors), v1=st.booleans(), at=st.integers(2, 3))
    def deaths_at_the_turn_of_lives(self, id: int, doors: tuple[int, int], v1: bool, at: int) -> None:
        """A delete dies before V2's step, and the next insert at V1's step or at V2's."""
        self.insert(id, doors[0], False)
        self.dies(id, doors[0], "delete", v1, 3)
        self.dies(id, doors[1], "insert", v1, at)

    @staticmethod
    def _dying(statement: Any, count: list[int], at: int) -> Any:
        async def dying(*arguments: Any, **options: Any) -> Any:
            count[0] += 1
            if count[0] >= at:
                raise AutoReconnect("died")
            return await statement(*arguments, **options)

        return dying

    @rule(late=st.booleans())
    def sweep(self, late: bool) -> None:
        if late:
            self._clock.time = self._clock.time.replace(year=self._clock.time.year + 1)
        control = Control(self._database["control"], self._clock)
        self._run(Sweeper(self._doors[0], control=control, grace_s=60, clock=self._clock).run())

    @invariant()
    def each_secret_is_of_its_own_life(self) -> None:
        """What every reader is given, and what V2 holds as an entity's own."""
        for id in IDS:
            self._of_its_own(self._do(self._doors[0].get(id)))
        for document in self._run(self._database["v2"].find({}).to_list(None)):
            if not parse_v2(document).gone:
                self._of_its_own(LifeV2(1, document["life"], 0, document["secret"]))

    @staticmethod
    def _of_its_own(entity: LifeV2 | None) -> None:
        assert entity is None or entity.secret in ("", f"secret of {entity.life}")


async def _dead(*_: Any, **__: Any) -> Any:
    raise AutoReconnect("died")


def _play(machine: Callable[[], Lives], chosen: int, examples: int, phases: Any = HypothesisPhase) -> None:
    options = settings(
        max_examples=examples, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck),
        database=None, phases=phases,
    )  # fmt: skip
    run_state_machine_as_test(seed(chosen)(machine), settings=options)


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    """One event loop for all that a machine does."""
    with asyncio.Runner() as runner:
        yield runner


def test_in_memory(runner: asyncio.Runner, seed: int, wide: int) -> None:
    """Whatever is called, and wherever a writer dies, each secret stays with its life."""
    _play(partial(Lives, runner.run, AsyncMongoMockClient()["lives"]), seed, 60 * wide)


def test_on_a_server(lazymig_server: Any, runner: asyncio.Runner, seed: int, wide: int) -> None:
    """The same on a real server."""
    client: Any = AsyncMongoClient(lazymig_server.uri, serverSelectionTimeoutMS=20_000)
    _play(partial(Lives, runner.run, client["lives"]), seed, 15 * wide)
    runner.run(client.close())


def test_it_bites(runner: asyncio.Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the last body counts as the previous entity whatever was inserted since, it is found."""
    previous = Conversions.previous

    def of_any_life(self: Any, seen: Any, truth: Any, **flags: Any) -> Any:
        return previous(self, None if seen is None else seen._replace(inserts=()), truth, **flags)

    async def leaving(self: Any, seen: Any, ticket: int) -> bool:
        change = {"$set": {"_lazymig.intent": ticket}}
        return bool((await self.collection.update_one({"_id": seen.id}, change)).matched_count)

    monkeypatch.setattr(Conversions, "previous", of_any_life)
    monkeypatch.setattr("lazymig.stores.mongo_v2.V2Store.vacate", leaving)
    with pytest.raises(AssertionError):
        _play(partial(Lives, runner.run, AsyncMongoMockClient()["lives"]), 1, 400, [HypothesisPhase.generate])
