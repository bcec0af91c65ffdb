"""A follower at work beside a test, and the comparison of both sides at the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from attrs import evolve

from lazymig import Follower, FollowReport
from lazymig.control import parts_of
from lazymig.stores.documents import META_FIELD, REVISION_FIELD
from lazymig.verifying.options import VerifyOptions
from tests.sweeps import control, repository

#: Progress reports without a new change after which everything before the call was seen: the first two may have been
#: under way.
_IDLE_REPORTS = 3


def repairing_after(min_age_s: float) -> Any:
    """In place of `VerifyOptions.to_repair`: differences count after this age."""
    return staticmethod(lambda: evolve(TO_REPAIR, min_age_s=min_age_s))


TO_REPAIR = VerifyOptions.to_repair()


class Watched:
    """A follower that runs in a task of its own."""

    def __init__(self, database: Any, **options: Any) -> None:
        self._turn = asyncio.Event()
        self.report: FollowReport | None = None
        self.reports = 0
        repo = options.pop("repo", None) or repository(database)
        self.follower = Follower(repo, on_progress=self._note, **options)
        self.task = asyncio.ensure_future(self.follower.run())

    def _note(self, report: FollowReport) -> None:
        self.report = report
        self.reports += 1
        self._turn.set()

    async def until(self, holds: Callable[[FollowReport], bool]) -> FollowReport:
        """Wait for a report of which this holds."""
        while self.report is None or not holds(self.report):
            await self._next()
        return self.report

    async def _next(self) -> None:
        self._turn.clear()
        waiting = asyncio.ensure_future(self._turn.wait())
        await asyncio.wait({waiting, self.task}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if self.task.done():
            self.task.result()
            assert self._turn.is_set(), "the follower ended"

    async def settled(self) -> FollowReport:
        """Wait until all that was written before is handled, also what was open."""
        await self.until(lambda report: not report.catching_up and not report.waiting)
        seen, quiet = -1, 0
        while quiet < _IDLE_REPORTS or self.handler.find_oldest() is not None:
            before = self.reports
            await self.until(lambda _, before=before: self.reports > before)
            assert self.report is not None
            quiet = quiet + 1 if self.report.events == seen else 0
            seen = self.report.events
        assert self.report is not None
        return self.report

    @property
    def handler(self) -> Any:
        """What handles its batches."""
        pursuit = self.follower._follow._pursuit
        assert pursuit is not None
        return pursuit.handler

    async def end(self) -> FollowReport:
        """Stop it and return its report."""
        self.follower.stop()
        return await self.task


@asynccontextmanager
async def followed(database: Any, **options: Any) -> AsyncIterator[Watched]:
    """A follower that has found its position, until the end of the with statement."""
    watched = Watched(database, **({"catch_up": False} | options))
    try:
        await watched.until(lambda report: not report.waiting)
        yield watched
        if not watched.task.done():
            await watched.end()
    finally:
        watched.task.cancel()
        await asyncio.gather(watched.task, return_exceptions=True)


async def recorded(database: Any) -> Any:
    """What the control collection holds about the follower."""
    return await parts_of(control(database)).following("things").find()


def body_of(document: dict[str, Any]) -> tuple[Any, Any]:
    """What both shapes of a thing share."""
    return document.get("n", document.get("count")), document.get("code")


async def find_wrong(database: Any) -> dict[Any, str]:
    """Compare every document of both sides: which entities would be served wrongly, and why."""
    v1 = {one["_id"]: one async for one in database["v1"].find()}
    wrong = {}
    async for seen in database["v2"].find():
        meta, truth = seen[META_FIELD], v1.get(seen["_id"])
        if meta.get("gone") or meta["rev"] != meta["intent"]:
            continue  # does not answer
        if truth is None:
            wrong[seen["_id"]] = "V1 lacks it"
        elif meta["rev"] != truth.get(REVISION_FIELD, 0):
            wrong[seen["_id"]] = f"revision {meta['rev']}, V1 has {truth.get(REVISION_FIELD, 0)}"
        elif body_of(seen) != body_of(truth):
            wrong[seen["_id"]] = f"{body_of(seen)}, V1 has {body_of(truth)}"
    return wrong
