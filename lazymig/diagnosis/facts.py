"""Asking the servers for what the checks of servers and collections judge. What may not be seen is noted."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from datetime import datetime

from attrs import frozen
from pymongo.errors import OperationFailure

from lazymig.loop.clock import Clock
from lazymig.stores.given import Store
from lazymig.stores.inspecting import Concerns, Inspector, ServerClock
from lazymig.stores.records import Document
from lazymig.surroundings.looking import Seen, attempt

#: How often each index was used, and since when that is counted.
Uses = Mapping[str, tuple[int, datetime]]
_MONITOR = "as in the role clusterMonitor"


@frozen(kw_only=True)
class SideFacts:
    """What is known about one collection and its server. None and empty: unknown, or in memory."""

    seen: Seen
    concerns: Concerns | None = None
    version: tuple[int, ...] = ()
    default_write: Document | None = None
    #: None where this user may not see it.
    uses: Uses | None = None
    clock: ServerClock | None = None
    other_clocks: tuple[ServerClock, ...] = ()
    #: What may not be seen, each with the right that is missing.
    unseen: tuple[str, ...] = ()

    @property
    def side(self) -> str:
        """The side: "v1", "v2", or "collection" where that carries both shapes."""
        return self.seen.side

    @property
    def in_memory(self) -> bool:
        """Whether there is no server."""
        return self.concerns is None

    @property
    def is_sharded(self) -> bool:
        """Whether the server is a router of a sharded cluster."""
        return bool(self.seen.hello.get("msg") == "isdbgrid")

    @property
    def set_name(self) -> str:
        """The replica set's name; empty where there is none."""
        return str(self.seen.hello.get("setName", ""))

    @property
    def data_members(self) -> int:
        """How many members hold data: those that may be elected, and those that may not."""
        return len(self.seen.hello.get("hosts", ())) + len(self.seen.hello.get("passives", ()))


async def gather_facts(store: Store, seen: Seen, clock: Clock) -> SideFacts:
    """Ask about one collection that was looked at. Driver errors pass through."""
    inspector = Inspector(store)
    if inspector.in_memory:
        return SideFacts(seen=seen)
    unseen: list[str] = []

    async def may_see(call: Awaitable[None], what: str) -> None:
        try:
            await attempt(call, None, unseen, f"{seen.side}: {what}")
        except OperationFailure as error:
            # Servers and services differ in what they answer; none of these answers is needed.
            unseen.append(f"{seen.side}: {what}; the server answers with error code {error.code}")

    version: list[tuple[int, ...]] = []
    defaults: list[Document] = []
    uses: list[Uses] = []

    async def find_version() -> None:
        version.append(await inspector.find_version())

    async def find_default_write() -> None:
        defaults.append(await inspector.find_default_write())

    async def count_uses() -> None:
        uses.append(await inspector.count_uses())

    await may_see(find_version(), "the server's version (the command buildInfo)")
    if "setName" in seen.hello or seen.hello.get("msg") == "isdbgrid":  # others do not have one
        right = f"right getDefaultRWConcern, {_MONITOR}"
        await may_see(find_default_write(), f"the server's default write concern ({right})")
    if seen.kind == "collection":
        await may_see(count_uses(), f"how often its indexes are used (right indexStats, {_MONITOR})")
    others = 0 if seen.direct else len(seen.hello.get("hosts", ())) - 1
    return SideFacts(
        seen=seen, concerns=inspector.concerns, version=next(iter(version), ()),
        default_write=next(iter(defaults), None), uses=next(iter(uses), None),
        clock=await inspector.read_clock(clock),
        other_clocks=tuple(await inspector.read_other_clocks(clock, others)) if others > 0 else (),
        unseen=tuple(unseen),
    )  # fmt: skip
