"""The example of two shapes in one document: an old service that nobody changes, beside the one that replaces it."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count, pairwise
from random import Random, SystemRandom
from typing import Any

import pytest
from attrs import Factory, define
from hypothesis import strategies as st
from pymongo.read_concern import ReadConcern

from examples.in_place import NewService, OldService, UserV1, UserV2, migration, open_users
from examples.in_place.shapes import downgrade
from lazymig import Control, Phase, PhaseError, Repository, Retirement, Sweeper, Switch, Verifier
from lazymig.loop.clock import SYSTEM_CLOCK
from lazymig.testing import assert_laws
from lazymig.testing.linearizability import Operation, Outcome, Verdict, check_entities
from tests.widening import WIDENING

#: The phases of this layout, in order.
PHASES = [Phase.V1_ONLY, Phase.SHADOW, Phase.COEXIST, Phase.V2_PRIMARY, Phase.V2_ONLY]
IDS = range(6)
#: What is done in each place before the next step.
CALLS = 1200 if WIDENING.full else 100


def name_of(user: UserV2 | None) -> str | None:
    """The name as the old service has it."""
    return None if user is None else downgrade(user).full_name


@define
class Users:
    """The users while both services work on them, and what each of them saw of their names."""

    random: Random
    old: OldService
    #: The processes of the new service.
    new: list[NewService]
    initial: dict[int, str]
    history: list[Operation] = Factory(list)
    logins: Counter[int] = Factory(Counter)
    _tokens: count[int] = Factory(count)
    #: Calls without an answer yet: they may have happened or not.
    _in_flight: dict[str, Operation] = Factory(dict)

    async def see(self, client: str, verb: str, id: int, call: Awaitable[Any], argument: Any = None) -> None:
        """Wait for a call, and record what came of it."""
        called_at = time.monotonic()
        self._in_flight[client] = Operation(client, verb, argument, Outcome.UNCERTAIN, called_at, None, id)
        result = await call
        del self._in_flight[client]
        self.history.append(Operation(client, verb, argument, result, called_at, time.monotonic(), id))

    async def work_as_old(self, client: str) -> None:
        """One call of the old service. Each first name is new, so that a lost one is noticed in the next `marry`."""
        id, token = self.random.choice(IDS), f"o{next(self._tokens)}"
        match self.random.choice(("rename", "initial", "read")):
            case "rename":
                renamed = self.old.rename(id, f"{token} Old")
                await self.see(client, "update", id, _done(renamed), lambda _: f"{token} Old")
            case "initial":
                await self.see(client, "update", id, self.old.add_initial(id, token), lambda name: f"{name} {token}")
            case "read":
                await self.see(client, "get", id, self.old.name_of(id))

    async def work_as_new(self, client: str) -> None:
        """One call of a process of the new service."""
        id, token, new = self.random.choice(IDS), f"n{next(self._tokens)}", self.random.choice(self.new)
        verb = self.random.choice(("marry", "log in", "read", "read"))
        # A process in `v1_only` does not store what only V2 knows; one in `coexist` cannot get there during a call.
        if verb == "log in" and new.users.phase in (Phase.V1_ONLY, Phase.SHADOW):
            verb = "read"
        match verb:
            case "marry":
                married = _name(new.marry(id, token))
                await self.see(client, "update", id, married, lambda name: f"{name.partition(' ')[0]} {token}")
            case "log in":
                await self.see(client, "get", id, _name(new.log_in(id)))
                self.logins[id] += 1
            case "read":
                await self.see(client, "get", id, _name(new.find(id)))

    @asynccontextmanager
    async def working(self, name: str, work: Callable[[str], Awaitable[None]]) -> AsyncIterator[None]:
        """Two clients that work as long as the block runs."""
        stopping = asyncio.Event()

        async def run(client: str) -> None:
            while not stopping.is_set():
                await work(client)

        async with asyncio.TaskGroup() as tasks:
            for number in range(2):
                tasks.create_task(run(f"{name}{number}"))
            try:
                yield
            finally:
                stopping.set()

    async def some_calls(self) -> None:
        """Wait for some more calls, and check everything that was seen until then."""
        until = len(self.history) + CALLS
        async with asyncio.timeout(60):
            while len(self.history) < until:
                await SYSTEM_CLOCK.sleep(0.005)
        self.check()

    def check(self) -> None:
        """Some order of all calls explains what each of them saw."""
        verdicts = check_entities([*self.history, *self._in_flight.values()], self.initial)
        wrong = [id for id, verdict in verdicts.items() if verdict is not Verdict.OK]
        lines = [
            f"{one.called_at:.4f}-{one.returned_at:.4f} {one.client} {one.name} -> {one.result}"
            for one in sorted(self.history, key=lambda one: one.called_at)
            if one.entity in wrong[:1]
        ]
        assert not wrong, "\n".join(lines)


async def _done(call: Awaitable[bool]) -> Outcome:
    return Outcome.DONE if await call else Outcome.NOT_FOUND


async def _name(call: Awaitable[UserV2 | None]) -> str | None:
    return name_of(await call)


def opened(collection: Any, phase: Phase) -> NewService:
    """A process of the new service."""
    return NewService(open_users(collection, phase))


async def signed_up(old: OldService) -> dict[int, str]:
    """The users that the old service has had for years."""
    for id in IDS:
        await old.sign_up(id, "Ada King", f"{id}@example.com")
    return dict.fromkeys(IDS, "Ada King")


def drawn_seed() -> int:
    """The seed of a run; printed."""
    seed = 1 if WIDENING.seed is None and os.environ.get("CI") else WIDENING.seed
    seed = SystemRandom().randrange(10**6) if seed is None else seed
    print(f"--seed {seed}")
    return seed


@define
class Operator:
    """Who moves the two processes of the new service, and never asks the old one."""

    control: Control
    users: Repository[UserV1, UserV2]
    switch: Switch[UserV1, UserV2]

    async def move(self, to: Phase) -> None:
        """One step. A user that the old service has just signed up is moved first, where the step asks for it."""
        while (at := await self._phase()) is not to:
            order = {"by": "the test", "why": "the next step"}
            try:
                if PHASES.index(to) < PHASES.index(at):
                    await self.switch.rollback(**order)
                else:
                    await self.switch.advance(**order, confirm="users", accept=["soak", "outside-writes"])
            except PhaseError as error:
                if at is not Phase.COEXIST or "remaining: " not in str(error):
                    raise
                await self.fill()

    async def fill(self) -> None:
        """Give every user both shapes, and verify that they agree, while both services write."""
        assert (await Sweeper(self.users).run()).dead == 0
        await self.verify()

    async def verify(self) -> None:
        """Verify that both shapes agree."""
        report = await Verifier(self.users).run()
        assert report.agrees, report

    async def retire(self) -> None:
        """Take V1's fields out, beside the new service."""
        retirement = Retirement(self.users, soak_s=0, unwatched=True, by="the test")
        await retirement.reduce(confirm="users")
        await retirement.finish()

    async def _phase(self) -> Phase:
        standing = await self.control.standing("users")
        assert standing is not None
        return standing.phase


