"""One pass by several processes on this machine, because conversions in Python use one processor per process.

The process that begins the pass is one of them: it is at work while the others start. Every process has its own
repository (clients belong to one event loop) and leases partitions, as processes on several machines do. If one dies,
its partition waits until the lease runs out, and its checkpoints stay.
"""

from __future__ import annotations

import asyncio
import inspect
import multiprocessing
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from attrs import frozen

from lazymig.errors import ConfigurationError, LazymigError
from lazymig.fleet.jobs import Job, Report, Running
from lazymig.fleet.processors import choose_processes, count_processors
from lazymig.fleet.signals import hold_interrupts_back, interrupts_held_back, let_interrupts_through
from lazymig.loop.clock import SYSTEM_CLOCK
from lazymig.repository import Repository, calls_of
from lazymig.stores.clients import clients_of

P = TypeVar("P")
R = TypeVar("R", bound=Report)

#: A repository of any migration.
Made: TypeAlias = Repository[Any, Any]
#: Makes the repository inside a worker, where it must be importable: a function of a module, or a partial of one.
MakeRepository = Callable[[], Made | Awaitable[Made]]
#: Keywords of a job.
Keywords: TypeAlias = dict[str, Any]


class WorkerFailed(LazymigError):
    """A worker process failed; what it did is kept, and the next run continues from there."""


@frozen
class _Worker:
    process: BaseProcess
    pipe: Connection


class Workers(Generic[P, R]):
    """A pass by several processes, of which this one is the first.

    Args:
        job: The kind of pass.
        repository: What this process works with, open. The caller closes it.
        make_repository: Makes the repository in each other process.
        count: The number of processes. "auto": as many as the processors of this machine allow and the partitions that
            are left can use, see `lazymig.fleet.processors`.
        options: Keywords of the job. They must be picklable.
        on_progress: Is called with what all processes together have done.

    Raises:
        ConfigurationError: If `count` is neither a whole number above 0 nor "auto".
    """

    def __init__(
        self,
        job: Job[P, R],
        repository: Made,
        make_repository: MakeRepository,
        count: int | Literal["auto"],
        options: Keywords,
        on_progress: Callable[[P], None] | None = None,
    ) -> None:
        if count != "auto" and (type(count) is not int or count < 1):
            raise ConfigurationError(f'count: pass a number of processes, 1 or more, or "auto", not {count!r}')
        self._job = job
        self._repository = repository
        self._make_repository = make_repository
        self._given = count
        #: Zero until it is known.
        self._count = 0
        self._options = options
        self._on_progress = on_progress
        self._here: Running[R] | None = None
        self._stopped = False
        self._workers: list[_Worker] = []
        self._progress: dict[int, P] = {}

    def stop(self) -> None:
        """Let every process finish its batches and save its checkpoint."""
        self._stopped = True
        if self._here is not None:
            self._here.stop()
        self._end(self._workers)

    def _end(self, workers: Iterable[_Worker]) -> None:
        for worker in workers:
            if worker.process.is_alive():
                worker.process.terminate()  # SIGTERM makes a worker stop cleanly

    def _find_idle(self) -> list[_Worker]:
        """Those that have not done anything."""
        return [worker for number, worker in enumerate(self._workers, 1) if number not in self._progress]

    async def run(self) -> R:
        """Do a part, start the other processes for theirs, and wait for them.

        A process that fails before it has done anything stops the others: what is wrong with one is wrong with all.

        Raises:
            WorkerFailed: A process failed, with the first failure. What was done is kept.
        """
        options, end = {"since": SYSTEM_CLOCK.now(), **self._options}, find_end(self._options)
        self._count = await self._choose_count() if self._given == "auto" else self._given
        mine = shorten(options, end)
        self._here = self._job.make(self._repository, **mine, on_progress=partial(self._take_progress, 0))
        if self._stopped:
            self._here.stop()
            self._count = 1
        # Threads of their own: the part of this process needs the loop's, if only to look up the server's address.
        listening = ThreadPoolExecutor(self._count)
        try:
            self._start(options, end)
            others = (self._wait_for_outcome(number, listening) for number in range(1, self._count))
            outcomes = await asyncio.gather(self._run_here(self._here), *others)
        finally:
            self.stop()
            await asyncio.to_thread(self._join)
            listening.shutdown(wait=False)
        failures = [outcome for outcome in outcomes if isinstance(outcome, str)]
        if failures:
            raise WorkerFailed(failures[0])
        return self._job.sum_reports([outcome for outcome in outcomes if isinstance(outcome, self._job.report)])

    async def _choose_count(self) -> int:
        return await choose_count(self._job, self._repository, self._options)

    def _start(self, options: Keywords, end: datetime | None) -> None:
        context = multiprocessing.get_context("spawn")
        with interrupts_held_back():
            for _ in range(1, self._count):
                ours, theirs = context.Pipe()
                arguments = (theirs, self._job, self._make_repository, options, end)
                process = context.Process(target=_work, args=arguments, daemon=True)
                process.start()
                theirs.close()
                self._workers.append(_Worker(process, ours))

    def _join(self) -> None:
        for worker in self._workers:
            worker.process.join()
            worker.pipe.close()

    async def _run_here(self, running: Running[R]) -> R | str:
        """Return this process's report, or its failure in words."""
        try:
            report = await running.run()
        except (Exception, SystemExit) as error:
            return self._take_failure(0, _describe(self._job, error))
        if report.finished:
            self._end(self._find_idle())  # a small pass ends before they have started
        return report

    async def _wait_for_outcome(self, number: int, listening: ThreadPoolExecutor) -> R | str | None:
        """Return the worker's report, its failure in words, or None if it died before it sent either."""
        receive, loop = self._workers[number - 1].pipe.recv, asyncio.get_running_loop()
        while True:
            try:
                said = await loop.run_in_executor(listening, receive)
            except (EOFError, OSError):
                return None
            if isinstance(said, str):
                return self._take_failure(number, said)
            if not isinstance(said, self._job.progress):
                return said  # type: ignore[no-any-return]
            self._take_progress(number, said)

    def _take_progress(self, number: int, progress: P) -> None:
        self._progress[number] = progress
        if self._on_progress is not None:
            parts = [self._progress[number] for number in sorted(self._progress)]
            self._on_progress(self._job.sum_progress(parts, progress, self._count))

    def _take_failure(self, number: int, failure: str) -> str:
        if number not in self._progress:
            self.stop()
        return failure


