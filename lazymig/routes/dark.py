"""Dark reads around the route of any phase: it answers, and a share of its reads is compared with the other side.

The other verbs are passed on. `exists`, `count` and listings are not compared: they do not answer one entity at one
revision.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from attrs import frozen
from pymongo.errors import PyMongoError

from lazymig.dark.contests import Side
from lazymig.dark.figures import Figures
from lazymig.dark.notes import Notes
from lazymig.dark.watch import OTHER, Watch
from lazymig.errors import ConversionError
from lazymig.loop.clock import Clock
from lazymig.protocol.edits import Change, ClientEdit
from lazymig.query import Criteria, Span
from lazymig.routes.route import Route
from lazymig.stores.given import RawId

E = TypeVar("E")
V1 = TypeVar("V1")
V2 = TypeVar("V2")


@frozen
class Dark(Route[V1, V2], Generic[V1, V2]):
    """The control, which answers every call, and the watch, which compares some of them.

    The caller of a read gets the control's entity or exception as it is, as soon as it is there. A sampled call runs
    the control's own code and statements, on stores that note what they read.
    """

    control: Route[V1, V2]
    #: Makes the control's route for one call, whose reads are noted.
    noting: Callable[[Notes], Route[V1, V2]]
    clock: Clock
    watch: Watch[V1, V2]
    #: The side that does not answer reads in V2's type.
    candidate: Side
    #: What counts by group, while the cut-over is gradual.
    figures: Figures | None = None

    @property
    def uses_v2(self) -> bool:
        return self.control.uses_v2

    @property
    def fills_v2(self) -> bool:
        return self.control.fills_v2

    @property
    def serves_v2(self) -> bool:
        return self.control.serves_v2

    @property
    def lists_v2(self) -> bool:
        return self.control.lists_v2

    @property
    def keeps_v1(self) -> bool:
        return self.control.keeps_v1

    async def read(self, id: RawId) -> V2 | None:
        if not self.watch.pick((id,)):
            return await self.control.read(id)
        return await self._watched_one(lambda route: route.read(id), id, self.candidate)

    async def read_many(self, ids: Sequence[RawId]) -> dict[RawId, V2 | ConversionError]:
        if not (picked := self.watch.pick(ids)):
            return await self.control.read_many(ids)
        return await self._watched_many(lambda route: route.read_many(ids), picked, self.candidate)

    async def read_v1(self, id: RawId) -> V1 | None:
        if not self.watch.pick((id,)):
            return await self.control.read_v1(id)
        return await self._watched_one(lambda route: route.read_v1(id), id, "v2")

    async def read_v1_many(self, ids: Sequence[RawId]) -> dict[RawId, V1 | ConversionError]:
        if not (picked := self.watch.pick(ids)):
            return await self.control.read_v1_many(ids)
        return await self._watched_many(lambda route: route.read_v1_many(ids), picked, "v2")

    async def _watched_one(self, read: Callable[[Route[V1, V2]], Awaitable[E]], id: RawId, candidate: Side) -> E:
        notes, clock = Notes(), self.clock
        started_s = clock.monotonic()
        try:
            entity = await read(self.noting(notes))
        except ConversionError:
            self.watch.compare((id,), notes, candidate, clock.monotonic() - started_s, self.figures)
            raise
        except PyMongoError:
            self._note_failure((id,), candidate)
            raise
        self.watch.compare((id,), notes, candidate, clock.monotonic() - started_s, self.figures)
        return entity

    async def _watched_many(
        self, read: Callable[[Route[V1, V2]], Awaitable[E]], picked: Sequence[RawId], candidate: Side
    ) -> E:
        notes = Notes()
        try:
            entities = await read(self.noting(notes))
        except PyMongoError:
            self._note_failure(picked, candidate)
            raise
        self.watch.compare(picked, notes, candidate, figures=self.figures)
        return entities

    def _note_failure(self, ids: Sequence[RawId], candidate: Side) -> None:
        if self.figures is not None:
            self.figures.note_failure(ids, OTHER[candidate])

    async def exists(self, id: RawId) -> bool:
        return await self.control.exists(id)

    async def exists_in_v1(self, id: RawId) -> bool:
        return await self.control.exists_in_v1(id)

    async def write(self, id: RawId, edit: ClientEdit) -> Change | None:
        return await self.control.write(id, edit)

    async def insert(self, id: RawId, change: Change) -> None:
        await self.control.insert(id, change)

    def pages(self, span: Span) -> AsyncGenerator[list[V2 | ConversionError]]:
        return self.control.pages(span)

    def v1_pages(self, span: Span) -> AsyncGenerator[list[V1 | ConversionError]]:
        return self.control.v1_pages(span)

    async def count(self, criteria: Criteria) -> int:
        return await self.control.count(criteria)

    async def count_v1(self, criteria: Criteria) -> int:
        return await self.control.count_v1(criteria)
