"""The calls of one repository, whichever door they come through: checked, bounded, and given to the phase's route."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from typing import Generic, Literal, TypeVar

from attrs import evolve, frozen

from lazymig.errors import ConversionError
from lazymig.loop.deadline import Deadline
from lazymig.loop.in_flight import InFlight
from lazymig.phases import Phase
from lazymig.protocol.edits import Change, Edit
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
from lazymig.routes.building import Options, build_pair, build_pair_in_session, build_route, check_phase
from lazymig.routes.route import Route
from lazymig.shapes.conversions import Conversions
from lazymig.shapes.migration import Migration
from lazymig.stores.given import Collections, Id, RawId, Session
from lazymig.surroundings.checking import Asked
from lazymig.surroundings.first_use import FirstUse

E = TypeVar("E")
K = TypeVar("K", bound=Id)
V1 = TypeVar("V1")
V2 = TypeVar("V2")


@frozen
class Calls(Generic[V1, V2]):
    """What both doors share: the route, and the bounds of a call in number and time.

    The first call waits for a look at what the collections are.
    """

    migration: Migration[V1, V2]
    phase: Phase
    collections: Collections
    options: Options
    pair: Pair[V1, V2]
    route: Route[V1, V2]
    first_use: FirstUse
    in_flight: InFlight

    @property
    def conversions(self) -> Conversions[V1, V2]:
        """The migration's conversions, bound to the two clients."""
        return self.pair.conversions

    def in_session(self, session: Session) -> Calls[V1, V2]:
        """Return these calls with every step in that driver session. Raises `ConfigurationError`."""
        pair = build_pair_in_session(self.pair, self.collections, self.options.in_session(), session)
        # What holds a transaction open must not wait for the writes that it blocks.
        return evolve(self.on(pair), in_flight=InFlight(None))

    def on(self, pair: Pair[V1, V2]) -> Calls[V1, V2]:
        """Return these calls with their steps on another pair."""
        return evolve(self, pair=pair, route=build_route(self.phase, pair))

    def bounded(self, *, writes: bool = False) -> Deadline:
        """Return the bound of one call: its time, and before the first a look at the collections."""
        if self.first_use.due:
            return self.first_use.call(writes=writes)
        return Deadline(self.options.timeout_s)

    async def write(self, raw: RawId, edit: Edit) -> Change | None:
        """Make one edit by the phase's route; `raw` is a checked id."""
        async with self.in_flight.place(), self.bounded(writes=True), self.first_use.explaining:
            return await self.route.write(raw, edit)

    async def insert(self, raw: RawId, make: Callable[[], Awaitable[Change]]) -> None:
        """Make one insert by the phase's route, converted when its place is free."""
        async with self.in_flight.place():
            change = await make()  # refused here, before anything is sent
            async with self.bounded(writes=True), self.first_use.explaining:
                await self.route.insert(raw, change)

    async def read_many(
        self,
        read: Callable[[Sequence[RawId]], Awaitable[dict[RawId, E | ConversionError]]],
        ids: Iterable[K],
        on_error: OnError | Literal["return"],
    ) -> dict[K, E | ConversionError]:
        """Read entities through one of the route's doors, in the order of `ids`."""
        check_on_error(on_error)
        raws = {self.conversions.raw_id(id): id for id in ids}
        async with self.bounded():
            answers = await read(list(raws))
        return await sift({raws[raw]: answers[raw] for raw in raws if raw in answers}, on_error)

    async def each(
        self, pages: Callable[[Span], AsyncGenerator[list[E | ConversionError]]], asked: Listing
    ) -> AsyncGenerator[E]:
        """Yield a listing's entities one by one, through one of the route's doors."""
        report, span = make_reporter(asked.on_error), self._span(asked)
        async with self.bounded():
            pass  # the look at the collections; each page has its own time
        async with aclosing(pages(span)) as found:
            async for answers in found:
                for answer in answers:
                    if isinstance(answer, ConversionError):
                        await report(answer)
                    else:
                        yield answer

    def _span(self, asked: Listing) -> Span:
        v1, v2 = self.conversions.v1.fields, self.conversions.v2.fields
        return Span(
            criteria=check_criteria(asked.criteria),
            orders=orders_of(asked.sort, v1, v2, self.migration.id_field),
            limit=check_limit(asked.limit),
            after=None if asked.after is None else self.conversions.raw_id(asked.after),
            timeout_s=self.options.timeout_s,
        )


def open_calls(migration: Migration[V1, V2], given: Collections, phase: Phase, options: Options) -> Calls[V1, V2]:
    """Check what the user gave and put it together. Raises `ConfigurationError`, which says what to change."""
    pair = build_pair(migration, given, options)
    phase = check_phase(phase)
    route = build_route(phase, pair)
    asked = Asked(
        v1=given.v1, v2=given.v2, id_types=migration.id_types,
        linearizable=options.read_concern is not None, compared=options.checked,
    )  # fmt: skip
    first_use = FirstUse(asked, both=route.uses_v2, timeout_s=options.timeout_s, read_wait_s=options.v2_wait_s)
    return Calls(migration, phase, given, options, pair, route, first_use, InFlight(options.max_in_flight))
