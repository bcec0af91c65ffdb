"""The loop that passes of all kinds share, on every driver: a pass of another kind beside a sweep's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import timedelta
from typing import Any

import pytest
from attrs import define, field, frozen
from pymongo.errors import AutoReconnect

from lazymig.control import Identities, parts_of
from lazymig.errors import PassVanished
from lazymig.passes.sharing import Hooks, Share, Terms
from lazymig.passes.walking import LastPage, rehearse, walk
from lazymig.stores.records import Partition
from lazymig.stores.scans import Scan
from tests.people import TestClock
from tests.sweeps import StandingClock, control, passes, stored, sweeper, thing

COUNT = 40


@frozen
class Stretch:
    """Some ids that were looked at."""

    last: Any
    scanned: int


@define
class Looking:
    """A pass that only looks: notes each id, in pages of 3, and stops after some."""

    database: Any
    stop_after: float = float("inf")
    seen: list[Any] = field(factory=list)
    ended: list[Partition] = field(factory=list)
    reports: list[bool] = field(factory=list)
    #: What identifies the collections, each time that it is asked; the last for ever.
    identities: list[Identities | None] = field(factory=lambda: [None])

    def stopping(self) -> bool:
        return len(self.seen) >= self.stop_after

    async def tell(self, *, waiting: bool = False) -> None:
        self.reports.append(waiting)

    async def identify(self) -> Identities | None:
        return self.identities.pop(0) if len(self.identities) > 1 else self.identities[0]

    async def pages(self, partition: Partition, position: Any) -> AsyncGenerator[Stretch]:
        scan = Scan(self.database["v1"])
        while not self.stopping():
            found = await scan.find_whole(scan.within(partition, position), 3)
            if not found:
                return
            ids = [scan.decoded(document)["_id"] for document in found]
            self.seen += ids
            position = ids[-1]
            yield Stretch(position, len(ids))

    async def endings(self, partition: Partition) -> AsyncGenerator[None]:
        if not self.stopping():
            self.ended.append(partition)
            yield

    def share(self, owner: str = "a", clock: Any = None) -> Share:
        """A part in the pass of the kind `verify`."""
        mine = parts_of(control(self.database, clock or TestClock())).passes("things", "verify")
        terms = Terms(owner=owner, shard=(0, 1), partition_size=10, since=None, replaced="other collections")
        hooks = Hooks(stopping=self.stopping, on_progress=self.tell, identify=self.identify)
        return Share(mine, self.database["v1"], terms, hooks, clock or TestClock())


@pytest.fixture
async def filled(database: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """V1 with 40 documents, which are cut into several partitions."""
    monkeypatch.setattr("lazymig.passes.partitions._SAMPLES_EACH", 1)
    await database["v1"].insert_many([thing(id) for id in range(COUNT)])
    return database


async def test_a_pass_of_another_kind_beside_a_sweep(filled: Any) -> None:
    """A verification that stopped goes on from its own checkpoints, whatever a sweep began and ended meanwhile."""
    first = Looking(filled, stop_after=10)
    assert not await walk(first.share(), first)
    stopped = await parts_of(control(filled)).passes("things", "verify").current()
    half = sweeper(filled, on_progress=lambda progress: progress.done >= 12 and half.stop())
    assert not (await half.run()).finished
    swept = await passes(filled).current()
    rest = Looking(filled)
    assert await walk(rest.share("b"), rest)
    assert sorted(first.seen + rest.seen) == list(range(COUNT))
    assert await passes(filled).current() == swept
    report = await sweeper(filled).run()
    assert report.finished
    assert sorted(map(int, await stored(filled["v2"]))) == list(range(COUNT))
    assert (await passes(filled).current())["scanned"] == COUNT
    ended = await parts_of(control(filled)).passes("things", "verify").current()
    assert (stopped["state"], ended["state"], ended["number"], ended["scanned"]) == ("open", "done", 1, COUNT)
    assert await filled["lazymig_control"].count_documents({"kind": {"$in": ["partition", "verify partition"]}}) == 0


async def test_every_page_is_told_after_its_checkpoint(filled: Any) -> None:
    """Each stretch and each ending is reported once, and what was reported is in the checkpoints."""
    looking = Looking(filled)
    share = looking.share()
    scanned: list[int] = []

    async def tell(*, waiting: bool = False) -> None:
        scanned.append(await share.count_scanned() or 0)
        assert scanned[-1] == len(looking.seen)

    share.on_progress = tell
    share._hooks = Hooks(stopping=looking.stopping, on_progress=tell, identify=looking.identify)
    assert await walk(share, looking)
    assert len(scanned) > COUNT / 3
    assert scanned[-1] == COUNT
    assert len(looking.ended) == len(set(looking.ended)) > 1


async def test_a_fence_ends_the_work_on_a_partition(filled: Any) -> None:
    """A process that was taken over does nothing more with the partition, and does not close it."""
    looking = Looking(filled)
    share = looking.share()

    async def overtaken(lease: Any, position: Any, scanned: int = 0, *, done: bool = False) -> bool:
        looking.stop_after = 0
        return False

    share._passes.checkpoint = overtaken  # type: ignore[method-assign]
    assert not await walk(share, looking)
    assert looking.ended == []
    row = await filled["lazymig_control"].find_one({"kind": "verify partition", "owner": "a"})
    assert (row["state"], row["position"]) == ("open", row["low"])


@pytest.mark.parametrize("driver", ["mock"])
async def test_a_swallowed_cancellation_ends_the_heartbeat(filled: Any, driver: str) -> None:
    """A driver that answers the cancellation of a heartbeat with an error of its own does not keep the pass waiting."""
    share = Looking(filled).share()
    beating = asyncio.Event()

    async def renew(_: Any) -> bool:
        first = not beating.is_set()
        beating.set()
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            if not first:
                raise
            raise AutoReconnect("operation cancelled") from None
        raise AssertionError("nothing else ends it")

    share._passes.renew = renew  # type: ignore[method-assign]
    async with asyncio.timeout(30), aclosing(share.leases()) as leases, share.hold(await anext(leases)):
        await beating.wait()


class Ebbing(Looking):
    """A pass whose partitions say when their last page is found; what is left of each waits until it is let go."""

    def begin(self) -> None:
        self.last_page, self.at_once, self.most, self.let_go = LastPage(), 0, 0, asyncio.Event()
        self.notes_last = True

    async def pages(self, partition: Partition, position: Any) -> AsyncGenerator[Stretch]:
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            async with aclosing(super().pages(partition, position)) as pages:
                async for page in pages:
                    yield page
            if self.notes_last:
                self.last_page.note()
            await self.let_go.wait()
        finally:
            self.at_once -= 1


async def until(holds: Callable[[], bool]) -> None:
    """Wait for what tasks bring about."""
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110  # it waits for what another task writes, which has no event
            await asyncio.sleep(0)


async def test_the_next_partition_begins_while_one_ebbs(filled: Any) -> None:
    """Beside what is left of a partition the next begins, and no third; all are done in the end."""
    looking = Ebbing(filled)
    looking.begin()
    walking = asyncio.create_task(walk(looking.share(clock=StandingClock()), looking, looking.last_page))
    await until(lambda: looking.at_once == 2)
    begun = len(looking.seen)
    looking.let_go.set()
    assert await walking
    assert begun < COUNT
    assert looking.most == 2
    assert sorted(looking.seen) == list(range(COUNT))
    assert len(looking.ended) == len(set(looking.ended)) > 2


async def test_without_an_ebb_partitions_are_done_one_after_the_other(filled: Any) -> None:
    """Before the last page of a partition is found, no other begins; and none where the pass does not ask."""
    for notes_last, last_page in ((False, True), (True, False)):
        looking = Ebbing(filled)
        looking.begin()
        looking.notes_last = notes_last
        looking.let_go.set()
        assert await walk(looking.share(clock=StandingClock()), looking, looking.last_page if last_page else None)
        assert looking.most == 1
        assert sorted(looking.seen) == list(range(COUNT))


async def test_an_error_in_one_partition_ends_the_other_too(filled: Any) -> None:
    """Both leases are given back at once, and the error is raised."""
    looking = Ebbing(filled)
    looking.begin()

    async def endings(partition: Partition) -> AsyncGenerator[None]:
        raise AutoReconnect("gone")
        yield

    looking.endings = endings  # type: ignore[method-assign]
    walking = asyncio.create_task(walk(looking.share(clock=StandingClock()), looking, looking.last_page))
    await until(lambda: looking.at_once == 2)
    looking.let_go.set()
    with pytest.raises(AutoReconnect):
        await walking
    rows = await filled["lazymig_control"].find({"kind": "verify partition"}).to_list(None)
    assert [row["owner"] for row in rows] == [None] * len(rows)
    assert looking.at_once == 0


async def test_a_process_does_not_take_over_from_itself(filled: Any) -> None:
    """A lease that ran out while this process was suspended is not leased a second time by it, but by others."""
    clock = StandingClock()
    share, other = Looking(filled).share(clock=clock), Looking(filled).share("b", clock=clock)
    async with aclosing(share.leases()) as leases, aclosing(other.leases()) as theirs:
        async with share.hold(first := await anext(leases)):
            clock.time += timedelta(hours=1)
            second = await anext(leases)
            assert second.key != first.key
        assert (await anext(theirs)).key == first.key


async def test_what_others_did_is_counted_without_this_run(filled: Any) -> None:
    """An id is counted by its checkpoint in this run, or as somebody else's, and never as both."""
    first = Looking(filled, stop_after=10)
    assert not await walk(first.share(), first)
    rest = Looking(filled)
    share = rest.share("b")
    checkpoint, counts = share._passes.checkpoint, list[asyncio.Task[int]]()

    async def late(lease: Any, position: Any, scanned: int = 0, *, done: bool = False) -> bool:
        changed = await checkpoint(lease, position, scanned, done=done)
        # Somebody counts while this process does not know yet that its checkpoint is saved.
        counts.append(asyncio.create_task(share.count_by_others()))
        for _ in range(2):
            await share.count_scanned()
        return changed

    share._passes.checkpoint = late  # type: ignore[method-assign]
    assert await walk(share, rest)
    assert {await one for one in counts} == {len(first.seen)}


async def test_other_collections_are_an_error(filled: Any) -> None:
    """A pass whose collections were replaced under it is not closed, and says what its owner says of that."""
    one, other = {"v1": "1", "v2": "2"}, {"v1": "1", "v2": "3"}
    looking = Looking(filled, identities=[one, other])
    with pytest.raises(PassVanished, match="other collections"):
        await walk(looking.share(), looking)
    assert (await parts_of(control(filled)).passes("things", "verify").current())["state"] == "open"


async def test_a_rehearsal_remembers_nothing(filled: Any) -> None:
    """Every partition is done, endings included, and the control collection stays empty."""
    looking = Looking(filled)
    parts = [Partition("int", None, 20), Partition("int", 20, None)]
    await rehearse(parts, looking, looking.tell)
    assert looking.seen == list(range(COUNT))
    assert looking.ended == parts
    assert looking.reports == [False] * (14 + 2)
    assert await stored(filled["lazymig_control"]) == {}
