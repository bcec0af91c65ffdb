"""The application's door: typed, and the same in every phase.

Each verb checks its arguments and calls the route of the phase. Nothing here depends on the phase.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from copy import copy
from types import TracebackType
from typing import Literal, Self, TypeVar, cast, overload

from lazymig.control import Control
from lazymig.dark.settings import DarkReads
from lazymig.door import V2Door
from lazymig.errors import ConversionError
from lazymig.loop.clock import SYSTEM_CLOCK, Clock
from lazymig.phases import Phase
from lazymig.query import Criteria, Listing, OnError, Sort
from lazymig.routes.calls import Calls
from lazymig.routes.opening import open_calls, open_calls_in_place
from lazymig.routes.options import Options
from lazymig.shapes.migration import Migration
from lazymig.stores.given import Collection, Collections, Id, Session
from lazymig.telemetry import Tally
from lazymig.v1_view import V1View

K = TypeVar("K", bound=Id)
V1 = TypeVar("V1")
V2 = TypeVar("V2")
#: The migration of a class method, which the class itself does not determine.
T1 = TypeVar("T1")
T2 = TypeVar("T2")


class Repository(V2Door[V1, V2]):
    """A migration's entities in V2's type. The phase decides which collections are read and written.

    Args:
        migration: The two classes and the conversions between them.
        v1: The collection of the old shape: async, of PyMongo, Motor or mongomock-motor, and of a client that belongs
            to the running event loop. `Migration.finished` needs none.
        v2: The collection of the new shape, in any database or cluster. `Migration.upcasting` needs none.
        phase: Where the migration stands: a `Phase`, or the `Control` that records it for all processes.
        coalesce: Let reads and lazy migrations that start in the same turn of the event loop share a round trip.
        write_behind: Store V2 bodies behind the caller, from a bounded queue that `async with repository:` drains. In
            `V2_PRIMARY` only those of reads: its writes wait for V2.
        checked: Compare every read with V1, which wins, while other programs write V1 directly. Not in `V2_ONLY`.
        read_concern: "linearizable" where the answer of a deposed primary, some seconds old, is not good enough.
        max_attempts: How often a write is tried while others win, before it raises `Contention`.
        max_in_flight: Writes in flight at a time; None for no bound. Other writes wait for a place, and their
            `timeout_s` starts when they have it. Writes within a `change` function and within a session do not wait.
        timeout_s: Seconds that one call may take, all its round trips together, before it raises the driver's
            `NetworkTimeout`; None for no bound. It must be well below the sweeper's grace period. The client's own
            time-outs, such as `serverSelectionTimeoutMS`, hold as well. Once V1 has a write, a V2 that hangs delays the
            call by half of this at most, and is no error.
        v2_wait_s: Seconds that a read waits for V2; then V1 answers alone, without the fields that it cannot express.
            None: one second; where `upgrade` takes the previous V2 entity, as long as the call may take.
        dark_reads: A share of the reads by id is compared with the other side, behind their callers.
        clock: The source of time, for tests.

    Raises:
        ConfigurationError: If an argument cannot work; the message says what to change.
    """

    def __init__(
        self,
        migration: Migration[V1, V2],
        *,
        v1: Collection | None = None,
        v2: Collection | None = None,
        phase: Phase | Control,
        coalesce: bool = True,
        write_behind: bool = False,
        checked: bool = False,
        read_concern: Literal["linearizable"] | None = None,
        max_attempts: int = 32,
        max_in_flight: int | None = 500,
        timeout_s: float | None = 30.0,
        v2_wait_s: float | None = None,
        dark_reads: DarkReads | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        options = Options(
            clock=clock, coalesce=coalesce, write_behind=write_behind, checked=checked, read_concern=read_concern,
            max_attempts=max_attempts, max_in_flight=max_in_flight, timeout_s=timeout_s, v2_wait_s=v2_wait_s,
            dark_reads=dark_reads,
        )  # fmt: skip
        self._calls: Calls[V1, V2] = open_calls(migration, Collections(v1, v2), phase, options)

    @classmethod
    def in_place(
        cls,
        migration: Migration[T1, T2],
        collection: Collection,
        *,
        phase: Phase | Control,
        coalesce: bool = True,
        write_behind: bool = False,
        read_concern: Literal["linearizable"] | None = None,
        max_attempts: int = 32,
        max_in_flight: int | None = 500,
        timeout_s: float | None = 30.0,
        dark_reads: DarkReads | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> Repository[T1, T2]:
        """Return a repository whose shapes share the documents of one collection.

        Each document holds the fields of both classes; what both declare alike is stored once. V2's part is trusted
        where a fingerprint shows that it was made of V1's part as it stands, so programs that do not use lazymig may go
        on writing V1's fields until `V2_ONLY`. A get is one round trip, and one more where it stores a conversion; an
        update is two, an insert one. There is no `PREPARE`.

        Args:
            migration: The two classes and the conversions between them. `v2_within` keeps V2's part in a sub-document.
            collection: The collection: async, of PyMongo, Motor or mongomock-motor.
            phase: As for `Repository`.
            coalesce: As for `Repository`.
            write_behind: Store what reads convert behind their callers.
            read_concern: As for `Repository`.
            max_attempts: As for `Repository`.
            max_in_flight: As for `Repository`.
            timeout_s: As for `Repository`.
            dark_reads: A share of the reads by id compares the two parts of the document that was read, behind their
                callers. Nothing else is read for it, so `aa` is refused.
            clock: As for `Repository`.

        Returns:
            The repository, an instance of the class on which this is called.

        Raises:
            ConfigurationError: If an argument cannot work, or a name means two things; the message says what to change.
        """
        options = Options(
            clock=clock, coalesce=coalesce, write_behind=write_behind, checked=False, read_concern=read_concern,
            max_attempts=max_attempts, max_in_flight=max_in_flight, timeout_s=timeout_s, v2_wait_s=None,
            dark_reads=dark_reads,
        )  # fmt: skip
        repository = cast("Repository[T1, T2]", cls.__new__(cls))
        repository._calls = open_calls_in_place(migration, collection, phase, options)
        return repository

    def __repr__(self) -> str:
        return f"<Repository {self.migration.name} {self._calls.stages}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._calls.close()

    @property
    def migration(self) -> Migration[V1, V2]:
        """The migration that this repository serves."""
        return self._calls.migration

    @property
    def phase(self) -> Phase:
        """Where the migration stands. Under a `Control` it is known after `check` or the first call."""
        return self._calls.phase

    @property
    def timeout_s(self) -> float | None:
        """Seconds that one call may take; None for no bound."""
        return self._calls.options.timeout_s

    @property
    def collections(self) -> Collections:
        """The collections as they were given. Read only: writes that bypass the repository break its guarantees."""
        return self._calls.collections

    @property
    def tally(self) -> Tally:
        """Counts of what this repository did, by metric name (`lazymig.migrated` and so on)."""
        return self._calls.ground.tally

    @property
    def dark_reads(self) -> DarkReads | None:
        """The dark reads that were given, with what they found."""
        return self._calls.options.dark_reads

    @property
    def v1(self) -> V1View[V1, V2]:
        """The entities in V1's type, for code that still uses it. Its writes keep V2 exact."""
        return V1View(self._calls)

    def with_session(self, session: Session) -> Self:
        """Return this repository with every step in a driver session, and in its transaction if one is open.

        In a transaction, a conflict with another writer raises an error with the driver's label
        `TransientTransactionError`: run the transaction by `session.with_transaction`, which retries it.

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
        """Return the entity, or None. In `SHADOW` and `COEXIST` it is migrated if V2 lacks it.

        In `COEXIST`, one round trip when V2 has it, three for a first read (two with `write_behind`, or in place).

        Args:
            id: The entity's id, a value of the id attribute's type.

        Returns:
            The entity as it was at some moment of this call.

        Raises:
            ConversionError: If the document does not convert, or does not fit its class, or with the cause `NotYet`.
            TypeError: If the id is of another type.
        """
        raw = self._calls.conversions.raw_id(id)
        async with self._calls.bounded() as stage:
            return await stage.route.read(raw)

    @overload
    async def get_many(self, ids: Iterable[K], *, on_error: OnError = "raise") -> dict[K, V2]: ...

    @overload
    async def get_many(self, ids: Iterable[K], *, on_error: Literal["return"]) -> dict[K, V2 | ConversionError]: ...

    async def get_many(
        self, ids: Iterable[K], *, on_error: OnError | Literal["return"] = "raise"
    ) -> dict[K, V2] | dict[K, V2 | ConversionError]:
        """Return the entities by id, in the order of `ids`; missing ids are left out.

        At most three round trips per thousand ids, while no other client writes the same entities, and a fourth where
        bodies of an older conversion are replaced.

        Args:
            ids: The ids, any number of them.
            on_error: What to do with documents that do not convert: "raise" all their errors together, "skip" them,
                "return" each error in its entity's place, or call a function (sync or async) with each error.

        Returns:
            The entities, and with "return" the errors, by the ids as they were given.

        Raises:
            ExceptionGroup: Of `ConversionError`, with "raise"; the other entities are migrated.
            TypeError: If an id is of another type.
        """
        return await self._calls.read_many(ids, on_error)

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

        Entities that are inserted or deleted meanwhile may or may not be yielded, all others exactly once unless their
        sort field changes. Each is as it was when its page of up to 1,000 was read, at most one page ahead.

        Args:
            criteria: The question in both shapes; None for all.
            sort: A field that both shapes have, or a pair (V1's field, V2's field), with "-" in front for descending
                order; None for the order of ids. Listings cannot sort by fields that hold arrays.
            limit: How many entities at most; documents that do not convert count as well.
            after: The id of the last entity that was seen; the listing continues after it.
            on_error: What to do at a document that does not convert: "raise" its `ConversionError`, "skip" it, or call
                a function (sync or async) with the error and continue.

        Yields:
            Entities, each decoded when it is reached.

        Raises:
            ConversionError: At a document that does not convert, with "raise".
            ConfigurationError: If `sort` names a field that a shape does not have.
            NotFound: If the entity `after` is gone and the order is not by id.
            TypeError: If an argument is of another type.
        """
        asked = Listing(criteria=criteria, sort=sort, limit=limit, after=after, on_error=on_error)
        return self._calls.list_v2(asked)


def calls_of(repository: Repository[V1, V2]) -> Calls[V1, V2]:
    """Return what a `Repository` is composed of, for lazymig's own tools."""
    return repository._calls


def repository_over(calls: Calls[V1, V2]) -> Repository[V1, V2]:
    """Return a repository with these calls, for lazymig's own tools."""
    repository: Repository[V1, V2] = Repository.__new__(Repository)
    repository._calls = calls
    return repository
