"""The calls of a repository and of its V1 view: checked, bounded, and passed to the route of the phase."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from typing import Generic, Literal, TypeVar

from attrs import evolve, frozen

from lazymig.errors import ConfigurationError, ConversionError, PhaseError
from lazymig.loop.deadline import Deadline
from lazymig.loop.in_flight import InFlight
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
    build_pair,
    build_pair_in_session,
    build_watched,
    check_phase,
    choose_route,
    complete,
)
from lazymig.routes.dark import Dark
from lazymig.routes.route import Route
from lazymig.shapes.conversions import Conversions
from lazymig.shapes.migration import Migration, get_id_types
from lazymig.stores.given import Collections, Id, RawId, Session
from lazymig.surroundings.checking import Asked
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
        """Return these calls with every step in a driver session. Raises `ConfigurationError`."""
        pair = build_pair_in_session(self.pair, self.collections, self.options.in_session(), session)
        # A transaction must not wait for writes that wait for it, so its writes are not bounded.
        return evolve(self.with_pair(pair), in_flight=InFlight(None))

    def with_pair(self, pair: Pair[V1, V2]) -> Calls[V1, V2]:
        """Return these calls on another pair, without dark reads.

        In a session there are none: a session's statements run one at a time, and outside of it a transaction's own
        writes are not seen.
        """
        return evolve(self, pair=pair, route=choose_route(self.phase, self.options.dark_reads)(pair))

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
        if isinstance(self.route, Dark):
            await self.route.watch.drain()

    def bounded(self, *, writes: bool = False) -> Deadline:
        """Return the context of one call: its bound in time, and for the first calls the check of the collections."""
        if self.first_use.due:
            return self.first_use.call(writes=writes)
        return Deadline(self.options.timeout_s)

    async def write(self, raw: RawId, edit: ClientEdit) -> Change | None:
        """Make one edit by the route; `raw` is a checked id."""
        async with self.in_flight.place(), self.bounded(writes=True), self.first_use.explaining:
            return await self.route.write(raw, edit)

    async def insert(self, raw: RawId, make: Callable[[bool], Awaitable[Change]]) -> None:
        """Make one insert by the route; the entity is converted once the write has its place.

        `make` gets whether V1 is kept.
        """
        async with self.in_flight.place():
            change = await make(self.route.keeps_v1)  # conversion errors are raised here, before anything is sent
            async with self.bounded(writes=True), self.first_use.explaining:
                await self.route.insert(raw, change)

    async def read_many(
        self,
        read: Callable[[Sequence[RawId]], Awaitable[dict[RawId, E | ConversionError]]],
        ids: Iterable[K],
        on_error: OnError | Literal["return"],
    ) -> dict[K, E | ConversionError]:
        """Read entities by one of the route's verbs and return them in the order of `ids`."""
        check_on_error(on_error)
        raws = {self.conversions.raw_id(id): id for id in ids}
        async with self.bounded():
            answers = await read(list(raws))
        return await sift({raws[raw]: answers[raw] for raw in raws if raw in answers}, on_error)

    async def each(
        self, pages: Callable[[Span], AsyncGenerator[list[E | ConversionError]]], asked: Listing
    ) -> AsyncGenerator[E]:
        """Yield a listing's entities one by one, read by one of the route's verbs."""
        report, span = make_reporter(asked.on_error), self._make_span(asked)
        async with self.bounded():
            pass  # only the check of the collections; each page has its own time
        async with aclosing(pages(span)) as found:
            async for answers in found:
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


def open_calls(migration: Migration[V1, V2], given: Collections, phase: Phase, options: Options) -> Calls[V1, V2]:
    """Check what the user passed and build the calls. Raises `ConfigurationError`, which says what to change."""
    given = complete(migration, given, phase)
    pair = build_pair(migration, given, options)
    phase = check_phase(phase)
    dark = options.dark_reads
    route: Route[V1, V2] = choose_route(phase, None)(pair) if dark is None else build_watched(phase, pair, dark)
    if options.checked and not route.keeps_v1:
        raise ConfigurationError(f"checked: the phase {phase} does not read V1, so there is nothing to compare with")
    asked = Asked(
        v1=given.v1, v2=given.v2, id_types=get_id_types(migration),
        linearizable=options.read_concern is not None, compared=options.checked, complete=route.lists_v2,
        reads_v1=route.keeps_v1,
    )  # fmt: skip
    first_use = FirstUse(asked, both=route.uses_v2, timeout_s=options.timeout_s, read_wait_s=options.v2_wait_s)
    return Calls(migration, phase, given, options, pair, route, first_use, InFlight(options.max_in_flight))
