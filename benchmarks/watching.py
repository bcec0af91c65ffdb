"""What it costs that people watch the page of a migration: `python -m benchmarks.watching [--seconds 10]`.

A process serves the page of a migration on a real server and does nothing else; nobody, one and twenty watch it. The
table has its looks and statements per second, the part of one processor that it uses, and what one look takes of it.
In the rows of a sweep, one works in another process, so that the page changes with every look.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from contextlib import AsyncExitStack
from time import process_time
from typing import Any

import uvicorn
from attrs import frozen
from pymongo import AsyncMongoClient

from benchmarks.arena import Trips
from benchmarks.invoices import MIGRATION, fill
from lazymig import Control, Phase, Repository, Sweeper, Switch, web
from lazymig.testing import Server
from lazymig.testing.ports import ReservedPort
from lazymig.web import room

WATCHERS, ENTITIES, RATE = (0, 1, 20), 100_000, 2_000.0
DATABASE = "watching"


@frozen
class Spent:
    """What the process has used since it began."""

    looks: int
    statements: int
    processor_s: float


def _open(client: Any) -> Repository[Any, Any]:
    database = client[DATABASE]
    control = Control(database["lazymig_control"])
    return Repository(MIGRATION, v1=database["v1"], v2=database["v2"], phase=control)


async def _serve(uri: str, port: int) -> None:
    """Serve the page, and print what it has cost for each line that arrives."""
    trips, looks, look = Trips(), 0, room.look_up

    async def counted(*given: Any) -> Any:
        nonlocal looks
        looks += 1
        return await look(*given)

    room.look_up = counted
    async with AsyncMongoClient(uri, event_listeners=[trips]) as client, _open(client) as repo:
        server = uvicorn.Server(uvicorn.Config(web.app(repo), port=port, log_level="warning"))
        serving = asyncio.create_task(server.serve())
        while await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps([looks, trips.count, process_time()]), flush=True)
        server.should_exit = True
        await serving


class Page:
    """The serving process, and those who watch."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self._process, self._port = process, port
        self.bytes = 0

    async def ask(self) -> Spent:
        """What it has used."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(b"\n")
        return Spent(*json.loads(await self._process.stdout.readline()))

    async def watch(self) -> None:
        """Read the events, until cancelled."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(f"GET /m/{MIGRATION.name}/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        while read := await reader.read(2**16):
            self.bytes += len(read)
        raise RuntimeError("the page ended the stream")

    async def measure(self, watchers: int, seconds: float) -> tuple[float, ...]:
        """Let some watch, and return what a second costs: looks, statements, processor time, kB sent."""
        watching = [asyncio.create_task(self.watch()) for _ in range(watchers)]
        await asyncio.sleep(2)  # the first look does more
        before, sent = await self.ask(), self.bytes
        await asyncio.sleep(seconds)
        after, sent = await self.ask(), self.bytes - sent
        for task in watching:
            assert not task.done(), task
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
        used = [
            after.looks - before.looks,
            after.statements - before.statements,
            after.processor_s - before.processor_s,
        ]
        return tuple(one / seconds for one in (*used, sent / 1000))


async def _measure(uri: str, seconds: float) -> None:
    async with AsyncMongoClient(uri) as client, AsyncExitStack() as stack:
        repo = _open(client)
        await fill(client, DATABASE, ENTITIES)
        await Switch(repo).begin(Phase.COEXIST, by="a benchmark", why="to measure")
        port = stack.enter_context(ReservedPort()).number
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.watching", "--serve", str(port), "--uri", uri,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        stack.push_async_callback(process.wait)
        stack.callback(process.stdin.close)  # type: ignore[union-attr]
        page = Page(process, port)
        await page.ask()
        print("| beside | watchers | looks/s | statements/s | processor | ms per look | kB/s sent |")
        print("| --- | --: | --: | --: | --: | --: | --: |")
        await _show(page, "nothing", seconds)
        sweep = asyncio.create_task(Sweeper(repo, rate_limit=RATE).run())
        await _show(page, "a sweep", seconds)
        assert not sweep.done(), "the sweep ended too soon"
        sweep.cancel()


async def _show(page: Page, beside: str, seconds: float) -> None:
    for watchers in WATCHERS:
        looks, statements, processor, sent = await page.measure(watchers, seconds)
        each = f"{processor / looks * 1000:.1f}" if looks else ""
        print(f"| {beside} | {watchers} | {looks:.2f} | {statements:.1f} | {processor:.1%} | {each} | {sent:.1f} |")


def main() -> None:
    """Measure, or serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--serve", type=int)
    parser.add_argument("--uri")
    given = parser.parse_args()
    if given.serve:
        asyncio.run(_serve(given.uri, given.serve))
        return
    server = Server().start()
    try:
        asyncio.run(_measure(server.uri, given.seconds))
    finally:
        server.stop()


if __name__ == "__main__":
    main()
