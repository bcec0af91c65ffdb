"""`kill -9` of the process that serves the page, in the middle of each action.

The history never has more than one entry of an order, none claims what was not done, and the order can be given again.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from attrs import evolve, frozen

from lazymig import Phase, Repository, Sweeper, Switch, Verifier
from lazymig.control import parts_of
from lazymig.control.journal import Act
from lazymig.status.looking import control_of
from tests.faults import page_nursery
from tests.faults.nurseries import nursery
from tests.faults.page_nursery import ORDERS
from tests.fleets import until
from tests.sweeps import LaterClock, thing
from tests.switches import followed, parts, process, standing
from tests.web.visitors import Host, Visitor, done

#: Those that move the fleet.
STEPS = ("advance", "rollback")
#: How many moments are drawn of each action; with `--wide` more.
DRAWN = 6
#: After so many seconds of silence an order counts as cut off.
SILENT_S = 31.0


async def is_paused(repo: Repository[Any, Any]) -> bool:
    return (await control_of(repo).steering("things")).paused


async def has_rate(repo: Repository[Any, Any]) -> bool:
    return (await control_of(repo).steering("things")).rate == 5


async def is_waived(repo: Repository[Any, Any]) -> bool:
    letter = await parts(repo).letters.find("things", 5)
    return letter is not None and letter.waived is not None


async def is_retried(repo: Repository[Any, Any]) -> bool:
    return await parts(repo).letters.find("things", 5) is None


async def is_resumed(repo: Repository[Any, Any]) -> bool:
    return not await is_paused(repo)


async def has_moved(repo: Repository[Any, Any]) -> bool:
    return len((await standing(repo)).history) == 2


@frozen
class Told:
    """What an order is about.

    Attributes:
        begin: The phase in which it is given.
        is_done: Whether it has been done.
        by_command: What a command would do in its place.
    """

    begin: Phase
    is_done: Callable[[Repository[Any, Any]], Awaitable[bool]]
    by_command: Callable[[Repository[Any, Any]], Awaitable[object]]


async def retry(repo: Repository[Any, Any]) -> None:
    await Sweeper(repo).run()


BY = {"by": "Bob", "why": "by a command"}
ACTIONS = {
    "pause": Told(Phase.COEXIST, is_paused, lambda repo: control_of(repo).pause("things", by="Bob")),
    "resume": Told(Phase.COEXIST, is_resumed, lambda repo: control_of(repo).resume("things", by="Bob")),
    "rate": Told(Phase.COEXIST, has_rate, lambda repo: control_of(repo).set_rate("things", 5, by="Bob")),
    "waive": Told(Phase.COEXIST, is_waived, lambda repo: control_of(repo).waive("things", 5, "by a command")),
    "retry": Told(Phase.COEXIST, is_retried, retry),
    "rollback": Told(Phase.COEXIST, has_moved, lambda repo: Switch(repo, soak_s=0).rollback(**BY)),
    "advance": Told(
        Phase.V2_PRIMARY, has_moved,
        lambda repo: Switch(repo, soak_s=0).advance(**BY, confirm="things", accept=["outside-writes"]),
    ),
}  # fmt: skip


async def fill(database: Any, action: str) -> Repository[Any, Any]:
    """A migration in which the order can be given."""
    await database.client.drop_database(database.name)
    repo = followed(database)
    await Switch(repo).begin(ACTIONS[action].begin, by="me", why="a test")
    await database["v1"].insert_many([thing(id) for id in range(1, 4)])
    if action in ("waive", "retry"):
        await database["v1"].insert_one(thing(5, -1))
    await Sweeper(repo).run()
    if action == "retry":
        await database["v1"].update_one({"_id": 5}, {"$set": {"n": 1}})
    if action == "resume":
        await control_of(repo).pause("things", by="me", reason="a test")
    if action == "advance":
        assert (await Verifier(repo, min_age_s=0).run()).agrees
    return repo


async def acts(repo: Repository[Any, Any]) -> list[Act]:
    """What the journal holds, oldest first."""
    return (await parts_of(control_of(repo)).journal("things").find_last(100))[::-1]


async def check_what_is_kept(repo: Repository[Any, Any], action: str) -> bool:
    """Check what stands after a kill; return whether the order was done."""
    kept, is_done = await acts(repo), await ACTIONS[action].is_done(repo)
    assert [(act.by, act.action) for act in kept] in ([], [("Ada", action)])
    if not kept:
        assert not is_done  # nothing is done before it stands in the history
    elif kept[0].ended_at is not None:
        assert (kept[0].good, is_done) == (True, True), kept[0].outcome
    return is_done


async def check_page(later: Visitor, kept: list[Act]) -> None:
    """Check what another process shows once the killed one has been silent for long enough."""
    page = await later.get(f"{later.base}/")
    while page.status == 503:  # on a busy machine the look goes on; a browser opens the page again by itself
        page = await later.get(f"{later.base}/")
    assert page.status == 200
    cut_off = bool(kept) and kept[0].ended_at is None
    assert ("cut off: it is not known whether it was done" in page.words) == cut_off, page.words


async def go_on(database: Any, action: str, *, is_done: bool, by_command: bool) -> None:
    """Give the order again, unless it was done, by the page or as a command does; it is done then."""
    repo = followed(database, LaterClock(SILENT_S))
    visitor, ordered = Visitor(Host(repo, "Bob").app), ACTIONS[action]
    await check_page(visitor, await acts(repo))
    before = await acts(repo)
    if not is_done and by_command:
        await ordered.by_command(repo)
    elif not is_done:
        query, typed = ORDERS[action]
        if (release := await visitor.open("release")).action:
            await done(visitor, await visitor.send(release))
        await done(visitor, await visitor.order(action, query, **typed))
    assert await ordered.is_done(repo)
    if action in STEPS:
        await repo.get(1)
        assert (await standing(repo)).hold is None
        assert (await visitor.open("release")).action == ""
    added = (await acts(repo))[len(before) :]
    assert all((act.by, act.good) == ("Bob", True) for act in added)
    assert bool(added) == (not is_done and not by_command)
    await repo.__aexit__(None, None, None)


@pytest.mark.parametrize("action", ACTIONS)
async def test_a_killed_order_can_be_given_again(
    lazymig_server: Any, server_database: Any, seed: int, wide: int, action: str
) -> None:
    """Killed at drawn statements, before, in or after them, an order stands once at most and can be given again."""
    rng, found = random.Random(f"{seed} {action}"), {True: 0, False: 0}
    async with nursery(lazymig_server.uri, server_database, page_nursery.__file__, action) as children:
        while sum(found.values()) < DRAWN * wide:
            repo = await fill(server_database, action)
            # The later of two in half of all cases: what is looked up first takes most statements, and changes nothing.
            await children.sweep(dies_at=max(children.draw(rng), rng.choice([0, children.draw(rng)])))
            if not await children.end():
                assert [act.good for act in await acts(repo)] == [True]
                continue
            is_done = await check_what_is_kept(repo, action)
            by_command = bool(sum(found.values()) % 2)
            found[is_done] += 1
            await go_on(server_database, action, is_done=is_done, by_command=by_command)
    print(f"{action}: killed before it was done {found[False]}, after it was done {found[True]}")


async def test_a_step_that_is_killed_while_it_waits_can_be_made_again(
    lazymig_server: Any, server_database: Any
) -> None:
    """Killed while it waits for a process, a step has changed nothing; the history says so, and it is made again."""
    repo = await fill(server_database, "rollback")
    late = process(epoch=0)
    await parts(repo).members("things").register(late)
    async with nursery(lazymig_server.uri, server_database, page_nursery.__file__, "rollback") as children:
        child = await children.sweep()

        async def waits() -> bool:
            return any(act.lines for act in await acts(repo))

        await until(waits)
        os.kill(child, signal.SIGKILL)
        assert await children.end()
    (act,) = await acts(repo)
    assert (act.by, act.ended_at, act.lines) == ("Ada", None, ("waiting for web:1 to acknowledge epoch 1",))
    assert not await check_what_is_kept(repo, "rollback")
    epoch = (await standing(repo)).epoch
    assert await parts(repo).members("things").renew(evolve(late, epoch=epoch, beat=late.beat + 1))
    await go_on(server_database, "rollback", is_done=False, by_command=False)
