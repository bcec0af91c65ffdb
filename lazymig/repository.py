"""The application's door: typed, checked, and the same in every phase.

It picks the route of the phase and calls one protocol function; it orders no steps itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import Any, Generic, Literal, Self, TypeVar

from lazymig import protocol
from lazymig.errors import ConfigurationError, ConversionError, NotFound
from lazymig.loop.clock import SYSTEM_CLOCK, Clock
from lazymig.loop.deadline import Deadline
from lazymig.loop.in_flight import InFlight
from lazymig.phases import ROUTES, RUNNABLE, Phase, Source, Target
from lazymig.protocol import listing, many
from lazymig.protocol.edits import Change, Delete, Edit, ReplaceV2, UpdateV2, insert_v2
from lazymig.protocol.listing import Criteria, OnError, Span
from lazymig.protocol.pair import Pair
from lazymig.routes import v1_only
from lazymig.routes.building import Options, build_pair
from lazymig.shapes.migration import Migration
from lazymig.stores.documents import decode_id
from lazymig.stores.keyset import Order
from lazymig.surroundings.checking import Asked
from lazymig.surroundings.first_use import FirstUse
from lazymig.telemetry import Tally
from lazymig.v1_view import V1View

V1 = TypeVar("V1")
V2 = TypeVar("V2")


class Repository(Generic[V1, V2]):
    """A migration's entities in V2's type, wherever the phase keeps them.

    `v1` and `v2` are async collections of PyMongo's asyncio API, Motor or mongomock-motor, of clients that belong to
    the running event loop. Keywords:

    - `coalesce`: reads and lazy inserts that start in the same turn of the event loop share a round trip.
    - `write_behind`: V2 bodies are stored behind the caller, from a bounded queue that `async with repo:` drains.
    - `checked`: every read is compared with V1, which wins (for as long as others write V1 directly).
    - `read_concern`: "linearizable" for V2's reads, where a deposed primary's answer of some seconds ago is too old.
    - `v2_wait_s`: seconds that a read waits for V2; where V2 cannot be reached by then, V1 answers alone, without the
      fields that it cannot express. None: as long as the call may take. Writes need V2 for their announcement.
    - `max_attempts`: how often a write that lost to others starts again before it raises `Contention`.
    - `max_in_flight`: writes under way at a time; the others wait for their turn before their first step, and their
      `timeout_s` begins with it. None for no bound. Writes that a `change` makes on its way do not wait, nor do those
      of a session.
    - `timeout_s`: seconds that one call may take, all its round trips together, before it raises the driver's
      `NetworkTimeout`; None for no bound. Must be well below the sweeper's grace period. The client's own time-outs
      (`serverSelectionTimeoutMS` and the like) hold as well: whichever is over first. A V2 that hangs costs a write
      half of it and no error, once V1 has the write.

    Raises `ConfigurationError`, which says what to change.
    """

    def __init__(
        self,
        migration: Migration[V1, V2],
        *,
        v1: Any,
        v2: Any,
        phase: Phase,
        coalesce: bool = True,
        write_behind: bool = False,
        checked: bool = False,
        read_concern: Literal["linearizable"] | None = None,
        max_attempts: int = 32,
        max_in_flight: int | None = 500,
        timeout_s: float | None = 30.0,
        v2_wait_s: float | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        if phase not in RUNNABLE:
            able = ", ".join(f"Phase.{member.name}" for member in Phase if member in RUNNABLE)
            raise ConfigurationError(f"phase: this release runs {able}")
        self.migration = migration
        self.phase = Phase(phase)
        self.timeout_s = timeout_s
        self._in_flight = InFlight(max_in_flight)
        self._route = ROUTES[self.phase]
        self._options = Options(
            clock=clock, coalesce=coalesce, write_behind=write_behind, checked=checked, read_concern=read_concern,
            max_attempts=max_attempts, timeout_s=timeout_s, v2_wait_s=v2_wait_s,
        )  # fmt: skip
        self._pair: Pair[V1, V2] = build_pair(migration, v1, v2, self._options)
        asked = Asked(
            v1=v1, v2=v2, id_types=migration.id_types, linearizable=read_concern is not None, compared=checked
        )
        both = self._route.writes is not Target.V1
        #: The look at what the collections are: due before the first call, and made by the tools.
        self.first_use = FirstUse(asked, both=both, timeout_s=timeout_s, read_wait_s=v2_wait_s)

    def __repr__(self) -> str:
        return f"<Repository {self.migration.name} in {self.phase}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._pair.behind.drain()

    @property
    def pair(self) -> Pair[V1, V2]:
        """The two stores with what the protocol needs: for the sweeper and other clients of the protocol."""
        return self._pair

    @property
    def tally(self) -> Tally:
        """Counts of what this repository did, by the names in `lazymig.telemetry`."""
        return self._pair.tally

    @property
    def v1(self) -> V1View[V1, V2]:
        """The same entities in V1's type, for clients that still speak it. Its writes keep V2 exact."""
        return V1View(self)

    def with_session(self, session: Any) -> Repository[V1, V2]:
        """The same repository with every step in that driver session, and in its transaction if one is open.

        In a transaction another writer's change shows as the driver's `TransientTransactionError`: run the whole by
        `session.with_transaction`. Both collections must belong to the session's client. Raises `ConfigurationError`
        for a repository with `read_concern`, which a transaction cannot keep.
        """
        if self._options.read_concern is not None:
            raise ConfigurationError("with_session: no transaction keeps read_concern; make a repository without it")
        bound: Repository[V1, V2] = object.__new__(type(self))
        bound.__dict__.update(self.__dict__)
        bound._in_flight = InFlight(None)  # what holds a transaction open must not wait for those that it blocks
        v1, v2 = self._pair.v1.given, self._pair.v2.collection
        bound._pair = build_pair(
            self.migration, v1, v2, self._options.in_session(), session=session, tally=self.tally,
            behind=self._pair.behind.at_once(),
        )  # fmt: skip
        return bound

    async def get(self, id: Any) -> V2 | None:
        """The entity, or None; migrated on the way if V2 lacks it.

        One round trip when V2 has it, three when it is read for the first time (two with `write_behind`). Raises
        `ConversionError` when V1's document does not convert, `TypeError` for an id of the wrong type.
        """
        raw = self._pair.conversions.raw_id(id)
        async with self.call():
            if self._route.reads is Source.V1:
                return await v1_only.read(self._pair, raw)
            return await protocol.read(self._pair, raw)

    async def get_many(self, ids: Iterable[Any]) -> dict[Any, V2]:
        """The entities by id, in the order of `ids`; missing ids are left out.

        At most three round trips for each thousand ids, as long as nobody writes the same entities meanwhile, and
        a fourth where bodies of an older conversion are stored anew beside first reads. Raises an `ExceptionGroup` of
        `ConversionError`, one for each document that does not convert; the others are migrated.
        """
        raws = {self._pair.conversions.raw_id(id): id for id in ids}
        async with self.call():
            if self._route.reads is Source.V1:
                answers = await many.upgraded_many(self._pair, list(raws))
            else:
                answers = await many.read_many(self._pair, list(raws))
        failed = [answer for answer in answers.values() if isinstance(answer, ConversionError)]
        if failed:
            raise ExceptionGroup(f"{len(failed)} of {len(raws)} documents cannot be converted", failed)
        # After the check nothing but entities is left, which the type checker cannot see.
        return {raws[raw]: answers[raw] for raw in raws if raw in answers}  # type: ignore[misc]

    async def exists(self, id: Any) -> bool:
        """Whether the entity exists; nothing is converted. At most two round trips."""
        raw = self._pair.conversions.raw_id(id)
        async with self.call():
            if self._route.reads is Source.V1:
                return await self._pair.v1.find(raw) is not None
            return await protocol.exists(self._pair, raw)

    async def insert(self, entity: V2) -> V2:
        """Store a new entity; returns it. Raises `AlreadyExists`, `ConversionError`, `TypeError`. Three round trips."""
        raw = self._pair.conversions.raw_id_of(entity, self.migration.v2)
        await self.insert_change(raw, lambda: insert_v2(self._pair.conversions, entity))
        return entity

    async def update(self, id: Any, change: Callable[[V2], V2 | Awaitable[V2]]) -> V2:
        """Change one entity; returns the new one. `change(v2) -> v2` (or async) must be pure: it may be called again.

        Raises `NotFound`, `Contention`, or whatever `change` raises; then nothing was written. Three round trips
        when V2 has the entity, two with `write_behind`.
        """
        made = await self.write(self._pair.conversions.raw_id(id), UpdateV2(self._pair.conversions, change))
        assert made is not None  # an update is no delete
        entity: V2 = made.entity
        return entity

    async def replace(self, entity: V2) -> V2:
        """Put this entity in the place of the stored one; returns it. The last write wins, yet V1 and V2 agree.

        What stands may be a document that does not convert: a known-good entity replaces it.
        Raises `NotFound`, `Contention`, `TypeError`.
        """
        raw = self._pair.conversions.raw_id_of(entity, self.migration.v2)
        self._pair.conversions.v2_body(entity, "downgrade")  # refused here, before anything is announced
        await self.write(raw, ReplaceV2(self._pair.conversions, entity))
        return entity

    async def delete(self, id: Any) -> None:
        """Delete one entity from both collections. Raises `NotFound`, `Contention`."""
        await self.write(self._pair.conversions.raw_id(id), Delete())

    async def list(
        self,
        criteria: Criteria | None = None,
        *,
        sort: str | tuple[str, str] | None = None,
        limit: int | None = None,
        after: Any = None,
        on_error: OnError = "raise",
    ) -> AsyncIterator[V2]:
        """The entities that match, in a stable order, paged inside: memory does not grow with their number.

        `sort` is a field name that both shapes have, or a pair (V1's name, V2's name), descending with "-" in front;
        by id without it. Fields that hold arrays cannot be sorted by. `after` is the id of the last entity that was
        seen: the listing goes on behind it (`NotFound` if it is gone and the order is not by id). Entities that are
        inserted or deleted meanwhile may or may not be met; all others are met exactly once, unless their sort field
        changes. Each is as it was when its page of up to 1,000 was read, at most one page ahead of what was handed
        out.

        `on_error` says what happens at a document that does not convert: "raise" its `ConversionError`, "skip" it, or a
        function (sync or async) that is given the error, after which the listing goes on. `limit` counts it all the
        same.
        """
        report = listing.reporter(on_error)
        span = await self.span(criteria, sort, limit, after)
        look = listing.upgraded if self._route.lists is Source.V1 else listing.entities
        async with aclosing(look(self._pair, span)) as found:
            async for answers in found:
                for answer in answers:
                    if isinstance(answer, ConversionError):
                        await report(answer)
                    else:
                        yield answer

    async def count(self, criteria: Criteria | None = None) -> int:
        """How many entities match."""
        where = listing.checked(criteria).v1
        async with self.call():
            return await self._pair.v1.count(where)

    async def span(
        self, criteria: Criteria | None, sort: str | Sequence[str] | None, limit: int | None, after: Any
    ) -> Span:
        """The checked arguments of a listing, for both doors."""
        where = self._pair.v1.question(listing.checked(criteria).v1)
        conversions = self._pair.conversions
        order = listing.order_by(sort, conversions.v1.fields, conversions.v2.fields, self.migration.id_field)
        if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 0):
            raise TypeError("limit: pass a number of entities, or None")
        raw = None if after is None else conversions.raw_id(after)
        async with self.call():
            last = None if after is None else await self._document_of(raw, order)
        return Span(criteria=where, order=order, limit=limit, after=last, timeout_s=self.timeout_s)

    async def _document_of(self, raw: Any, order: Order) -> Mapping[str, Any]:
        if order.field == "_id":
            return {"_id": raw}
        stored = await self._pair.v1.find(raw)
        if stored is None:
            raise NotFound(decode_id(raw))
        return stored.document

    def call(self, *, writes: bool = False) -> Deadline:
        """The bounds of one call of either door: its time, and before the first a look at the collections."""
        return self.first_use.call(writes=writes) if self.first_use.due else Deadline(self.timeout_s)

    async def check(self) -> None:
        """Look at both collections now rather than in the first call. Raises `ConfigurationError` as that would."""
        await self.first_use.passed()

    async def write(self, raw: Any, edit: Edit) -> Change | None:
        """One edit by the phase's route, for both doors; `raw` is a checked id."""
        async with self._in_flight.place(), self.call(writes=True), self.first_use.explaining:
            if self._route.writes is Target.V1:
                return await v1_only.write(self._pair, raw, edit)
            return await protocol.write(self._pair, raw, edit)

    async def insert_change(self, raw: Any, made: Callable[[], Awaitable[Change]]) -> None:
        """One insert by the phase's route, for both doors; converted when its turn comes."""
        async with self._in_flight.place():
            change = await made()  # refused here, before anything is sent
            async with self.call(writes=True), self.first_use.explaining:
                if self._route.writes is Target.V1:
                    await v1_only.insert(self._pair, raw, change)
                else:
                    await protocol.insert(self._pair, raw, change)
