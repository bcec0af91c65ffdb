"""The protocol between a fleet and its operator, in simulated time, and each of its rules left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from attrs import evolve

from lazymig.control import Members, Phases
from lazymig.membership.in_flight import CallsInFlight, Generation
from lazymig.membership.lease import Lease
from lazymig.membership.registration import Registration
from lazymig.switching import waiting
from tests.unit.membership.simulation import Violated, run
from tests.widening import WIDENING

RUNS, STEPS = (2000, 3000) if WIDENING.full else (20, 3000)
#: Runs within which each mutant must be found; and for those that few runs find, the first that did.
PATIENCE = 400
KILLERS = {
    "read_of_any_primary_after_a_lost_answer": (20240160, 20241041),
    "remove_whoever_has_sent_a_heartbeat_since": (359, 709),
    "send_one_number_twice": (252, 303),
}


def test_no_two_calls_are_more_than_one_phase_apart() -> None:
    """Whatever is late, lost, paused or dead: calls stay beside each other, and held writes do not begin."""
    print(f"seeds {WIDENING.walk_seed} to {WIDENING.walk_seed + RUNS - 1}")
    worlds = [run(WIDENING.walk_seed + number, STEPS) for number in range(RUNS)]
    # The runs are worth something: the phase moved often, writes were held, and calls were refused.
    assert sum(world.moves for world in worlds) > 8 * RUNS
    assert sum(world.holds for world in worlds) > RUNS
    assert sum(world.refusals for world in worlds) > 50 * RUNS


# ---- each rule left out ---------------------------------------------------------------------------------------------


def read_before_registering(patch: pytest.MonkeyPatch) -> None:
    async def register(self: Any) -> None:
        if self.record.key:
            self.lease.end()
        self._calls.lose()
        self._unregister()
        standing = await self._find()
        self.record = evolve(self.record, key=uuid4().hex, beat=1)
        await self._members.register(self.record)
        self._follow(standing)

    patch.setattr(Registration, "_register", register)


def read_of_any_primary_after_registering(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Phases, "find_newest", Phases.find)


def read_of_any_primary_after_a_lost_answer(patch: pytest.MonkeyPatch) -> None:
    async def look(self: Any) -> None:
        self._follow(await self._find(newest=self.record.beat == 1))

    patch.setattr(Registration, "look", look)


def count_the_lease_from_the_answer(patch: pytest.MonkeyPatch) -> None:
    def renew(self: Any, sent_s: float) -> None:
        self._until_s = self._monotonic() + self.lease_s

    patch.setattr(Lease, "renew", renew)


def ignore_the_lease(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Lease, "held", property(lambda self: self._until_s > 0))


def acknowledge_with_calls_in_flight(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(CallsInFlight, "drained", True)


def acknowledge_with_writes_in_flight(patch: pytest.MonkeyPatch) -> None:
    begin = CallsInFlight.begin

    def forgetful(self: Any, standing: Any) -> None:
        begin(self, standing)
        if standing.hold:
            self._earlier.clear()

    patch.setattr(CallsInFlight, "begin", forgetful)


def let_writes_begin_while_they_are_held(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(CallsInFlight, "begin", lambda self, standing: _begin_unheld(self, standing))


def _begin_unheld(calls: Any, standing: Any) -> None:
    if calls.now is not None:
        calls._earlier.append(calls.now)
    calls.now, calls._unfinished = Generation(standing, False), None


def send_one_number_twice(patch: pytest.MonkeyPatch) -> None:
    async def beat(self: Any) -> None:
        sent_s, before = self._clock.monotonic(), self.record
        epoch = self.settled if before.key else 0
        self.record = evolve(before, beat=before.beat + 1, epoch=epoch)
        try:
            renewed = bool(self.record.key) and await self._members.renew(self.record)
        except Exception:
            self.record = before
            raise
        if renewed:
            self.acknowledged = self.record.epoch
            await self.look()
        else:
            await self._register()
        self.lease.renew(sent_s)

    async def renew(self: Any, member: Any) -> bool:
        row = {"beat": member.beat, "epoch": member.epoch}
        return await self._rows.change({"_id": self._key(member.key)}, {"$set": row})

    patch.setattr(Registration, "beat", beat)
    patch.setattr(Members, "renew", renew)


def remove_whoever_has_sent_a_heartbeat_since(patch: pytest.MonkeyPatch) -> None:
    async def remove(self: Any, member: Any) -> bool:
        return bool(await self._rows.remove({"_id": self._key(member.key)}))

    patch.setattr(Members, "remove", remove)


def judge_dead_too_early(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(waiting, "_FACTOR", 0.2)


def go_back_to_an_older_record(patch: pytest.MonkeyPatch) -> None:
    def follow(self: Any, standing: Any) -> None:
        if self.standing is None or self.standing.epoch != standing.epoch:
            self.standing = standing
            self._calls.begin(standing)

    patch.setattr(Registration, "_follow", follow)


def stay_registered_after_removal(patch: pytest.MonkeyPatch) -> None:
    renew = Members.renew

    async def renewed(self: Any, member: Any) -> bool:
        await renew(self, member)
        return True

    patch.setattr(Members, "renew", renewed)


def is_violated(seed: int) -> bool:
    """Whether something does not hold in a run."""
    try:
        run(seed, STEPS)
    except Violated:
        return True
    return False


@pytest.mark.parametrize(
    "mutant",
    [
        read_before_registering,
        read_of_any_primary_after_registering,
        read_of_any_primary_after_a_lost_answer,
        count_the_lease_from_the_answer,
        ignore_the_lease,
        acknowledge_with_calls_in_flight,
        acknowledge_with_writes_in_flight,
        let_writes_begin_while_they_are_held,
        send_one_number_twice,
        remove_whoever_has_sent_a_heartbeat_since,
        judge_dead_too_early,
        go_back_to_an_older_record,
        stay_registered_after_removal,
    ],
    ids=lambda mutant: mutant.__name__,
)
def test_each_rule_is_needed(mutant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any one of the rules, some run violates what must hold."""
    mutant(monkeypatch)
    assert any(is_violated(seed) for seed in (*KILLERS.get(mutant.__name__, ()), *range(PATIENCE)))
