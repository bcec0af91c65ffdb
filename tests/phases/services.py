"""Processes of the example service: real servers on loopback ports, which a test kills, pauses and cuts off."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from attrs import Factory, define

TOP = Path(__file__).parents[2]
SCRIPT = str(Path(sys.executable).with_name("lazymig"))
_RUNNING = re.compile(r"running on (http://\S+)")
_START_S = 180


@define(eq=False)
class Service:
    """One process of the service. It may be started again after it was killed."""

    name: str
    environment: Mapping[str, str]
    #: Where it runs.
    folder: Path
    #: Where it answers; of the present process.
    url: str = ""
    log: list[str] = Factory(list)
    _process: asyncio.subprocess.Process | None = None
    _reader: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the process, and return once it answers."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "uvicorn", "examples.service.app:app", "--port", "0", "--no-access-log",
            cwd=self.folder, env=self.environment, stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._reader = asyncio.create_task(self._read(self._process, ready))
        self.url = await asyncio.wait_for(ready, _START_S)

    async def _read(self, process: asyncio.subprocess.Process, ready: asyncio.Future[str]) -> None:
        assert process.stderr is not None
        async for line in process.stderr:
            self.log.append(line.decode())
            if (found := _RUNNING.search(self.log[-1])) and not ready.done():
                ready.set_result(found[1])
        if not ready.done():
            ready.set_exception(RuntimeError(f"{self.name} did not start:\n{''.join(self.log[-20:])}"))

    async def kill(self) -> None:
        """End it as `kill -9` does."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """Let it shut down: it leaves the fleet."""
        await self._end(signal.SIGTERM)

    async def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)  # a paused process cannot shut down
            process.send_signal(how)
        await process.wait()
        if self._reader is not None:
            await self._reader

    def pause(self) -> None:
        """Stop it where it is: nothing in it runs until `resume`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it run on from where it was paused. A process that runs is left alone."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)


@asynccontextmanager
async def started(variables: Mapping[str, Mapping[str, str]], folder: Path) -> AsyncIterator[list[Service]]:
    """Processes of the service by name, each with its environment, all of them up; stopped afterwards."""
    services = [Service(name, environment(its), folder) for name, its in variables.items()]
    async with AsyncExitStack() as stack:
        for service in services:
            stack.push_async_callback(service.stop)
        await asyncio.gather(*(service.start() for service in services))
        yield services


@contextmanager
def home() -> Iterator[Path]:
    """A folder that holds the checkout's `examples` and no `lazymig`, which comes from wherever it is installed."""
    with TemporaryDirectory() as folder:
        (Path(folder) / "examples").symlink_to(TOP / "examples")
        yield Path(folder)


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return {**os.environ, "PATH": path, "CUSTOMERS_PHASE": "control", "COLUMNS": "80", **variables}
