"""The calls of a repository and of its V1 view: checked, bounded, and passed to the route of the phase."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import aclosing
from typing import Generic, Literal, TypeVar

from attrs import evolve, frozen

from lazymig.control import Control, Standing, control_beside, parts_of
from lazymig.dark.watch import Watch
from lazymig.errors import ConfigurationError, ConversionError, PhaseError
from lazymig.loop.clock import SYSTEM_CLOCK, Clock
from lazymig.loop.in_flight import InFlight
from lazymig.membership.registration import explain_unrecorded
from lazymig.phases import Phase
from lazymig.protocol.edits import Change, ClientEdit
from lazymig.protocol.in_place.place import Place
from lazymig.protocol.pair import Pair
from lazymig.query import (
    Criteria,
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
    StageBuilder,
    build_pair_in_session,
)
from lazymig.routes.in_place.building import PlaceBuilder, open_place
from lazymig.routes.options import Options
from lazymig.routes.resuming import list_through
from lazymig.routes.route import Route
from lazymig.routes.stages import Call, Stage, Stages
from lazymig.routes.turns import Turns
from lazymig.shapes.conversions import Conversions
from lazymig.shapes.migration import Migration
from lazymig.stores.documents import raw_id
from lazymig.stores.given import Collections, Id, RawId, Session, Store
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
    ground: Pair[V1, V2] | Place[V1, V2]
    stages: Stages[V1, V2]
    in_flight: InFlight
    builder: StageBuilder[V1, V2] | PlaceBuilder[V1, V2]
    watch: Watch[V1, V2] | None = None
    #: The control collection whose phase is followed; None where the phase is fixed.
    control: Control | None = None
    #: The writes of one entity that take turns; None where each goes by itself.
    turns: Turns[V1, V2] | None = None

    @property
    def pair(self) -> Pair[V1, V2]:
        """Both collections. Raises `ConfigurationError` where one document carries both shapes."""
        if isinstance(self.ground, Place):
            raise ConfigurationError(
                f"{self.migration.name}: one document carries both shapes, and this works on two collections only; see "
                "docs/layouts.md"
            )
        return self.ground

    @property
    def place(self) -> Place[V1, V2] | None:
        """The collection whose documents carry both shapes; None where there are two collections."""
        return self.ground if isinstance(self.ground, Place) else None

    @property
    def main_store(self) -> Store:
        """The store beside which lazymig keeps its own rows, unless the user names another place."""
        return self.ground.store if isinstance(self.ground, Place) else self.ground.bodies

    @property
    def stores(self) -> tuple[Store, ...]:
        """The stores of all collections."""
        return (self.ground.store,) if isinstance(self.ground, Place) else (self.ground.v1, self.ground.bodies)

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

    def choose_control(self, given: Control | None = None, clock: Clock = SYSTEM_CLOCK) -> Control:
        """Return the control collection for a tool: the given one, the one of the phase, or the one beside V2."""
        return given or self.control or control_beside(self.main_store, clock)

    async def join(self) -> Stage[V1, V2]:
        """Join the fleet, if this repository follows one, and return the stage. Raises `PhaseError`."""
        return await self.stages.arrive()

    async def standing(self) -> Standing | None:
        """Find what the control collection records, without joining the fleet.

        None where this repository follows none, or nothing is recorded.
        """
        return None if self.control is None else await parts_of(self.control).phases(self.migration.name).find()

    async def look(self) -> Stage[V1, V2]:
        """Return the stage of the recorded phase, without joining the fleet: for tools that only read.

        Raises `PhaseError` where a control collection is followed and no phase is recorded.
        """
        return self.find_stage(await self.standing())

    def find_stage(self, standing: Standing | None) -> Stage[V1, V2]:
        """Return the stage of what the control collection records. Raises as `look` does."""
        if self.control is None:
            return self.stages.now
        if standing is None:
            raise PhaseError(explain_unrecorded(self.migration.name))
        return self.builder.build(standing)

    @property
    def conversions(self) -> Conversions[V1, V2]:
        """The migration's conversions, bound to the two clients."""
        return self.ground.conversions

    def in_session(self, session: Session) -> Calls[V1, V2]:
        """Return these calls with every step in a driver session. Raises `ConfigurationError`."""
        options = self.options.in_session()
        if isinstance(self.builder, PlaceBuilder):
            place = self.builder.place
            place = open_place(self.migration, self.collections.v1, options, session=session, sharing=place)
            builder = self.builder.with_place(place)
            stages = self.stages.rebuilt(builder.build, session)
            bound = evolve(self, ground=place, stages=stages, builder=builder, watch=None)
        else:
            bound = self.with_pair(build_pair_in_session(self.pair, self.collections, options, session), session)
        # A transaction must not wait for writes that wait for it, so its writes are not bounded.
        return evolve(bound, in_flight=InFlight(None), turns=None)

    def with_pair(self, pair: Pair[V1, V2], session: Session | None = None) -> Calls[V1, V2]:
        """Return these calls on another pair, without dark reads.

        In a session there are none: a session's statements run one at a time, and outside of it a transaction's own
        writes are not seen.
        """
        assert isinstance(self.builder, StageBuilder)  # there is a pair
        choosing = self.builder.choosing
        choosing = None if choosing is None else choosing.in_session()
        builder = evolve(self.builder, pair=pair, watch=None, choosing=choosing)
        stages = self.stages.rebuilt(builder.build, session)
        return evolve(self, ground=pair, stages=stages, builder=builder, watch=None)

    async def drain(self) -> None:
        """Wait until all bodies are stored that callers left behind, and for running dark reads, which are bounded."""
        await self.ground.behind.drain()
        if self.watch is not None:
            await self.watch.drain()
        if self.builder.choosing is not None:
            await self.builder.choosing.drain()

    async def close(self) -> None:
        """Drain, and leave the fleet, if this repository follows one."""
        await self.drain()
        await self.stages.leave()

    def bounded(self, *, writes: bool = False) -> Call[V1, V2]:
        """Return the context of one call: its stage and its bound in time; the first calls check the collections."""
        return self.stages.call(writes=writes)

    async def write(self, raw: RawId, edit: ClientEdit) -> Change | None:
        """Make one edit by the route; `raw` is a checked id."""
        place = self.in_flight.place()
        async with place as nested, self.bounded(writes=True) as stage, stage.first_use.explaining:
            if nested or self.turns is None:  # a write must not wait for one that waits for it
                return await stage.route.write(raw, edit)
            return await self.turns.write(stage.route, raw, edit)

    async def insert(self, raw: RawId, make: Callable[[bool], Awaitable[Change]]) -> None:
        """Make one insert by the route; the entity is converted once the write has its place.

        `make` gets whether V1 is kept.
        """
        async with self.in_flight.place():
            # Conversion errors are raised here, before anything is sent. Where V1 is not kept, no later phase keeps it.
            change = await make((await self.stages.arrive()).route.keeps_v1)
            async with self.bounded(writes=True) as stage, stage.first_use.explaining:
                await stage.route.insert(raw, change)

    async def read_v1(self, raw: RawId) -> V1 | None:
        """Return the entity in V1's type, or None."""
        return await self._ask_v1(lambda route: route.read_v1(raw))

    async def exists_in_v1(self, raw: RawId) -> bool:
        """Return whether V1's door knows the entity."""
        return await self._ask_v1(lambda route: route.exists_in_v1(raw))

    async def count_v1(self, criteria: Criteria) -> int:
        """Count the entities of V1's door that match."""
        return await self._ask_v1(lambda route: route.count_v1(criteria))

    async def _ask_v1(self, ask: Callable[[Route[V1, V2]], Awaitable[E]]) -> E:
        """Read through V1's door. In another phase, ask again where V1 was stale already."""
        while True:
            async with self.bounded() as stage:
                answer = await ask(stage.route)
                if await self.stages.may_answer_from_v1(stage):
                    return answer

    async def read_many(self, ids: Iterable[K], on_error: OnError | Literal["return"]) -> dict[K, V2 | ConversionError]:
        """Read entities in V2's type and return them in the order of `ids`."""
        raws = self._raw_ids(ids)
        check_on_error(on_error)
        async with self.bounded() as stage:
            answers = await stage.route.read_many(list(raws))
        return await _name(answers, raws, on_error)

    async def read_v1_many(
        self, ids: Iterable[K], on_error: OnError | Literal["return"]
    ) -> dict[K, V1 | ConversionError]:
        """Read entities in V1's type and return them in the order of `ids`."""
        raws = self._raw_ids(ids)
        check_on_error(on_error)
        answers = await self._ask_v1(lambda route: route.read_v1_many(list(raws)))
        return await _name(answers, raws, on_error)

    def list_v2(self, asked: Listing) -> AsyncGenerator[V2]:
        """Yield a listing's entities in V2's type one by one."""
        return self._each(lambda route, span: route.pages(span), asked)

    def list_v1(self, asked: Listing) -> AsyncGenerator[V1]:
        """Yield a listing's entities in V1's type one by one."""
        return self._each(lambda route, span: route.v1_pages(span), asked, of_v1=True)

    def _raw_ids(self, ids: Iterable[K]) -> dict[RawId, K]:
        return {self.conversions.raw_id(id): id for id in ids}

    async def _each(
        self,
        pages: Callable[[Route[V1, V2], Span], AsyncGenerator[list[E | ConversionError]]],
        asked: Listing,
        *,
        of_v1: bool = False,
    ) -> AsyncGenerator[E]:
        report, span = make_reporter(asked.on_error), self._make_span(asked)
        async with aclosing(list_through(self.stages, pages, span, self._find_id, of_v1=of_v1)) as found:
            async for answers in found:
                for answer in answers:
                    if isinstance(answer, ConversionError):
                        await report(answer)
                    else:
                        yield answer

    def _find_id(self, answer: object) -> RawId:
        if isinstance(answer, ConversionError):
            return raw_id(answer.id)
        return self.conversions.raw_id(getattr(answer, self.migration.id_field))

    def _make_span(self, asked: Listing) -> Span:
        v1, v2 = self.conversions.v1.fields, self.conversions.v2.fields
        return Span(
            criteria=check_criteria(asked.criteria),
            orders=orders_of(asked.sort, v1, v2, self.migration.id_field),
            limit=check_limit(asked.limit),
            after=None if asked.after is None else self.conversions.raw_id(asked.after),
            timeout_s=self.options.timeout_s,
        )


async def _name(
    answers: dict[RawId, E | ConversionError], raws: dict[RawId, K], on_error: OnError | Literal["return"]
) -> dict[K, E | ConversionError]:
    """Return the answers in the order of the ids, by the ids as they were given."""
    return await sift({raws[raw]: answers[raw] for raw in raws if raw in answers}, on_error)
