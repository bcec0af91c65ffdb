"""What a process of several does with what it is given: its signals, and the time that is left of the run."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from lazymig import Phase
from lazymig.fleet import dask, workers
from lazymig.fleet.jobs import Job
from lazymig.fleet.signals import interrupts_held_back
from lazymig.fleet.workers import Workers, find_end, run_here, shorten
from lazymig.testing import memory_repository
from tests.people import people

NOW = datetime(2024, 5, 1)


class Part:
    """A part of a run that is over at once; it notes what it was made with, and whether Ctrl-C is held back."""

    made: ClassVar[list[dict[str, Any]]] = []
    finished = True

    def __init__(self, _: Any, **options: Any) -> None:
        self.made.append(options)
        self.stopped = asyncio.Event()

    def stop(self) -> None:
        self.stopped.set()

    async def run(self) -> Part:
        self.made[-1]["held"] = is_held()
        signal.raise_signal(signal.SIGINT)
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            await self.stopped.wait()
        self.made[-1]["stopped"] = self.stopped.is_set()
        return self


def one(_: Any) -> Any:
    return 1


JOB: Any = Job("part", Part, type(None), Part, lambda reports: reports, one, one)


def make() -> Any:
    """A repository for a part, which sends nothing."""
    return memory_repository(people(), Phase.COEXIST)


def is_held() -> bool:
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())


@pytest.fixture(autouse=True)
def apart(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The mask of signals as it was, a clock that stands, and no parts."""
    monkeypatch.setattr(Part, "made", [])
    monkeypatch.setattr(workers, "SYSTEM_CLOCK", SimpleNamespace(now=lambda: NOW))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    yield
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # what is still held back would end the tests
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_a_worker_takes_ctrl_c_while_it_works_and_at_no_other_time() -> None:
    """It stops its part then. Before, it could not handle it, and afterwards it ends by itself."""
    with interrupts_held_back():
        assert is_held()
        asyncio.run(workers._run_part(SimpleNamespace(send=None), JOB, make, {}, None))  # type: ignore[arg-type]
        assert is_held()
    [part] = Part.made
    assert (part["held"], part["stopped"]) == (False, True)
    assert not is_held()


async def test_one_end_holds_for_all_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that starts later has less time; for one that comes too late nothing is left, and none has more."""
    assert find_end({"rate_limit": 3}) is None
    assert find_end({"max_time_s": None}) is None
    assert shorten({"rate_limit": 3}, None) == {"rate_limit": 3}
    end = find_end({"max_time_s": 60.0})
    assert end == NOW + timedelta(seconds=60)
    for later_s, left_s in ((0, 60.0), (45, 15.0), (61, 0.0), (-3600, 60.0)):
        now = NOW + timedelta(seconds=later_s)
        monkeypatch.setattr(workers, "SYSTEM_CLOCK", SimpleNamespace(now=lambda now=now: now))
        assert shorten({"max_time_s": 60.0, "rate_limit": 3}, end) == {"max_time_s": left_s, "rate_limit": 3}


def test_a_process_counts_what_is_left_when_its_part_begins() -> None:
    """On this machine and on a Dask cluster."""
    options, end = {"max_time_s": 60.0}, NOW + timedelta(seconds=20)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(run_here(JOB, make, options, end))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(dask, "SWEEP", JOB)
        dask.sweep_shard((0, 2), make, options, end)
    assert [part["max_time_s"] for part in Part.made] == [20.0, 20.0]


def test_all_processes_are_given_the_end_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is counted from when the run begins, not from when each of them has started."""
    started: list[tuple[Any, ...]] = []
    monkeypatch.setattr(Workers, "_start", lambda _, *given: started.append(given))
    monkeypatch.setattr(Workers, "_wait_for_outcome", lambda *_: asyncio.sleep(0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(Workers(JOB, make(), make, 3, {"max_time_s": 60.0}).run())
    [(options, end)] = started
    assert (options["max_time_s"], end) == (60.0, NOW + timedelta(seconds=60))
    assert Part.made[0]["max_time_s"] == 60.0


def test_a_run_that_is_stopped_before_it_begins_starts_no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as while it looks how many there should be; its own part is stopped and says so."""
    run: Workers[Any, Any] = Workers(JOB, make(), make, "auto", {})

    async def choose(_: Any) -> int:
        run.stop()
        return 3

    monkeypatch.setattr(Workers, "_choose_count", choose)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(run.run())
    assert run._workers == []
    assert Part.made[0]["stopped"]
