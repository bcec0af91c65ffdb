"""A pass keeps in balance with live reads: it grows slowly, sheds fast, recovers, and never stops.

The server is made up: how long a read takes beside the pass is a function of the share that the pass uses. Time is made
up, too, so that every run is the same.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from statistics import mean

import pytest

from lazymig.passes.balance import Balance, Room

BOUND = 2.0
#: Seconds of a read without anything beside it.
ALONE_S = 0.004
#: Documents: the least of a batch, the most, and how many batches at a time.
LEAST, MOST, BATCHES = 100, 1000, 2


class World:
    """A pass beside live reads on a server of which `slowdown(share)` is known: it measures as a sweep does."""

    def __init__(self, slowdown: Callable[[float], float] = lambda share: 1.0, seed: int = 1) -> None:
        self.balance = Balance(BOUND)
        self.slowdown = slowdown
        self.alone_s = ALONE_S
        self.now_s = 0.0
        print(f"seed {seed}")
        self.chance = random.Random(seed)
        #: The part of the reads that take three times as long by chance.
        self.unlucky = 0.0
        self.shares: list[float] = []

    def took_s(self, *, busy: bool) -> float:
        took_s = self.alone_s * (1 + 0.1 * self.chance.random())
        if self.chance.random() < self.unlucky:
            took_s *= 3
        return took_s * self.slowdown(self.balance.share) if busy else took_s

    def run(self, seconds: float) -> list[float]:
        """Measure for so long; return the shares at each step."""
        began = len(self.shares)
        end_s = self.now_s + seconds
        while self.now_s < end_s:
            # Of 200 ms, a batch is on its way to the server for 80.
            for busy in (True, True, True, True, False):
                self.now_s += 0.02 if busy else 0.12
                note = self.balance.note_busy if busy else self.balance.note_quiet
                note(self.took_s(busy=busy), self.now_s)
                self.balance.room(BATCHES, MOST, LEAST)
                self.shares.append(self.balance.share)
        return self.shares[began:]


def crowded(at_full: float) -> Callable[[float], float]:
    """A server on which a read beside the pass at its full share takes so many times as long."""
    return lambda share: 1 + (at_full - 1) * share


def test_an_idle_server_is_used_fully() -> None:
    """The share begins low, never falls, and is whole within five seconds."""
    shares = World().run(6)
    assert shares[0] == 0.25
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_slow_reads_make_it_shed_at_once() -> None:
    """Three slow reads halve the share, and two do not."""
    world = World()
    world.run(10)
    for expected in (1.0, 1.0, 0.5):
        world.balance.note_busy(ALONE_S * 2.5, world.now_s)
        assert world.balance.share == expected
    assert world.balance.hindered
    assert world.balance.slowdown == pytest.approx(2.5, rel=0.1)


def test_reads_within_the_bound_change_nothing() -> None:
    """Reads that take longer, but within the bound, let the share grow."""
    assert World(crowded(1.9)).run(10)[-1] == 1


@pytest.mark.parametrize("at_full", [3.0, 6.0, 20.0, 60.0])
def test_it_settles_where_reads_are_within_the_bound(at_full: float) -> None:
    """It finds the share at which the bound just holds, passes it seldom, and does not fall far below it."""
    world = World(crowded(at_full))
    world.run(60)
    shares = world.run(120)
    right = (BOUND - 1) / (at_full - 1)
    assert mean(share > right * 1.05 for share in shares) < 0.1
    assert right * 0.4 < min(shares)
    assert right * 0.7 < mean(shares)


def test_the_bound_is_what_holds_the_share() -> None:
    """With a looser bound the same server is used more."""
    tight, loose = World(crowded(6)), World(crowded(6))
    loose.balance = Balance(4.0)
    assert mean(loose.run(60)[200:]) > 2 * mean(tight.run(60)[200:])


def test_it_recovers() -> None:
    """Once the server is idle again, the share is whole again within half a minute."""
    world = World(crowded(40))
    assert max(world.run(60)[100:]) < 0.1
    world.slowdown = crowded(1)
    assert world.run(30)[-1] == 1
    assert not world.balance.hindered


def test_it_never_stops() -> None:
    """However slow reads are beside it, it has one small batch in flight for a tenth of its time, and can grow."""
    world = World(lambda share: 1000.0)
    shares = world.run(60)
    assert min(shares) == pytest.approx(0.1 * LEAST / (MOST * BATCHES))
    assert world.balance.room(BATCHES, MOST, LEAST) == Room(1, LEAST, pytest.approx(0.1))
    world.slowdown = crowded(1)
    assert world.run(60)[-1] == 1


def test_the_load_of_others_holds_it_for_a_while_only() -> None:
    """Where reads are slow without it, too, it steps back at first and then works on: it is not the cause."""
    world = World()
    world.run(10)
    world.alone_s = ALONE_S * 5
    assert min(world.run(10)) < 0.2
    world.run(60)
    assert world.balance.share == 1


@pytest.mark.parametrize("seed", range(5))
def test_chance_does_not_hold_it(seed: int) -> None:
    """Of reads that are slow now and then, with it and without it, the pass takes no notice for long."""
    world = World(seed=seed)
    world.unlucky = 0.05
    world.run(10)
    assert mean(world.run(120)) > 0.8


def test_nobody_notices_less_than_a_millisecond() -> None:
    """Where a read takes a tenth of a millisecond, five times as long is no harm."""
    world = World(crowded(5))
    world.alone_s = 0.0001
    assert world.run(10)[-1] == 1


def test_nothing_is_decided_before_reads_without_it_are_known() -> None:
    """Without a reference nothing is slow or quick."""
    balance = Balance(BOUND)
    assert balance.needs_quiet(0.0)
    for _ in range(100):
        balance.note_busy(10.0, 0.0)
    assert balance.share == 0.25
    for number in range(5):
        balance.note_quiet(ALONE_S, number * 0.01)
    assert not balance.needs_quiet(0.1)
    assert balance.needs_quiet(5.1)


def test_little_in_flight_is_judged_after_a_time() -> None:
    """Where few reads fall beside statements of the pass, two seconds are enough to grow, and none of them was slow."""
    balance = Balance(BOUND)
    for step in range(100):
        balance.note_quiet(ALONE_S, step * 0.2)
        balance.note_busy(ALONE_S, step * 0.2)
    grown = balance.share
    assert grown == 1
    for step in range(100, 140):
        balance.note_quiet(ALONE_S, step * 0.2)
        if step % 20 == 0:
            balance.note_busy(ALONE_S * 9, step * 0.2)
    assert balance.share == grown  # two slow ones: it neither falls nor grows


@pytest.mark.parametrize(
    ("share", "room"),
    [
        (1.0, Room(2, 1000, 1.0)), (0.5, Room(2, 500, 1.0)), (0.25, Room(2, 250, 1.0)), (0.2, Room(1, 400, 1.0)),
        (0.05, Room(1, 100, 1.0)), (0.025, Room(1, 100, 0.5)), (0.0, Room(1, 100, 0.1)),
    ],
)  # fmt: skip
def test_batches_become_smaller_then_fewer_then_it_rests(share: float, room: Room) -> None:
    """Of 2 batches of 1,000 documents, each share leaves one batch of 100 at least, and a tenth of the time."""
    balance = Balance(BOUND)
    balance.share, balance._ceiling = share, 1.0
    assert balance.room(BATCHES, MOST, LEAST) == room


@pytest.mark.parametrize(("concurrency", "batch"), [(1, 1), (1, 10), (8, 10), (16, 5000), (1, 100)])
def test_small_limits_are_kept(concurrency: int, batch: int) -> None:
    """At its whole share a pass has just what its limits allow, whatever they are, and never more or none."""
    balance = Balance(BOUND)
    balance.share = 1.0
    assert balance.room(concurrency, batch, min(100, batch)) == Room(concurrency, batch, 1.0)
    balance.share, balance._ceiling = 0.01, 1.0
    room = balance.room(concurrency, batch, min(100, batch))
    assert 1 <= room.concurrency <= concurrency
    assert min(100, batch) <= room.batch <= batch
    assert 0.1 <= room.duty <= 1
