"""One pass by several processes on this machine, because conversions in Python use one processor per process.

Every process makes its own repository (clients belong to one event loop) and leases partitions, as processes on several
machines do. If one dies, its partition waits until the lease runs out, and its checkpoints stay.
"""

from __future__ import annotations

import asyncio
import inspect
import multiprocessing
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from attrs import frozen

from lazymig.errors import ConfigurationError, LazymigError
from lazymig.fleet.jobs import Job, Running
from lazymig.fleet.processors import choose_processes, count_processors
from lazymig.loop.clock import SYSTEM_CLOCK
from lazymig.repository import Repository, calls_of
from lazymig.stores.clients import clients_of

P = TypeVar("P")
R = TypeVar("R")

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
    """A pass by several processes.

    Args:
        job: The kind of pass.
        make_repository: Makes the repository in each process.
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
        make_repository: MakeRepository,
        count: int | Literal["auto"],
        options: Keywords,
        on_progress: Callable[[P], None] | None = None,
    ) -> None:
        if count != "auto" and (type(count) is not int or count < 1):
            raise ConfigurationError(f'count: pass a number of processes, 1 or more, or "auto", not {count!r}')
        self._job = job
        self._make_repository = make_repository
        self._given = count
        #: Zero until it is known.
        self._count = 0
        self._options = options
        self._on_progress = on_progress
        self._workers: list[_Worker] = []
        self._progress: dict[int, P] = {}

    def stop(self) -> None:
        """Let every worker finish its batches and save its checkpoint."""
        for worker in self._workers:
            if worker.process.is_alive():
                worker.process.terminate()  # SIGTERM makes a worker stop cleanly

    async def run(self) -> R:
        """Start the workers and wait for them. Raises `WorkerFailed` with the first failure if one failed."""
        self._count = await self._choose_count() if self._given == "auto" else self._given
        context = multiprocessing.get_context("spawn")
        options = {"since": SYSTEM_CLOCK.now(), **self._options}
        for _ in range(self._count):
            ours, theirs = context.Pipe()
            arguments = (theirs, self._job, self._make_repository, options)
            process = context.Process(target=_work, args=arguments, daemon=True)
            process.start()
            theirs.close()
            self._workers.append(_Worker(process, ours))
        try:
            outcomes = await asyncio.gather(*(self._wait_for_outcome(number) for number in range(self._count)))
        finally:
            self.stop()
            await asyncio.to_thread(self._join)
        reports = [outcome for outcome in outcomes if isinstance(outcome, self._job.report)]
        failures = [outcome for outcome in outcomes if isinstance(outcome, str)]
        if failures or not reports:
            raise WorkerFailed(failures[0] if failures else None)
        return self._job.sum_reports(reports)

    async def _choose_count(self) -> int:
        async with _opened(self._make_repository) as repository, repository:
            return await choose_count(self._job, repository, self._options)

    def _join(self) -> None:
        for worker in self._workers:
            worker.process.join()
            worker.pipe.close()

    async def _wait_for_outcome(self, number: int) -> R | str | None:
        """Return the worker's report, its failure in words, or None if it died before it sent either."""
        while True:
            try:
                said = await asyncio.to_thread(self._workers[number].pipe.recv)
            except (EOFError, OSError):
                return None
            if not isinstance(said, self._job.progress):
                return said  # type: ignore[no-any-return]
            self._progress[number] = said
            if self._on_progress is not None:
                parts = list(self._progress.values())
                self._on_progress(self._job.sum_progress(parts, said, self._count))


def _work(pipe: Connection, job: Job[P, R], make_repository: MakeRepository, options: Keywords) -> None:
    """Do a part in a worker process, and send progress, then the report or the failure, to its parent."""
    try:
        pipe.send(asyncio.run(_run_part(pipe, job, make_repository, options)))
    except BrokenPipeError:
        pass  # the parent is gone: the lease runs out, and another process continues
    except SystemExit as left:
        pipe.send(f"a worker failed: the application called sys.exit({left.code!r})")
    except LazymigError as error:
        pipe.send(f"a worker failed: {error}")
    except Exception as error:
        # As text without contents: an error may hold what cannot be pickled, and a driver's error may quote documents.
        pipe.send(f"a worker failed: {type(error).__name__}; run the {job.name} without workers to see it in full")


async def _run_part(pipe: Connection, job: Job[P, R], make_repository: MakeRepository, options: Keywords) -> R:
    def listen(running: Running[R]) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, running.stop)

    return await run_here(job, make_repository, {**options, "on_progress": pipe.send}, listen)


async def run_here(
    job: Job[P, R],
    make_repository: MakeRepository,
    options: Keywords,
    started: Callable[[Running[R]], None] = lambda _: None,
) -> R:
    """Make the repository in this process's event loop, do this process's part, and close the clients."""
    async with _opened(make_repository) as repository:
        running = job.make(repository, **options)
        started(running)
        async with repository:
            return await running.run()


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
