"""A repository against a plain dict: whatever is called in whatever order, V1 decides and V2 agrees.

Fixed in CI, at random elsewhere; `--hypothesis-seed` chooses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from attrs import evolve
from hypothesis import HealthCheck, seed, settings
from hypothesis import Phase as HypothesisPhase
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from mongomock_motor import AsyncMongoMockClient
from pymongo import AsyncMongoClient
from pymongo.errors import AutoReconnect

from lazymig import AlreadyExists, Control, ConversionError, NotFound, Phase, Repository, Sweeper
from lazymig.loop.clock import SYSTEM_CLOCK
from lazymig.protocol import heal
from lazymig.repository import calls_of
from lazymig.shapes import v1_changes
from lazymig.stores.documents import decode_id, parse_v1, parse_v2, raw_id
from lazymig.stores.mongo_v1 import V1Store
from lazymig.stores.mongo_v2 import V2Store
from tests.faults import things
from tests.faults.things import ThingV1, ThingV2, to_v1, to_v2
from tests.sweeps import StandingClock

GRACE_S = 60.0
OWN = {"_id", "_lazymig_rev", "label", "cents", "at", "parts", "maker"}
OWN_OF_MAKER = {"town", "by_key"}
VERBS = ("insert", "replace", "delete")


async def _fails(*_: Any, **__: Any) -> Any:
    raise AutoReconnect("the server is gone")


class Machine(RuleBasedStateMachine):
    """One repository on empty collections; `model` is what they should hold, in V2's type."""

    def __init__(self, run: Callable[[Awaitable[Any]], Any], database: Any) -> None:
        super().__init__()
        self._run = run
        self._v1, self._v2, self._control = database["v1"], database["v2"], database["control"]
        for collection in (self._v1, self._v2, self._control):
            run(collection.delete_many({}))
        self._clock = StandingClock()
        self._clock.time = SYSTEM_CLOCK.now()  # a real server writes its marks by its own clock
        self._repository: Repository[ThingV1, ThingV2] = Repository(
            things.migration, v1=self._v1, v2=self._v2, phase=Phase.COEXIST, clock=self._clock
        )
        self.model: dict[things.Id, ThingV2] = {}
        self._unknown: dict[things.Id, dict[str, Any]] = {}
        self._unknown_of_maker: dict[things.Id, dict[str, Any]] = {}

    def _told(self, call: Awaitable[Any]) -> Any:
        try:
            return self._run(call)
        except (NotFound, AlreadyExists) as error:
            return type(error)

    def _door(self, v1: bool) -> Any:
        return self._repository.v1 if v1 else self._repository

    def _shaped(self, v1: bool, thing: ThingV2 | None) -> Any:
        return to_v1(thing) if v1 and thing is not None else thing

    @rule(id=things.ids, thing=things.things, unknown=things.unknown, inner=things.unknown)
    def legacy(self, id: things.Id, thing: ThingV1, unknown: dict[str, Any], inner: dict[str, Any]) -> None:
        """A document that was there before lazymig, or comes from elsewhere where none stood."""
        seen = self._run(calls_of(self._repository).pair.bodies.find(raw_id(id)))
        # Where a delete died half way, lazymig cannot tell a document without a revision from the one that it deleted.
        if id in self.model or (seen is not None and not seen.gone):
            return
        thing = evolve(thing, id=id)
        document = {**things.stored(thing), **unknown, "_id": raw_id(id)}
        if thing.maker is not None:
            document["maker"].update(inner)
        self._run(self._v1.insert_one(document))
        self.model[id], self._unknown[id], self._unknown_of_maker[id] = to_v2(thing), unknown, inner

    @rule(id=things.ids, v1=st.booleans())
    def get(self, id: things.Id, v1: bool) -> None:
        assert self._run(self._door(v1).get(id)) == self._shaped(v1, self.model.get(id))

    @rule(wanted=st.lists(things.ids, unique=True), v1=st.booleans())
    def get_many(self, wanted: list[things.Id], v1: bool) -> None:
        expected = {id: self._shaped(v1, self.model[id]) for id in wanted if id in self.model}
        found = self._run(self._door(v1).get_many(wanted))
        assert found == expected
        assert list(found) == list(expected)

    @rule(id=things.ids, v1=st.booleans())
    def exists(self, id: things.Id, v1: bool) -> None:
        assert self._run(self._door(v1).exists(id)) == (id in self.model)

    @rule(id=things.ids, thing=things.things, v1=st.booleans())
    def insert(self, id: things.Id, thing: ThingV1, v1: bool) -> None:
        entity = to_v2(evolve(thing, id=id))
        told = self._told(self._door(v1).insert(self._shaped(v1, entity)))
        assert told == (AlreadyExists if id in self.model else self._shaped(v1, entity))
        if id not in self.model:
            self.model[id], self._unknown[id], self._unknown_of_maker[id] = entity, {}, {}

    @rule(id=things.ids, change=things.changes, v1=st.booleans())
    def update(self, id: things.Id, change: Callable[[Any], Any], v1: bool) -> None:
        before = self.model.get(id)
        told = self._told(self._door(v1).update(id, change))
        assert told == (NotFound if before is None else change(self._shaped(v1, before)))
        if before is not None:
            self.model[id] = change(before)

    @rule(v1=st.booleans())
    def all_move(self, v1: bool) -> None:
        """The same part of a sub-document changes in all of them."""
        for id in tuple(self.model):
            self.update(id, things.moved, v1)

    @rule(id=things.ids, thing=things.things, v1=st.booleans())
    def replace(self, id: things.Id, thing: ThingV1, v1: bool) -> None:
        entity = to_v2(evolve(thing, id=id))
        told = self._told(self._door(v1).replace(self._shaped(v1, entity)))
        assert told == (self._shaped(v1, entity) if id in self.model else NotFound)
        if id in self.model:
            self.model[id] = entity

    @rule(id=things.ids, v1=st.booleans())
    def delete(self, id: things.Id, v1: bool) -> None:
        assert self._told(self._door(v1).delete(id)) is (None if id in self.model else NotFound)
        self.model.pop(id, None)
        self._unknown.pop(id, None)

    @rule(id=things.ids)
    def too_large(self, id: things.Id) -> None:
        """A number that BSON does not hold is refused before anything is announced."""
        if id not in self.model:
            return
        with pytest.raises(ConversionError):
            self._run(self._repository.update(id, lambda thing: evolve(thing, price=things.Price(2**63, 0))))

    @rule(v1=st.booleans(), limit=st.none() | st.integers(0, 3))
    def list(self, v1: bool, limit: int | None) -> None:
        async def listed() -> list[Any]:
            return [entity async for entity in self._door(v1).list(limit=limit)]

        found = self._run(listed())
        assert all(entity == self._shaped(v1, self.model[entity.id]) for entity in found)
        assert len({entity.id for entity in found}) == len(found)
        assert len(found) == (len(self.model) if limit is None else min(limit, len(self.model)))

    @rule(v1=st.booleans())
    def count(self, v1: bool) -> None:
        assert self._run(self._door(v1).count()) == len(self.model)

    @rule()
    def sweep(self) -> None:
        """All that can be moved is moved; nothing here needs a person."""
        report = self._swept()
        assert report.finished
        assert not report.needs_person
        assert set(self.model) <= {decode_id(seen.id) for seen in self._all_v2()}

    @rule()
    def sweep_late(self) -> None:
        """Marks and tombstones are old: nothing but clean documents is left."""
        self._clock.time += timedelta(seconds=GRACE_S * 2)
        self._swept()
        assert all(seen.clean for seen in self._all_v2())
        assert {decode_id(seen.id) for seen in self._all_v2()} == set(self.model)

    @rule(id=things.ids)
    def heal(self, id: things.Id) -> None:
        assert self._run(heal(calls_of(self._repository).pair, raw_id(id))) == (id in self.model)

    @rule(id=things.ids)
    def dies_after_ticket(self, id: things.Id) -> None:
        """A writer announces itself and is never heard of again."""
        self._run(calls_of(self._repository).pair.ledger.ticket(raw_id(id)))

    @rule(id=things.ids, thing=things.things, v1=st.booleans(), verb=st.sampled_from(VERBS))
    def dies_after_v1(self, id: things.Id, thing: ThingV1, v1: bool, verb: str) -> None:
        """A write's last step to V2 fails: its caller does not notice, and nobody else does."""
        store = calls_of(self._repository).pair.bodies
        with pytest.MonkeyPatch.context() as patch:
            for step in ("apply", "bury"):
                patch.setattr(store, step, _fails)
            if verb == "delete":
                self.delete(id, v1)
            else:
                getattr(self, verb)(id, thing, v1)

    @rule(seconds=st.sampled_from((1, 10, 1000)))
    def time_passes(self, seconds: int) -> None:
        self._clock.time += timedelta(seconds=seconds)

    @invariant()
    def clean_is_current(self) -> None:
        """A clean V2 document is V1's current revision."""
        truths = {stored.id: stored for stored in map(parse_v1, self._documents(self._v1))}
        assert {decode_id(id) for id in truths} == set(self.model)
        for seen in self._all_v2():
            if seen.clean:
                assert seen.id in truths
                assert seen.revision == truths[seen.id].revision
                assert calls_of(self._repository).pair.conversions.v2_entity(seen) == self.model[decode_id(seen.id)]
        for id, truth in truths.items():
            assert to_v2(calls_of(self._repository).pair.conversions.v1_entity(truth)) == self.model[decode_id(id)]

    @invariant()
    def unknown_fields_stay(self) -> None:
        """V1's fields that no class knows are what they were."""
        for document in self._documents(self._v1):
            id = decode_id(raw_id(document["_id"]))
            assert {name: value for name, value in document.items() if name not in OWN} == self._unknown[id]
            maker = document["maker"]
            if maker is None:
                self._unknown_of_maker[id] = {}  # gone with what held them
            else:
                left = {name: value for name, value in maker.items() if name not in OWN_OF_MAKER}
                assert left == self._unknown_of_maker[id]

    def _swept(self) -> Any:
        control = Control(self._control, self._clock)
        sweeper = Sweeper(self._repository, control=control, grace_s=GRACE_S, clock=self._clock)
        return self._run(sweeper.run())

    def _all_v2(self) -> list[Any]:
        return [parse_v2(document) for document in self._documents(self._v2)]

    def _documents(self, collection: Any) -> list[dict[str, Any]]:
        return list(self._run(collection.find({}).to_list(None)))


