"""Waiting for acknowledgements: who is waited for, who is dead, and what a time-out says."""

from __future__ import annotations

from typing import Any

import pytest
from mongomock_motor import AsyncMongoMockClient

from lazymig import Control, Phase
from lazymig.control import parts_of
from lazymig.switching.waiting import NotAcknowledged, RollCall
from tests.people import TestClock
from tests.switches import ORDER, process


class Fleet:
    """Processes in memory, a clock that only sleeping moves, and what was said."""

    def __init__(self) -> None:
        self.clock = ActingClock()
        self.parts = parts_of(Control(AsyncMongoMockClient()["memory"]["lazymig_control"], self.clock, lease_s=1))
        self.members = self.parts.members("things")
        self.said: list[str] = []
        self.roll = RollCall(self.parts, "things", self.said.append)

    async def record(self, epoch: int) -> None:
        """Record a phase, and change what is recorded until it has this epoch."""
        phases = self.parts.phases("things")
        standing = await phases.begin(Phase.PREPARE, **ORDER)
        while standing is not None and standing.epoch < epoch:
            standing = await phases.change(standing)

    async def names(self) -> list[str]:
        return [member.name for member in await self.members.find_all()]


class ActingClock(TestClock):
    """Lets the fleet act whenever somebody sleeps."""

    async def act(self) -> None:
        """What the fleet does meanwhile: nothing, unless a test says otherwise."""

    async def sleep(self, delay_s: float) -> None:
        await super().sleep(delay_s)
        await self.act()


def acting(fleet: Fleet, act: Any) -> None:
    """Let this happen whenever somebody sleeps."""
    fleet.clock.act = act  # type: ignore[method-assign]


async def test_nobody_is_waited_for_who_has_acknowledged() -> None:
    """Processes at this epoch, or at a later one of the record, are not waited for, and stay."""
    fleet = Fleet()
    await fleet.record(4)
    await fleet.members.register(process("a", epoch=3))
    await fleet.members.register(process("b", epoch=4))
    await fleet.roll.wait(3, at_most_s=5)
    assert (fleet.clock.slept, await fleet.names()) == ([], ["a", "b"])


async def test_a_process_is_waited_for_until_it_acknowledges() -> None:
    """The wait ends when the last process acknowledges, and says for whom it waits."""
    fleet = Fleet()
    await fleet.members.register(process("a", epoch=2))
    beats = iter(range(2, 100))

    async def act() -> None:
        beat = next(beats)
        await fleet.members.renew(process("a", epoch=3 if beat > 20 else 2, beat=beat))

    acting(fleet, act)
    await fleet.roll.wait(3, at_most_s=60)
    assert len(fleet.clock.slept) == 20
    assert fleet.said == ["waiting for a to acknowledge epoch 3"]


async def test_a_process_is_dead_once_its_heartbeats_stand_still_for_its_lease_and_a_margin() -> None:
    """It is removed then and not a moment earlier, by the operator's clock; one that beats slowly is not."""
    fleet = Fleet()
    await fleet.members.register(process("dead", epoch=2, lease_s=10))
    await fleet.members.register(process("slow", epoch=2, lease_s=10))
    began_s, gone_s, beat = fleet.clock.monotonic(), [], 1

    async def act() -> None:
        nonlocal beat
        elapsed_s = fleet.clock.monotonic() - began_s
        if elapsed_s > beat * 12:  # within the margin: a heartbeat may be late
            beat += 1
            await fleet.members.renew(process("slow", epoch=3 if elapsed_s > 40 else 2, beat=beat, lease_s=10))
        if not gone_s and "dead" not in await fleet.names():
            gone_s.append(elapsed_s)

    acting(fleet, act)
    await fleet.roll.wait(3, at_most_s=60)
    assert await fleet.names() == ["slow"]
    assert 13.0 < gone_s[0] < 13.5
    assert "dead sends no heartbeats; its lease is over, so it is left out" in fleet.said


async def test_a_process_that_wakes_up_in_the_last_moment_is_not_removed() -> None:
    """Its row is removed by a compare-and-set on its heartbeat, so one that came meanwhile keeps it."""
    fleet = Fleet()
    await fleet.members.register(process("late", epoch=2, lease_s=1))
    (seen,) = await fleet.roll.find_behind(3)
    await fleet.clock.sleep(60)
    find_all = fleet.members.find_all

    async def find_then_beat() -> Any:
        found = await find_all()
        await fleet.members.renew(process("late", epoch=2, lease_s=1, beat=seen.beat + 1))
        return found

    fleet.roll._members.find_all = find_then_beat  # type: ignore[method-assign]
    assert [member.name for member in await fleet.roll.find_behind(3)] == ["late"]
    assert await fleet.names() == ["late"]


async def test_a_lease_that_somebody_made_short_is_not_believed() -> None:
    """No process is taken for dead before the lease of the process that makes the step would be over."""
    fleet = Fleet()
    await fleet.members.register(process("a", epoch=2, lease_s=1e-9))
    assert await fleet.roll.find_behind(3)
    await fleet.clock.sleep(2.1)
    assert [member.name for member in await fleet.roll.find_behind(3)] == ["a"]
    await fleet.clock.sleep(0.2)
    assert await fleet.roll.find_behind(3) == []


@pytest.mark.parametrize("recorded", [True, False])
async def test_an_epoch_that_the_record_has_not_reached_is_none_that_was_acknowledged(recorded: bool) -> None:
    """Somebody has changed the row, or the process works by a record that was removed: the step waits."""
    fleet = Fleet()
    if recorded:
        await fleet.record(3)
    await fleet.members.register(process("a", epoch=4))
    beats = iter(range(2, 100))

    async def act() -> None:
        await fleet.members.renew(process("a", epoch=4, beat=next(beats)))

    acting(fleet, act)
    with pytest.raises(NotAcknowledged, match=r"a \(service\) names epoch 4, which the record has not reached"):
        await fleet.roll.wait(3, at_most_s=5)
    assert await fleet.names() == ["a"]


@pytest.mark.parametrize(
    ("epoch", "beats", "words"),
    [
        (2, True, "web:1 (service) is alive and still works by epoch 2: a call that began then has not ended"),
        (0, True, "web:1 (service) has just started"),
        (2, False, "web:1 (service) sent no heartbeat for 12 s and may be paused; its lease takes 15 s"),
    ],
)
async def test_a_time_out_names_who_is_late_and_what_it_does(epoch: int, beats: bool, words: str) -> None:
    """The error names the process, what it does, and what to do; the process stays registered."""
    fleet = Fleet()
    await fleet.members.register(process("web:1", epoch=epoch))
    count = iter(range(2, 1000))

    async def act() -> None:
        if beats:
            await fleet.members.renew(process("web:1", epoch=epoch, beat=next(count)))

    acting(fleet, act)
    with pytest.raises(NotAcknowledged) as refused:
        await fleet.roll.wait(3, at_most_s=12)
    assert words in str(refused.value)
    assert "epoch 3 within 12 s" in str(refused.value)
    assert await fleet.names() == ["web:1"]
