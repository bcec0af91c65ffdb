"""The walk of `docs/walk.md`: `python -m tests.phases.transcript` makes it and writes into the page what was printed.

The page holds the commands in order, each behind `$ ` and with its exit code where that is not 0. They run beside
clients at work. `kill` pauses, wakes and kills processes of the service, which are the shell's jobs %1 to %3.
"""

from __future__ import annotations

import asyncio
import re
import shlex
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from attrs import define, field, frozen

from lazymig.testing import Server
from tests.pages import DOCS, TOP
from tests.phases.services import Service
from tests.phases.walking import Pace, Walk, under_way

PAGE = DOCS / "walk.md"
_BLOCK = re.compile(r"^```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SUMMARY = "requests"


@frozen
class Typed:
    """A command as it was typed, and the exit code that it must have."""

    command: str
    code: int

    def __str__(self) -> str:
        return f"$ {self.command}" + (f"  # exit code {self.code}" if self.code else "")

    @property
    def words(self) -> list[str]:
        """The command's words."""
        return shlex.split(self.command)


def typed(block: str) -> Iterator[Typed]:
    """The commands of a block."""
    for line in block.splitlines():
        if found := re.fullmatch(r"\$ (.*?)(?:  # exit code (\d))?", line):
            yield Typed(found[1], int(found[2] or 0))


@define
class Run:
    """One walk, and what was printed."""

    walk: Walk
    late: list[asyncio.Task[None]] = field(factory=list)

    async def rewrite(self, page: str) -> str:
        """Run all commands of a page, and return the page with what they print."""
        made, end = [], 0
        for block in _BLOCK.finditer(page):
            made.append(page[end : block.start(1)])
            made.append(await self._block(block[1]))
            end = block.end(1)
        return "".join([*made, page[end:]])

    async def _block(self, text: str) -> str:
        if text.startswith(_SUMMARY):
            return self._sum_up()
        lines = []
        for command in typed(text):
            lines += ["", str(command), *await self._run(command)]
            await self.walk.work()
        return "\n".join(lines[1:]) + "\n"

    async def _run(self, typed: Typed) -> list[str]:
        program, *words = typed.words
        if program != "lazymig":
            return await self._actions[program](words)
        ran = await self.walk.operator.run(*words)
        print(typed, ran.output, sep="\n", flush=True)
        assert ran.code == typed.code, f"exit code {ran.code}"
        # As a terminal shows it: progress is there for a moment only, and a pipe has a line for each.
        plain = re.sub(rf"\b{re.escape(socket.gethostname())}\b", "api", ran.output)
        return [line.rstrip() for line in plain.rstrip().splitlines()]

    @property
    def _actions(self) -> dict[str, Callable[[list[str]], Awaitable[list[str]]]]:
        return {"kill": self._kill, "grep": self._grep}

    async def _kill(self, words: list[str]) -> list[str]:
        service, walk = self._service(words[1]), self.walk
        match words[0]:
            case "-KILL":
                await walk.crash(service)
            case "-STOP":
                self.late = await walk.sleep(service)
            case "-CONT":
                await walk.wake(service, self.late)
        return []

    async def _grep(self, words: list[str]) -> list[str]:
        found = [line.rstrip() for line in self._service(words[-1]).log if words[-2] in line]
        return [str(len(found))] if words[0] == "-c" else found[:1]

    def _service(self, job: str) -> Service:
        return self.walk.services[int(job[1]) - 1]

    def _sum_up(self) -> str:
        self.walk.check()
        history = self.walk.history
        rows = {
            _SUMMARY: history.requests,
            "refused with 503": sum(history.refused.values()),
            "without an answer": history.counts["unreachable"] + history.counts["broken"],
            "customers whose answers no order explains": len(history.problems()),
        }
        return "".join(f"{name:<42} {count:>7,}\n" for name, count in rows.items())


async def _make(page: Path) -> None:
    before = await asyncio.to_thread(page.read_text, "utf-8")
    with Server() as server:
        async with under_way(server.uri, "shop", Pace(), 1) as walk:
            after = await Run(walk).rewrite(before)
    await asyncio.to_thread(page.write_text, after, "utf-8")


if __name__ == "__main__":
    sys.path.insert(0, str(TOP))
    asyncio.run(_make(Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE))
