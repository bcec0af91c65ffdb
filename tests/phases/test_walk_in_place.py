"""The whole life of a migration in one document, beside a program that writes V1's fields by the plain driver."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from bson import ObjectId

from lazymig import Phase
from tests.phases.layouts import ONE
from tests.phases.outside import OUTSIDE, outsiders
from tests.phases.retiring import retire_in_place
from tests.phases.walking import Pace, Walk, draw_seed, under_way
from tests.widening import WIDENING

#: Behind `--full`: many more requests in each place.
PACE = Pace(requests=400, clients=10) if WIDENING.full else Pace()


@pytest.fixture
async def walk(lazymig_server: Any) -> AsyncIterator[Walk]:
    """The service with 200 real customers, and its clients at work."""
    seed = draw_seed()
    async with under_way(lazymig_server.uri, f"walk_{uuid4().hex[:12]}", PACE, seed, ONE) as walk:
        yield walk


async def test_the_whole_life_beside_an_outside_writer(walk: Walk, tmp_path: Path) -> None:
    """Through each phase, back and forth again, nobody sees a lost, stale or resurrected read, however they read."""
    async with outsiders(walk, count=2):
        await walk.work()
        for before, phase in pairwise(ONE.phases[:-1]):
            for to in (phase, before, phase):
                if to is Phase.V2_PRIMARY:
                    await walk.operator.fill()
                await move(walk, to, asleep=WIDENING.full or to is Phase.V2_PRIMARY)
            if WIDENING.full or phase is not Phase.SHADOW:
                await walk.suffer()
            if phase is Phase.COEXIST:
                await give_points(walk)
            await walk.work()
    await check_points(walk)
    assert walk.history.counts[OUTSIDE] > walk.history.requests / 10
    await walk.operator.fill()
    await into_v2_only(walk)
    await walk.suffer()
    await walk.work()
    await retire_in_place(walk, tmp_path / "customers.bson")
    await check_points(walk)


def pointed(walk: Walk) -> dict[str, int]:
    """Customers whom nobody deletes, and the points that they are given. Only V2 has points."""
    return {id: number for number, id in enumerate(list(walk.history.initial)[:20], 1)}


async def give_points(walk: Walk) -> None:
    """Give them their points, and let a program without lazymig change them: then V2's part is made anew."""
    customers = walk.operator.database["customers"]
    for id, points in pointed(walk).items():
        assert (await ask(walk, "PATCH", id, {"loyalty_points": points}))["loyalty_points"] == points
        assert (await customers.update_one({"_id": ObjectId(id)}, {"$set": {"username": "outside"}})).matched_count


async def check_points(walk: Walk) -> None:
    """They have their points still, and what the other program wrote."""
    found = {id: await ask(walk, "GET", id) for id in pointed(walk)}
    assert {id: one["loyalty_points"] for id, one in found.items()} == pointed(walk)
    assert {one["username"] for one in found.values()} == {"outside"}


async def ask(walk: Walk, method: str, id: str, body: Any = None) -> Any:
    """The answer of a process that is not moved, killed or cut off at present."""
    url = f"{walk.services[0].url}/v2/customers/{id}"
    answer = await walk.clients[0].http.request(method, url, json=body)
    while answer.status_code == 503:  # a busy machine ended its lease; it goes on by itself
        await walk.answers(walk.services[0])
        answer = await walk.clients[0].http.request(method, url, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def move(walk: Walk, to: Phase, *, asleep: bool) -> None:
    """One step. Where a process sleeps across it with writes half way, the documents order them when it wakes up."""
    sleeper, late = walk.services[1], []
    if asleep:
        late = await walk.sleep(sleeper)
    await walk.operator.move(to)
    await walk.work()
    if late:
        await walk.wake(sleeper, late)
        await walk.work()


async def into_v2_only(walk: Walk) -> None:
    """The last step, while a process sleeps with writes half way. Nothing is fenced: they lose, or they count."""
    await walk.operator.try_to_seal_by_mistake()
    sleeper = walk.services[1]
    late = await walk.sleep(sleeper)
    await walk.operator.seal()
    await walk.work()
    await walk.wake(sleeper, late)
    await walk.work()
    await walk.operator.try_what_is_over()
