"""The work of a sweep on two collections: move what V2 lacks, convert older bodies again, resolve marks and letters."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import ClassVar, Generic, TypeVar

from lazymig.control import Identities
from lazymig.errors import ConfigurationError
from lazymig.measuring.holdings import look_up_holdings, show_holdings
from lazymig.passes.shedding import as_patient_as
from lazymig.passes.walking import LastPage
from lazymig.protocol.pair import Pair
from lazymig.stores.counts import Counts
from lazymig.stores.given import RawId
from lazymig.stores.records import Partition
from lazymig.surroundings.checking import check_apart
from lazymig.surroundings.looking import identify
from lazymig.sweeping.adopting import adopt_foreign
from lazymig.sweeping.dead_letters import PairReview, review_letters
from lazymig.sweeping.flow import Flow
from lazymig.sweeping.marks import resolve_marks
from lazymig.sweeping.moving import Mover
from lazymig.sweeping.reconverting import Reconverter, ensure_conversion_index
from lazymig.sweeping.remainder import Choice, Page
from lazymig.sweeping.report import Left
from lazymig.sweeping.server_side import IN_MEMORY, open_server_side
from lazymig.sweeping.work import Means, SweepWork

V1 = TypeVar("V1")
V2 = TypeVar("V2")


class PairWork(SweepWork, Generic[V1, V2]):
    """Moves from V1 to V2. Each part of it knows both collections.

    Raises `ConfigurationError` where an option cannot work in this layout.
    """

    in_place: ClassVar[bool] = False

    def __init__(self, pair: Pair[V1, V2], means: Means) -> None:
        options, throttle, counts = means.options, means.throttle, means.counts
        if means.timeout_s is not None and options.grace_s <= means.timeout_s:
            raise ConfigurationError("grace_s must exceed the repository's timeout_s: an operation may be in flight")
        check_apart(means.control, pair.v1, pair.bodies)
        self._pair, self._means = pair, means
        self.store = pair.v1
        self.question = question = pair.v1.question(options.where or {})
        control = None if options.dry_run else means.control
        self._mover = mover = Mover(pair, control, counts, dry_run=options.dry_run, sounding=throttle.sounding)
        self.failures = mover.failures
        choice = Choice(question=question, descending=options.newest_first)
        self._server = open_server_side(pair, counts, options.grace, throttle.sounding, dry_run=options.dry_run)
        self._flow = Flow(pair, mover, throttle, counts, choice, self._server)
        self._reconverter = Reconverter(pair, mover, throttle, counts, dry_run=options.dry_run, question=question)
        self._v1 = as_patient_as(pair.v1, Counts(pair.v1))
        self._v2 = as_patient_as(pair.bodies, Counts(pair.bodies))

    def begin(self) -> None:
        self._flow.begin()

    @property
    def last_page(self) -> LastPage | None:
        # Who wants the newest first wants the order.
        return None if self._means.options.newest_first else self._flow.last_page

    @property
    def problems(self) -> tuple[str, ...]:
        return () if self._server is None else self._server.problems

    @property
    def limits(self) -> tuple[str, ...]:
        asked = bool(self._pair.conversions.migration.upgrade_pipeline)
        return (IN_MEMORY,) if asked and self._server is None else ()

    async def identify(self) -> Identities | None:
        return await self._means.throttle.shedding.call(identify, self._pair.v1, self._pair.bodies)

    async def count(self) -> int:
        where = self._means.options.where
        return await self._pair.v1.count(where) if where else await self._v1.count_all()

    async def look(self) -> Left:
        # V1 first: entities that are inserted in between are in V2 and do not count as remaining.
        v1, held = await self._v1.count_all(), await look_up_holdings(self._v2)
        show_holdings(self._pair.tally, v1, held)
        return Left(held.remaining(v1), held.dirty)

    async def ensure_indexes(self) -> None:
        await self._pair.ledger.ensure_mark_index()
        await self._pair.bodies.ensure_unmoved_index()
        await ensure_conversion_index(self._pair)

    async def adopt(self) -> None:
        if self._means.options.adopt and self._means.options.leads:
            await adopt_foreign(self._pair, self._mover, self._means.throttle, self._means.counts)

    def pages(self, partition: Partition, position: RawId) -> AsyncGenerator[Page]:
        """Move what V2 lacks of a partition; yield each page once it is durably stored or has its dead letters."""
        return self._flow.pages(partition, position)

    async def endings(self, partition: Partition) -> AsyncGenerator[int]:
        """Convert the partition's older bodies again, where some may exist."""
        if self._reconverter.needed:
            async for converted in self._reconverter.pages(partition):
                yield converted

    async def tidy(self, goes_on: Callable[[], Awaitable[bool]]) -> bool:
        """Resolve marks and review dead letters."""
        grace, control = self._means.options.grace, self._means.control
        finished = await resolve_marks(self._pair, self._mover, self._means.counts, grace, goes_on)
        await review_letters(PairReview(self._pair, self._mover, grace), control, goes_on=goes_on)
        return finished