def _play(machine: Callable[[], Machine], chosen: int, examples: int, phases: Iterable[HypothesisPhase]) -> None:
    options = settings(
        max_examples=examples,
        stateful_step_count=30,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
        phases=phases,
    )
    run_state_machine_as_test(seed(chosen)(machine), settings=options)


@pytest.fixture
def chosen(request: pytest.FixtureRequest, seed: int) -> int:
    """Hypothesis' own option where it is given, else the seed of all faults."""
    given = request.config.getoption("--hypothesis-seed", None)
    return seed if given is None else int(given)


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    """One event loop for all that a machine does."""
    with asyncio.Runner() as runner:
        yield runner


def test_in_memory(runner: asyncio.Runner, chosen: int, wide: int) -> None:
    """Whatever is called in whatever order on mongomock-motor, V1 decides and V2 agrees."""
    _play(partial(Machine, runner.run, AsyncMongoMockClient()["machine"]), chosen, 40 * wide, HypothesisPhase)


def test_on_a_server(lazymig_server: Any, runner: asyncio.Runner, chosen: int, wide: int) -> None:
    """The same on a real server."""
    client: Any = AsyncMongoClient(lazymig_server.uri, serverSelectionTimeoutMS=20_000)
    _play(partial(Machine, runner.run, client["machine"]), chosen, 12 * wide, HypothesisPhase)
    runner.run(client.close())


