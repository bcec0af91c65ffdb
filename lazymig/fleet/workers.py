"""One sweep by several processes on this machine, because conversions in Python use one processor per process.

Every process makes its own repository (clients belong to one event loop) and leases partitions, as sweepers on several
machines do. If one dies, its partition waits until the lease runs out, and its checkpoints stay.
"""

from __future__ import annotations

import asyncio
import inspect
import multiprocessing
import signal
from collections.abc import Awaitable, Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any

from attrs import evolve, frozen

from lazymig.errors import LazymigError
from lazymig.loop.clock import SYSTEM_CLOCK
from lazymig.repository import Repository, calls_of
from lazymig.stores.clients import clients_of
from lazymig.sweeper import Progress, Sweeper, SweepReport
from lazymig.sweeping.report import COUNTED

#: Makes the repository inside a worker, where it must be importable: a function of a module, or a partial of one.
MakeRepository = Callable[[], Repository[Any, Any] | Awaitable[Repository[Any, Any]]]


class WorkerFailed(LazymigError):
    """A worker process of the sweep failed; what it did is kept, and the next run continues from there."""


@frozen
class _Worker:
    process: Any
    pipe: Connection


class Workers:
    """A sweep by `count` processes. `options` are keywords of `Sweeper` and must be picklable."""

    def __init__(
        self,
        make_repository: MakeRepository,
        count: int,
        options: dict[str, Any],
        on_progress: Callable[[Progress], None] | None = None,
    ) -> None:
        self._make_repository = make_repository
        self._count = count
        self._options = options
        self._on_progress = on_progress
        self._workers: list[_Worker] = []
        self._progress: dict[int, Progress] = {}

    def stop(self) -> None:
        """Let every worker finish its batches and save its checkpoint."""
        for worker in self._workers:
            if worker.process.is_alive():
                worker.process.terminate()  # SIGTERM makes a worker stop cleanly

    async def run(self) -> SweepReport:
        """Start the workers and wait for them. Raises `WorkerFailed` with the first failure if one failed."""
        context = multiprocessing.get_context("spawn")
        options = {"since": SYSTEM_CLOCK.now(), **self._options}
        for _ in range(self._count):
            ours, theirs = context.Pipe()
            arguments = (theirs, self._make_repository, options)
            process = context.Process(target=_work, args=arguments, daemon=True)
            process.start()
            theirs.close()
            self._workers.append(_Worker(process, ours))
        try:
            outcomes = await asyncio.gather(*(self._wait_for_outcome(number) for number in range(self._count)))
        finally:
            self.stop()
            await asyncio.to_thread(self._join)
        reports = [outcome for outcome in outcomes if isinstance(outcome, SweepReport)]
        failures = [outcome for outcome in outcomes if isinstance(outcome, str)]
        if failures or not reports:
            raise WorkerFailed(failures[0] if failures else None)
        return sum_reports(reports)

    def _join(self) -> None:
        for worker in self._workers:
            worker.process.join()
            worker.pipe.close()

    async def _wait_for_outcome(self, number: int) -> SweepReport | str | None:
        """Return the worker's report, its failure in words, or None if it died before it sent either."""
        while True:
            try:
                said = await asyncio.to_thread(self._workers[number].pipe.recv)
            except (EOFError, OSError):
                return None
            if not isinstance(said, Progress):
                return said  # type: ignore[no-any-return]
            self._progress[number] = said
            if self._on_progress is not None:
                self._on_progress(_sum_progress(list(self._progress.values()), said, self._count))


def sum_reports(reports: Sequence[SweepReport]) -> SweepReport:
    """Add up the reports of processes that shared a sweep."""
    summed = {name: sum(getattr(report, name) for report in reports) for name in COUNTED}
    # The last process to end counted last.
    last = max(reports, key=lambda report: report.elapsed_s)
    return evolve(
        reports[0],
        **summed,
        total=max(*(report.total for report in reports), summed["scanned"]),
        remaining=last.remaining,
        dirty=last.dirty,
        dead_letters=last.dead_letters,
        foreign=max(report.foreign for report in reports),
        elapsed_s=last.elapsed_s,
        # If one process saw the pass finished, all of it is.
        finished=any(report.finished for report in reports),
    )


def _sum_progress(parts: Sequence[Progress], last: Progress, count: int) -> Progress:
    """Add up the progress of all workers; `last` is the newest part, and the first of `parts` the oldest."""
    summed = {name: sum(getattr(part, name) for part in parts) for name in COUNTED}
    # Each reports the whole pass as it last counted it. The total is always the first worker's: with changing estimates
    # the share could go back.
    done = max(summed["scanned"], *(part.done for part in parts))
    return evolve(
        last,
        **summed,
        done=done,
        total=max(parts[0].total, done),
        before=min(part.before for part in parts),
        remaining=min(part.remaining for part in parts),
        elapsed_s=max(part.elapsed_s for part in parts),
        waiting=len(parts) == count and all(part.waiting for part in parts),
    )


def _work(pipe: Connection, make_repository: MakeRepository, options: dict[str, Any]) -> None:
    """Sweep in a worker process, and send progress, then the report or the failure, to its parent."""
    try:
        pipe.send(asyncio.run(_sweep(pipe, make_repository, options)))
    except BrokenPipeError:
        pass  # the parent is gone: the lease runs out, and another process continues
    except SystemExit as left:
        pipe.send(f"a worker failed: the application called sys.exit({left.code!r})")
    except LazymigError as error:
        pipe.send(f"a worker failed: {error}")
    except Exception as error:
        # As text without contents: an error may hold what cannot be pickled, and a driver's error may quote documents.
        pipe.send(f"a worker failed: {type(error).__name__}; run the sweep without workers to see it in full")


async def _sweep(pipe: Connection, make_repository: MakeRepository, options: dict[str, Any]) -> SweepReport:
    def listen(sweeper: Sweeper[Any, Any]) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, sweeper.stop)

    return await sweep_here(make_repository, {**options, "on_progress": pipe.send}, listen)


async def sweep_here(
    make_repository: MakeRepository,
    options: dict[str, Any],
    started: Callable[[Sweeper[Any, Any]], None] = lambda _: None,
) -> SweepReport:
    """Make the repository in this process's event loop, sweep, and close its clients."""
    made = make_repository()
    repository = await made if inspect.isawaitable(made) else made
    sweeper = Sweeper(repository, **options)
    started(sweeper)
    try:
        async with repository:
            return await sweeper.run()
    finally:
        for client in clients_of(calls_of(repository).pair.v1, calls_of(repository).pair.bodies):
            await client.close()