def _work(
    pipe: Connection, job: Job[P, R], make_repository: MakeRepository, options: Keywords, end: datetime | None
) -> None:
    """Do a part in a worker process, and send progress, then the report or the failure, to its parent."""
    try:
        try:
            outcome: R | str = asyncio.run(_run_part(pipe, job, make_repository, options, end))
        except (Exception, SystemExit) as error:
            outcome = _describe(job, error)
        pipe.send(outcome)
    except BrokenPipeError:
        pass  # the parent is gone: the lease runs out, and another process continues


def _describe(job: Job[P, R], error: BaseException) -> str:
    """Say in words how a part failed: an error may hold what cannot be pickled, and a driver's may quote documents."""
    match error:
        case SystemExit():
            return f"a worker failed: the application called sys.exit({error.code!r})"
        case LazymigError():
            return f"a worker failed: {error}"
    return f"a worker failed: {type(error).__name__}; run the {job.name} without workers to see it in full"


async def _run_part(
    pipe: Connection, job: Job[P, R], make_repository: MakeRepository, options: Keywords, end: datetime | None
) -> R:
    def listen(running: Running[R]) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, running.stop)
        let_interrupts_through()

    try:
        return await run_here(job, make_repository, {**options, "on_progress": pipe.send}, end, listen)
    finally:
        hold_interrupts_back()


async def run_here(
    job: Job[P, R],
    make_repository: MakeRepository,
    options: Keywords,
    end: datetime | None,
    started: Callable[[Running[R]], None] = lambda _: None,
) -> R:
    """Make the repository in this process's event loop, do this process's part, and close the clients.

    `end`: when the run of all processes ends.
    """
    async with _opened(make_repository) as repository:
        running = job.make(repository, **shorten(options, end))
        started(running)
        async with repository:
            return await running.run()


def find_end(options: Keywords) -> datetime | None:
    """Return when a run with these options that begins now must end, in all its processes; None for no bound."""
    max_time_s = options.get("max_time_s")
    return None if max_time_s is None else SYSTEM_CLOCK.now() + timedelta(seconds=max_time_s)


def shorten(options: Keywords, end: datetime | None) -> Keywords:
    """Return the options of a process that begins now: it has what is left until the end of the run.

    By the clock of its machine, and never more than the whole.
    """
    if end is None:
        return options
    left_s = (end - SYSTEM_CLOCK.now()).total_seconds()
    return {**options, "max_time_s": max(0.0, min(left_s, options["max_time_s"]))}


async def choose_count(job: Job[P, R], repository: Made, options: Keywords) -> int:
    """Return how many processes of this machine should share the job with these options."""
    left = await job.estimate_partitions(job.make(repository, **options))
    return choose_processes(count_processors(), left)


@asynccontextmanager
async def _opened(make_repository: MakeRepository) -> AsyncIterator[Made]:
    """Make the repository in this event loop, and close its clients at the end."""
    made = make_repository()
    repository = await made if inspect.isawaitable(made) else made
    try:
        yield repository
    finally:
        for client in clients_of(*calls_of(repository).stores):
            await client.close()
