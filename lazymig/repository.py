"""The application's door: typed, and the same in every phase.

Each verb checks its arguments and calls the route of the phase. No step is ordered here, and nothing asks which phase
it is.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from copy import copy
from functools import partial
from types import TracebackType
from typing import Literal, Self, TypeVar, overload

from lazymig.door import Door
from lazymig.errors import ConversionError
from lazymig.loop.clock import SYSTEM_CLOCK, Clock
from lazymig.phases import Phase
from lazymig.protocol.edits import ReplaceV2, UpdateV2, decide_insert_v2
from lazymig.query import Criteria, Listing, OnError, Sort
from lazymig.routes.building import Options
from lazymig.routes.calls import Calls, open_calls
from lazymig.shapes.migration import Migration
from lazymig.stores.given import Collection, Collections, Id, Session
from lazymig.telemetry import Tally
from lazymig.v1_view import V1View

K = TypeVar("K", bound=Id)
V1 = TypeVar("V1")
V2 = TypeVar("V2")


class Repository(Door[V1, V2]):
    """A migration's entities in V2's type, wherever the phase keeps them.

    Args:
        migration: The two classes and the conversions between them.
        v1: The collection of the old shape: async, of PyMongo, Motor or mongomock-motor, and of a client that belongs
            to the running event loop.
        v2: The collection of the new shape. It may be in another database or cluster.
        phase: Where the migration stands.
        coalesce: Let reads and lazy inserts that start in the same turn of the event loop share a round trip.
        write_behind: Store V2 bodies behind the caller, from a bounded queue that `async with repository:` drains.
        checked: Compare every read with V1, which wins; for as long as others write V1 directly.
        read_concern: "linearizable" for V2's reads, where a deposed primary's answer of some seconds ago is too old.
        max_attempts: How often a write that lost to others starts again before it raises `Contention`.
        max_in_flight: Writes under way at a time, None for no bound. The others wait for a place before their first
            step, and their `timeout_s` begins with it. Writes that a `change` makes on its way do not wait, nor do
            those of a session.
        timeout_s: Seconds that one call may take, all its round trips together, before it raises the driver's
            `NetworkTimeout`; None for no bound. It must be well below the sweeper's grace period. The client's own
            time-outs (`serverSelectionTimeoutMS` and the like) hold as well: whichever is over first. A V2 that hangs
            costs a write half of it and no error, once V1 has the write.
        v2_wait_s: Seconds that a read waits for V2. Where V2 cannot be reached by then, V1 answers alone, without the
            fields that it cannot express. None: as long as the call may take. Writes need V2 for their announcement.
        clock: The source of time, for tests.

    Raises:
        ConfigurationError: If something does not fit; the message says what to change.
    """

    def __init__(
        self,
        migration: Migration[V1, V2],
        *,
        v1: Collection,
        v2: Collection,
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
        options = Options(
            clock=clock, coalesce=coalesce, write_behind=write_behind, checked=checked, read_concern=read_concern,
            max_attempts=max_attempts, max_in_flight=max_in_flight, timeout_s=timeout_s, v2_wait_s=v2_wait_s,
        )  # fmt: skip
        self._calls: Calls[V1, V2] = open_calls(migration, Collections(v1, v2), phase, options)

    def __repr__(self) -> str:
        return f"<Repository {self.migration.name} in {self.phase}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._calls.pair.behind.drain()

    @property
    def migration(self) -> Migration[V1, V2]:
        """The migration that this repository serves."""
        return self._calls.migration

    @property
    def phase(self) -> Phase:
        """Where the migration stands."""
        return self._calls.phase

    @property
    def timeout_s(self) -> float | None:
        """Seconds that one call may take; None for no bound."""
        return self._calls.options.timeout_s

    @property
    def collections(self) -> Collections:
        """The two collections, as they were given. Read only: writes that bypass the repository break its guarantee."""
        return self._calls.collections

    @property
    def tally(self) -> Tally:
        """Counts of what this repository did, by metric name (`lazymig.migrated` and so on)."""
        return self._calls.pair.tally

    @property
    def v1(self) -> V1View[V1, V2]:
        """The entities in V1's type, for clients that still speak it. Its writes keep V2 exact."""
        return V1View(self._calls)

    def with_session(self, session: Session) -> Self:
        """Return this repository with every step in a driver session, and in its transaction if one is open.

        In a transaction another writer's change shows as the driver's `TransientTransactionError`: run the whole by
        `session.with_transaction`.

        Args:
            session: A session of the client that both collections belong to.

        Returns:
            A repository on the same migration, phase and options; it needs no closing of its own.

        Raises:
            ConfigurationError: For a repository with `read_concern`, which a transaction cannot keep.
        """
        bound = copy(self)
        bound._calls = self._calls.in_session(session)
        return bound

    async def get(self, id: Id) -> V2 | None:
        """Return the entity, or None; it is migrated on the way if V2 lacks it.

        One round trip when V2 has it, three when it is read for the first time (two with `write_behind`).

        Args:
            id: The entity's id, a value of the id attribute's type.

        Returns:
            The entity as it was at some moment of this call.

        Raises:
            ConversionError: If V1's document does not convert.
            TypeError: If the id is of another type.
        """
        raw = self._calls.conversions.raw_id(id)
        async with self._calls.bounded():
            return await self._calls.route.read(raw)

    @overload
    async def get_many(self, ids: Iterable[K], *, on_error: OnError = "raise") -> dict[K, V2]: ...

    @overload
    async def get_many(self, ids: Iterable[K], *, on_error: Literal["return"]) -> dict[K, V2 | ConversionError]: ...

    async def get_many(
        self, ids: Iterable[K], *, on_error: OnError | Literal["return"] = "raise"
    ) -> dict[K, V2] | dict[K, V2 | ConversionError]:
        """Return the entities by id, in the order of `ids`; missing ids are left out.

        At most three round trips for each thousand ids, as long as nobody writes the same entities meanwhile, and
        a fourth where bodies of an older conversion are stored anew beside first reads.

        Args:
            ids: The ids, any number of them.
            on_error: What to do with documents that do not convert: "raise" all their errors together, "skip" them,
                "return" each error in its entity's place, or a function (sync or async) that is given each error.

        Returns:
            The entities, and with "return" the errors, by the ids as they were given.

        Raises:
            ExceptionGroup: Of `ConversionError`, with "raise"; the other entities are migrated.
            TypeError: If an id is of another type.
        """
        return await self._calls.read_many(self._calls.route.read_many, ids, on_error)

    async def insert(self, entity: V2) -> V2:
        """Store a new entity and return it. Three round trips.

        Args:
            entity: An instance of the migration's V2 class.

        Returns:
            The entity as given.

        Raises:
            AlreadyExists: If the id is taken.
            ConversionError: If the entity does not convert, or BSON cannot hold it exactly.
            TypeError: If it is of another class.
        """
        raw = self._calls.conversions.raw_id_of(entity, self.migration.v2)
        await self._calls.insert(raw, partial(decide_insert_v2, self._calls.conversions, entity))
        return entity

    async def update(self, id: Id, change: Callable[[V2], V2 | Awaitable[V2]]) -> V2:
        """Change one entity and return the new one. Three round trips when V2 has it, two with `write_behind`.

        Args:
            id: The entity's id.
            change: `change(entity) -> entity`, sync or async. It must be pure: after a lost race it is called again.

        Returns:
            The entity that `change` returned, as it is stored now.

        Raises:
            NotFound: If there is no such entity.
            Contention: If other writers won every attempt.
            Exception: Whatever `change` raises. In all these cases nothing was written.
        """
        made = await self._calls.write(self._calls.conversions.raw_id(id), UpdateV2(self._calls.conversions, change))
        assert made is not None  # an update is no delete
        entity: V2 = made.entity
        return entity

    async def replace(self, entity: V2) -> V2:
        """Put this entity in the place of the stored one and return it. The last write wins, yet V1 and V2 agree.

        What is stored may be a document that does not convert: a known-good entity replaces it.

        Args:
            entity: An instance of the migration's V2 class.

        Returns:
            The entity as given.

        Raises:
            NotFound: If there is no such entity.
            Contention: If other writers won every attempt.
            TypeError: If it is of another class.
        """
        raw = self._calls.conversions.raw_id_of(entity, self.migration.v2)
        self._calls.conversions.v2_body(entity, "downgrade")  # refused here, before anything is announced
        await self._calls.write(raw, ReplaceV2(self._calls.conversions, entity))
        return entity

    def list(
        self,
        criteria: Criteria | None = None,
        *,
        sort: Sort | None = None,
        limit: int | None = None,
        after: Id | None = None,
        on_error: OnError = "raise",
    ) -> AsyncIterator[V2]:
        """Yield the entities that match, in a stable order, paged inside: memory does not grow with their number.

        Entities that are inserted or deleted meanwhile may or may not be met; all others are met exactly once, unless
        their sort field changes. Each is as it was when its page of up to 1,000 was read, at most one page ahead of
        what was handed out.

        Args:
            criteria: The question in both shapes; None for all.
            sort: A field that both shapes have, or a pair (V1's field, V2's field), descending with "-" in front; by
                id without it. Fields that hold arrays cannot be sorted by.
            limit: The number of entities at most; documents that do not convert count.
            after: The id of the last entity that was seen: the listing goes on behind it.
            on_error: What happens at a document that does not convert: "raise" its `ConversionError`, "skip" it, or a
                function (sync or async) that is given the error, after which the listing goes on.

        Yields:
            Entities, decoded when their turn comes.

        Raises:
            ConversionError: At a document that does not convert, with "raise".
            ConfigurationError: If `sort` names a field that a shape does not have.
            NotFound: If `after` is gone and the order is not by id.
            TypeError: If an argument is of another type.
        """
        asked = Listing(criteria=criteria, sort=sort, limit=limit, after=after, on_error=on_error)
        return self._calls.each(self._calls.route.pages, asked)

    async def check(self) -> None:
        """Look at both collections now rather than in the first call.

        Raises:
            ConfigurationError: If they cannot be used as they are; the message says what to change.
        """
        await self._calls.first_use.passed()


def calls_of(repository: Repository[V1, V2]) -> Calls[V1, V2]:
    """Return what a repository is made of, for lazymig's own tools."""
    return repository._calls
