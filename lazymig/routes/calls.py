"""The calls of a repository and of its V1 view: checked, bounded, and passed to the route of the phase."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from typing import Generic, Literal, TypeVar

from attrs import evolve, frozen

from lazymig.control import Control, parts_of
from lazymig.dark.watch import Watch
from lazymig.errors import ConversionError, PhaseError
from lazymig.loop.in_flight import InFlight
from lazymig.membership.member import Member
from lazymig.phases import Phase, explain_unfilled
from lazymig.protocol.edits import Change, ClientEdit
from lazymig.protocol.pair import Pair
from lazymig.query import (
    Listing,
    OnError,
    Span,
    check_criteria,
    check_limit,
    check_on_error,
    make_reporter,
    orders_of,
    sift,
)
from lazymig.routes.building import (
    Options,
    StageBuilder,
    build_pair,
    build_pair_in_session,
    check_phase,
    complete,
)
from lazymig.routes.route import Route
from lazymig.routes.stages import Call, FixedStages, Stage, Stages, SteeredStages
from lazymig.routes.steering import Steering, open_steering
from lazymig.shapes.conversions import Conversions
from lazymig.shapes.migration import Migration
from lazymig.stores.given import Collections, Id, RawId, Session
from lazymig.surroundings.first_use import FirstUse

E = TypeVar("E")
K = TypeVar("K", bound=Id)
V1 = TypeVar("V1")
V2 = TypeVar("V2")


@frozen
class Calls(Generic[V1, V2]):
    """What a repository and its V1 view share: the route, and the bounds of a call in number and time.

    The first call waits until the collections have been checked.
    """

    migration: Migration[V1, V2]
    collections: Collections
    options: Options
    pair: Pair[V1, V2]
    stages: Stages[V1, V2]
    in_flight: InFlight
    watch: Watch[V1, V2] | None = None
    steering: Steering | None = None

    @property
    def phase(self) -> Phase:
        """The phase in which a call runs that begins now. Raises `PhaseError` where it is not known yet."""
        return self.stages.now.phase

    @property
    def route(self) -> Route[V1, V2]:
        """The route of this phase. Raises `PhaseError` where it is not known yet."""
        return self.stages.now.route

    @property
    def first_use(self) -> FirstUse:
        """The check of the collections in this phase. Raises `PhaseError` where it is not known yet."""
        return self.stages.now.first_use

    async def join(self) -> Stage[V1, V2]:
        """Join the fleet, if this repository follows one, and return the stage. Raises `PhaseError`."""
        return await self.stages.arrive()

    @property
    def conversions(self) -> Conversions[V1, V2]:
        """The migration's conversions, bound to the two clients."""
        return self.pair.conversions

    def in_session(self, session: Session) -> Calls[V1, V2]:
        """Return these calls with every step in a driver session. Raises `ConfigurationError`."""
        pair = build_pair_in_session(self.pair, self.collections, self.options.in_session(), session)
        # A transaction must not wait for writes that wait for it, so its writes are not bounded.
        return evolve(self.with_pair(pair), in_flight=InFlight(None))

    def with_pair(self, pair: Pair[V1, V2]) -> Calls[V1, V2]:
        """Return these calls on another pair, without dark reads.

        In a session there are none: a session's statements run one at a time, and outside of it a transaction's own
        writes are not seen.
        """
        steering = None if self.steering is None else self.steering.in_session()
        builder = StageBuilder(self.collections, self.migration, self.options, pair, None, steering)
        return evolve(self, pair=pair, stages=self.stages.rebuilt(builder.build), watch=None)

    def check_fills_v2(self, what: str) -> None:
        """Raise `PhaseError`, with the reason, if V2 is not filled from V1 in this phase."""
        if not self.route.fills_v2:
            raise PhaseError(f"{what} runs only where V2 is filled from V1. {explain_unfilled(self.phase)}")

    def check_keeps_v1(self, what: str) -> None:
        """Raise `PhaseError` if V1 is not written in this phase."""
        if not self.route.keeps_v1:
            raise PhaseError(f"{what} writes V1, which the phase {self.phase} does not; V1 is stale there")

    async def drain(self) -> None:
        """Wait until all bodies are stored that callers left behind, and for running dark reads, which are bounded."""
        await self.pair.behind.drain()
        if self.watch is not None:
            await self.watch.drain()
        if self.steering is not None:
            await self.steering.drain()

    async def close(self) -> None:
        """Drain, and leave the fleet, if this repository follows one."""
        await self.drain()
        await self.stages.leave()

    def bounded(self, *, writes: bool = False) -> Call[V1, V2]:
        """Return the context of one call: its stage and its bound in time; the first calls check the collections."""
        return self.stages.call(writes=writes)

    async def write(self, raw: RawId, edit: ClientEdit) -> Change | None:
        """Make one edit by the route; `raw` is a checked id."""
        async with self.in_flight.place(), self.bounded(writes=True) as stage, stage.first_use.explaining:
            return await stage.route.write(raw, edit)

    async def insert(self, raw: RawId, make: Callable[[bool], Awaitable[Change]]) -> None:
        """Make one insert by the route; the entity is converted once the write has its place.

        `make` gets whether V1 is kept.
        """
        async with self.in_flight.place():
            # Conversion errors are raised here, before anything is sent. Where V1 is not kept, no later phase keeps it.
            change = await make((await self.stages.arrive()).route.keeps_v1)
            async with self.bounded(writes=True) as stage, stage.first_use.explaining:
                await stage.route.insert(raw, change)

    async def read_many(self, ids: Iterable[K], on_error: OnError | Literal["return"]) -> dict[K, V2 | ConversionError]:
        """Read entities in V2's type and return them in the order of `ids`."""
        return await self._read_many(lambda route, raws: route.read_many(raws), ids, on_error)

    async def read_v1_many(
        self, ids: Iterable[K], on_error: OnError | Literal["return"]
    ) -> dict[K, V1 | ConversionError]:
        """Read entities in V1's type and return them in the order of `ids`."""
        return await self._read_many(lambda route, raws: route.read_v1_many(raws), ids, on_error)

    def list_v2(self, asked: Listing) -> AsyncGenerator[V2]:
        """Yield a listing's entities in V2's type one by one."""
        return self._each(lambda route, span: route.pages(span), asked)

    def list_v1(self, asked: Listing) -> AsyncGenerator[V1]:
        """Yield a listing's entities in V1's type one by one."""
        return self._each(lambda route, span: route.v1_pages(span), asked)

    async def _read_many(
        self,
        read: Callable[[Route[V1, V2], Sequence[RawId]], Awaitable[dict[RawId, E | ConversionError]]],
        ids: Iterable[K],
        on_error: OnError | Literal["return"],
    ) -> dict[K, E | ConversionError]:
        check_on_error(on_error)
        raws = {self.conversions.raw_id(id): id for id in ids}
        async with self.bounded() as stage:
            answers = await read(stage.route, list(raws))
        return await sift({raws[raw]: answers[raw] for raw in raws if raw in answers}, on_error)

    async def _each(
        self, pages: Callable[[Route[V1, V2], Span], AsyncGenerator[list[E | ConversionError]]], asked: Listing
    ) -> AsyncGenerator[E]:
        report, span = make_reporter(asked.on_error), self._make_span(asked)
        async with self.bounded() as stage:
            pass  # only the check of the collections; each page has its own time
        async with aclosing(pages(stage.route, span)) as found:
            async for answers in found:
                await self.stages.keep_on(stage)
                for answer in answers:
                    if isinstance(answer, ConversionError):
                        await report(answer)
                    else:
                        yield answer

    def _make_span(self, asked: Listing) -> Span:
        v1, v2 = self.conversions.v1.fields, self.conversions.v2.fields
        return Span(
            criteria=check_criteria(asked.criteria),
            orders=orders_of(asked.sort, v1, v2, self.migration.id_field),
            limit=check_limit(asked.limit),
            after=None if asked.after is None else self.conversions.raw_id(asked.after),
            timeout_s=self.options.timeout_s,
        )


def open_calls(
    migration: Migration[V1, V2], given: Collections, phase: Phase | Control, options: Options
) -> Calls[V1, V2]:
    """Check what the user passed and build the calls. Raises `ConfigurationError`, which says what to change."""
    given = complete(migration, given, phase)
    pair = build_pair(migration, given, options)
    dark = options.dark_reads
    watch = None if dark is None else Watch(pair, dark)
    steering = open_steering(phase, migration.name) if isinstance(phase, Control) else None
    builder = StageBuilder(given, migration, options, pair, watch, steering)
    stages: Stages[V1, V2]
    if isinstance(phase, Control):
        member = Member(parts_of(phase), migration.name, migration.revision)
        stages = SteeredStages(member, builder.build, options.timeout_s)
    else:
        stages = FixedStages(builder.build_strictly(check_phase(phase)), options.timeout_s)
    return Calls(migration, given, options, pair, stages, InFlight(options.max_in_flight), watch, steering)
