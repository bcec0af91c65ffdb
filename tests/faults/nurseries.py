"""Processes whose children do one pass each and may die at one of its commands, for tests of what a death leaves."""

from __future__ import annotations

import os
import sys
from asyncio import create_subprocess_exec
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

from tests.faults import sweep_nursery


class Nursery:
    """The process whose children sweep, or do other work."""

    def __init__(self, process: Any, address: str) -> None:
        self._process = process
        self._address = address
        #: How many commands a child has sent that was not killed, the latest of them.
        self._whole = 0

    async def sweep(self, *, dies_at: int = 0) -> int:
        """Begin a child's work; its process id. It is killed at this command, whose number counts from 1."""
        self._process.stdin.write(f"{dies_at} {self._address}\n".encode())
        return int(await self._process.stdout.readline())

    async def end(self) -> bool:
        """Wait for its end; whether it was killed."""
        word, sent = (await self._process.stdout.readline()).decode().split()
        assert word in ("killed", "ended")
        if word == "ended":
            self._whole = int(sent)
        return word == "killed"

    def draw(self, rng: Random) -> int:
        """A command of a whole pass to die at; none as long as no child has shown how many there are."""
        return rng.randrange(1, self._whole) if self._whole else 0


@asynccontextmanager
async def nursery(
    uri: str, database: Any, program: str = sweep_nursery.__file__, kind: str = ""
) -> AsyncIterator[Nursery]:
    """The process of a program that serves children, until the end of the with statement."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = await create_subprocess_exec(sys.executable, program, stdin=PIPE, stdout=PIPE, env=environment)
    assert process.stdin is not None
    try:
        yield Nursery(process, f"{uri} {database.name} {kind}".strip())
    finally:
        process.stdin.close()
        await process.wait()