async def test_both_services_write_the_same_users_up_to_v2_primary(server_database: Any) -> None:
    """Nothing is lost, and every read of either service sees the last write of either, through all phases and back."""
    collection, control = server_database["users"], server_database["lazymig_control"]
    first, second, third = (open_users(collection, Control(control)) for _ in range(3))
    operator = Operator(Control(control), third, Switch(third))
    await operator.switch.begin(Phase.V1_ONLY, by="the test", why="as the service runs now")
    # By default the driver reads what no majority has yet, ahead of the write's own answer; lazymig never does.
    old = OldService(collection.with_options(read_concern=ReadConcern("majority")))
    users = Users(Random(drawn_seed()), old, [NewService(first), NewService(second)], await signed_up(old))
    await first.check()
    await second.check()
    async with first, second, users.working("new", users.work_as_new):
        async with users.working("old", users.work_as_old):
            await users.some_calls()
            for before, phase in pairwise(PHASES[:-1]):
                for to in (phase, before, phase):
                    if to is Phase.V2_PRIMARY:
                        await operator.fill()
                    await operator.move(to)
                    await users.some_calls()
        # What the old service wrote last, the new one may not have read since: the step is refused until it is swept.
        await operator.fill()
        await operator.move(Phase.V2_ONLY)
        await users.some_calls()
        await operator.retire()
        await users.some_calls()
    stored = await collection.find({}).to_list(None)
    assert {one["_id"]: one["logins"] for one in stored} == {id: users.logins[id] for id in IDS}
    assert min(users.logins.values())
    assert {name for one in stored for name in one} == {"_id", "_lazymig", "first", "last", "email", "logins"}


