"""Where the processor time of a call goes: `python -m benchmarks.budget [--seconds 4] [--only get] [--lines 15]`.

Prints a table for `README.md`: the processor time of one call (of a listing: of one document) of lazymig and of the
hand-written code, divided among the driver with its event loop, BSON, the conversions (the user's functions and
cattrs) and lazymig. A timer of processor time looks at the stack a thousand times per second, and the innermost frame
that belongs to one of them counts. Beside it stand the Python functions and the memory of a call. `--lines` shows which
functions of lazymig were found most often. Starts a mongod of its own. Processor time depends little on what else the
machine does, but caches do: compare figures of one run only.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import signal
import sys
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count
from pathlib import Path
from time import process_time
from types import CodeType, FrameType
from typing import Any

from attrs import define, field, frozen
from pymongo import AsyncMongoClient

from benchmarks import both_fields, in_place
from benchmarks.arena import arena
from benchmarks.subject import ship
from lazymig.testing import Server

LISTED = 2_000
GROUPS = ("driver", "BSON", "conversion", "lazymig")
#: Parts of file names, the first that fits. What is none of them belongs to its caller.
_HOMES = (
    ("/pymongo/", "driver"),
    ("/bson/", "BSON"),
    ("cattrs", "conversion"),
    ("lazymig/shapes/bson_types", "conversion"),  # cattrs' hooks for BSON's types
    ("benchmarks/subject", "conversion"),
    ("benchmarks.subject", "conversion"),  # the classes' generated methods
    ("benchmarks/both_fields", "conversion"),
    ("benchmarks.both_fields", "conversion"),
    ("lazymig/", "lazymig"),
    ("lazymig.", "lazymig"),
)
_HERE = str(Path(__file__).resolve().parents[1]) + "/"


@define
class Profile:
    """What was running each time that the timer rang."""

    found: Counter[str] = field(factory=Counter)
    lines: Counter[str] = field(factory=Counter)
    _known: dict[CodeType, str] = field(factory=dict)

    def note(self, _: int, frame: FrameType | None) -> None:
        """Count the innermost frame that belongs to a group."""
        while frame is not None and not (group := self._find(frame.f_code)):
            frame = frame.f_back
        if frame is None:
            self.found["driver"] += 1  # the event loop
            return
        self.found[group] += 1
        if group == "lazymig":
            code = frame.f_code
            self.lines[f"{code.co_filename.removeprefix(_HERE)}:{frame.f_lineno} {code.co_name}"] += 1

    def _find(self, code: CodeType) -> str:
        if code not in self._known:
            name = code.co_filename.removeprefix(_HERE)
            self._known[code] = next((group for part, group in _HOMES if part in name), "")
        return self._known[code]


@frozen
class Call:
    """One row: what each side does once, for how many documents."""

    name: str
    ours: Callable[[], Awaitable[object]]
    theirs: Callable[[], Awaitable[object]]
    documents: int = 1


async def _run(call: Callable[[], Awaitable[object]], documents: int, seconds: float) -> float:
    """Repeat a call for about so many seconds of processor time; return the microseconds per document."""
    gc.collect()
    began_s = now_s = process_time()
    made = 0
    while now_s - began_s < seconds:
        for _ in range(max(1, 20 // documents)):
            await call()
            made += 1
        now_s = process_time()
    return (now_s - began_s) / made / documents * 1e6


async def _profile(call: Callable[[], Awaitable[object]], documents: int, seconds: float) -> tuple[float, Profile]:
    """Return the microseconds of a call without the profile, and the profile."""
    await _run(call, documents, seconds / 10)
    taken_us = min([await _run(call, documents, seconds / 10) for _ in range(5)])
    profile = Profile()
    former = signal.signal(signal.SIGPROF, profile.note)
    signal.setitimer(signal.ITIMER_PROF, 0.001, 0.001)
    try:
        await _run(call, documents, seconds)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, former)
    return taken_us, profile


async def _count(call: Callable[[], Awaitable[object]], documents: int) -> tuple[float, float]:
    """Return the Python functions per document that a call enters, and the KB that it holds at most at a time."""
    entered = 0

    def note(frame: FrameType, event: str, _: object) -> None:
        nonlocal entered
        entered += event == "call"

    sys.setprofile(note)
    await call()
    sys.setprofile(None)
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    await call()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return entered / documents, (peak - before) / 1000


async def _show(one: Call, seconds: float, lines: int) -> None:
    for side, call in (("lazymig", one.ours), ("by hand", one.theirs)):
        taken_us, profile = await _profile(call, one.documents, seconds)
        parts = [profile.found[group] / profile.found.total() * taken_us for group in GROUPS]
        entered, held_kb = await _count(call, one.documents)
        figures = " | ".join(f"{figure:.1f}" for figure in (taken_us, *parts))
        print(f"| {one.name} | {side} | {figures} | {entered:.0f} | {held_kb:,.0f} |", flush=True)
        if side == "lazymig":
            for line, times in profile.lines.most_common(lines):
                print(f"  {times / profile.found.total() * taken_us:6.2f}  {line}")


async def _length(entities: AsyncIterator[Any]) -> None:
    async for _ in entities:
        pass


def _next(values: list[Any]) -> Callable[[], Any]:
    turns = count()
    return lambda: values[next(turns) % len(values)]


async def _calls(client: Any) -> AsyncIterator[Call]:
    place = await arena(client, "budget")
    one = _next(await place.fill(LISTED, seed=1))
    await place.ours.check()
    yield Call("get, migrated", lambda: place.ours.get(one()), lambda: place.theirs.get(one()))
    yield Call("update", lambda: place.ours.update(one(), ship), lambda: place.theirs.update(one(), ship))
    for share, name in ((1.0, "all migrated"), (0.5, "half"), (0.0, "none")):
        listed = await arena(client, f"budget_{name.partition(' ')[0]}")
        await listed.fill(LISTED, seed=2, share=share)
        await listed.ours.check()
        yield _listing(f"list, {name}", listed.ours, listed.theirs)
    ours, theirs, ids = await in_place._fill(client, LISTED)
    await ours.check()
    whole, change = _next(ids), both_fields.ship
    yield Call("get, in place", lambda: ours.get(whole()), lambda: theirs.get(whole()))
    yield Call("update, in place", lambda: ours.update(whole(), change), lambda: theirs.update(whole(), change))
    yield _listing("list, in place", ours, theirs)


def _listing(name: str, ours: Any, theirs: Any) -> Call:
    return Call(name, lambda: _length(ours.list()), lambda: _length(theirs.list()), LISTED)


async def _main(seconds: float, only: str | None, lines: int) -> None:
    print("| call | side | µs | driver | BSON | conversion | lazymig | Python functions | KB |")
    print("| --- | --- | --: | --: | --: | --: | --: | --: | --: |")
    with Server(cache_gb=0.5) as server:
        async with AsyncMongoClient[dict[str, Any]](server.uri) as client:
            async for call in _calls(client):
                if not only or only in call.name:
                    await _show(call, seconds, lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=4.0, help="of processor time, for each side of each call")
    parser.add_argument("--only", metavar="TEXT", help="only calls with this in their name")
    parser.add_argument("--lines", type=int, default=0, help="functions of lazymig to show, with their µs")
    given = parser.parse_args()
    asyncio.run(_main(given.seconds, given.only, given.lines))