async def _no_ticket(self: V2Store, id: Any) -> Any:
    seen = await self.find(id)
    return await TICKET(self, id) if seen is None else seen._replace(intent=seen.intent + 1)


def _flat(before: Any, after: Any, stored: Any = None) -> Any:
    return {name: value for name, value in after.items() if before.get(name) != value}, [], []


async def _replaces(self: V1Store, id: Any, expected: int, revision: int, changed: Any, *_: Any) -> bool:
    document = await self.collection.find_one({"_id": id})
    kept = {name: value for name, value in document.items() if name in OWN}
    await self.collection.replace_one({"_id": id}, {**kept, **changed, "_lazymig_rev": revision})
    return True


TICKET = V2Store.ticket


@pytest.mark.parametrize(
    ("place", "step", "broken"),
    [(V2Store, "ticket", _no_ticket), (V1Store, "compare_and_set", _replaces), (v1_changes, "changes", _flat)],
)
def test_it_bites(runner: asyncio.Runner, monkeypatch: pytest.MonkeyPatch, place: Any, step: str, broken: Any) -> None:
    """A write without a ticket, and one that drops what it does not know, at the top or within, are each found."""
    monkeypatch.setattr(place, step, broken)
    with pytest.raises(AssertionError):
        _play(partial(Machine, runner.run, AsyncMongoMockClient()["machine"]), 1, 1000, [HypothesisPhase.generate])