@pytest.mark.parametrize("phase", PHASES[:-1])
async def test_what_the_old_service_does_is_seen_at_once(server_database: Any, phase: Phase) -> None:
    """A new user, another name and a closed account of the old service are what the next read of the new one finds."""
    collection = server_database["users"]
    old, new = OldService(collection), opened(collection, phase)
    await old.sign_up(1, "Ada King", "ada@example.com")
    assert await new.find(1) == UserV2(1, "Ada", "King", "ada@example.com")
    await old.rename(1, "Ada Lovelace")
    assert await new.find(1) == UserV2(1, "Ada", "Lovelace", "ada@example.com")
    await new.marry(1, "Byron")
    assert await old.name_of(1) == "Ada Byron"
    assert await new.family("Byron") == [UserV2(1, "Ada", "Byron", "ada@example.com")]
    await old.close_account(1)
    assert await new.find(1) is None
    assert await new.sign_up(1, "Grace", "Hopper", "grace@example.com")
    assert await old.name_of(1) == "Grace Hopper"


@pytest.mark.parametrize("phase", PHASES[1:-1])
async def test_what_only_v2_knows_survives_what_the_old_service_writes(server_database: Any, phase: Phase) -> None:
    """Logins stay when the old service sets a field by its name; only a replaced document loses them."""
    collection = server_database["users"]
    old, new = OldService(collection), opened(collection, phase)
    await old.sign_up(1, "Ada King", "ada@example.com")
    await new.log_in(1)
    await old.rename(1, "Ada Lovelace")
    assert await new.find(1) == UserV2(1, "Ada", "Lovelace", "ada@example.com", logins=1)
    await collection.replace_one({"_id": 1}, {"full_name": "Ada King", "email": "ada@example.com"})
    assert await new.find(1) == UserV2(1, "Ada", "King", "ada@example.com", logins=0)


async def test_each_document_holds_both_shapes_and_what_they_share_once(server_database: Any) -> None:
    """The new fields stand beside the old ones, in the document that the old service reads."""
    collection = server_database["users"]
    await OldService(collection).sign_up(1, "Ada King", "ada@example.com")
    await opened(collection, Phase.COEXIST).log_in(1)
    stored = await collection.find_one({"_id": 1})
    assert stored.pop("_lazymig").keys() == {"rev", "of", "by"}
    assert stored == {
        "_id": 1, "full_name": "Ada King", "email": "ada@example.com", "first": "Ada", "last": "King", "logins": 1,
    }  # fmt: skip


names = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
old_users = st.builds(UserV1, st.integers(1, 9), names, names)
new_users = st.builds(
    UserV2,
    st.integers(1, 9),
    names.map(lambda name: name.replace(" ", "")),
    st.none() | names,
    names,
    st.integers(0, 9),
)


def test_the_conversions_obey_the_laws() -> None:
    """Every name comes back as it was, also one without a blank, and with several."""
    assert_laws(migration, v1=old_users, v2=new_users, examples=50, in_place=True)
