"""A team with a migration on a real server, the page of which is mounted, and the work that its processes do."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from attrs import evolve, frozen
from pymongo.monitoring import CommandListener
from starlette.requests import Request

from lazymig import Control, Migration, Phase, Repository, Sweeper, SweepReport, Switch, Verifier, VerifyReport, web
from lazymig.control import parts_of
from lazymig.control.journal import Act
from lazymig.status.looking import looked_up
from lazymig.status.objects import object_of
from lazymig.switching.case import Demands
from tests.browser.clocks import FastClock
from tests.browser.serving import Host
from tests.house import ROOT

#: Who works, as the host's hook says.
WHO = "Ada <ada@example.org>"
ORDER = {"by": "a test", "why": "to begin"}
#: How fast a team's time passes: what is due every ten seconds is seen within one.
HASTE = 30
#: By this time.
LEASE_S = 45.0
#: Seconds between two looks of a page, by the machine's time.
REFRESH_S = 0.2
#: What the steps demand of the past.
SOAK_S, MAX_AGE_S = 0.0, 86_400.0


#: The application of the command line, with the machine's clock.
_SHOP = """
import os, sys
sys.path.append(os.environ["SHOP_TESTS"])
from pymongo import AsyncMongoClient
from lazymig import Control, Repository
from tests.browser.teams import Turnstile, make_migration

def repository():
    database = AsyncMongoClient(os.environ["SHOP_URI"])[os.environ["SHOP_DATABASE"]]
    control = Control(database["lazymig_control"])
    return Repository(make_migration(Turnstile()), v1=database["people"], v2=database["people_v2"], phase=control)
"""


@frozen
class PersonV1:
    """The old shape: one name."""

    id: str
    name: str


@frozen
class PersonV2:
    """The new shape: the name split in two."""

    id: str
    first: str
    last: str


class Turnstile:
    """Lets a number of conversions pass, so that a sweep goes as far as its test says and no further."""

    def __init__(self) -> None:
        self._open = True
        self._left = 0
        self._turn = asyncio.Condition()

    async def pass_one(self) -> None:
        """Wait for a turn."""
        async with self._turn:
            await self._turn.wait_for(lambda: self._open or self._left > 0)
            self._left -= 1

    def close(self) -> None:
        """Let nobody pass but those who are let through."""
        self._open, self._left = False, 0

    async def let_through(self, count: int) -> None:
        """Let some more pass."""
        async with self._turn:
            self._left += count
            self._turn.notify_all()

    async def open(self) -> None:
        """Let all pass."""
        async with self._turn:
            self._open = True
            self._turn.notify_all()


def make_migration(turnstile: Turnstile, name: str = "people") -> Migration[PersonV1, PersonV2]:
    """Return the migration of people, of whom the turnstile lets some pass."""

    async def split(v1: PersonV1) -> PersonV2:
        await turnstile.pass_one()
        first, last = v1.name.split(" ")
        return PersonV2(v1.id, first, last)

    return Migration(
        name=name, v1=PersonV1, v2=PersonV2, upgrade=split,
        downgrade=lambda v2: PersonV1(v2.id, f"{v2.first} {v2.last}"),
    )  # fmt: skip


class Looks(CommandListener):
    """Counts the statements of a page that nothing else uses, and its looks: each asks once for the follower."""

    def __init__(self) -> None:
        self.statements = self.looks = 0

    def started(self, event: Any) -> None:
        """Count a statement."""
        self.statements += 1
        self.looks += str(event.command.get("filter", {}).get("_id", "")).endswith("/follower")

    def succeeded(self, event: Any) -> None:
        """Nothing more."""

    def failed(self, event: Any) -> None:
        """Nothing more."""


class Team:
    """A migration of people, its page, and its processes. `page` is the address of the page."""

    def __init__(self, host: Host, uri: str, database: Any, looks: Looks, *, name: str = "people") -> None:
        self.uri, self.database, self.looks, self.name = uri, database, looks, name
        self.who: str | None = WHO
        self.turnstile = Turnstile()
        self.clock = FastClock(HASTE)
        self.control = Control(database["lazymig_control"], self.clock, lease_s=LEASE_S)
        self.repo = self.make_repository()
        self.home = host.mount(
            web.app(self.control, authorize=self.authorize, soak_s=SOAK_S, max_age_s=MAX_AGE_S, refresh_s=REFRESH_S)
        )
        self.page = f"{self.home}/m/{name}/"
        self._work: list[asyncio.Task[Any]] = []
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._open.enter_async_context(self.clock.passing(self.database))
        await self._open.enter_async_context(self.repo)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.turnstile.open()
        for task in self._work:
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)
        await self._open.aclose()

    def authorize(self, request: Request, action: str) -> str | None:
        """The host's hook: the name of the person who is signed in."""
        return self.who

    def make_repository(self, **options: Any) -> Repository[PersonV1, PersonV2]:
        """Return the repository as each process of the service makes it."""
        sides = {"v1": self.database["people"], "v2": self.database["people_v2"]}
        return Repository(make_migration(self.turnstile, self.name), **sides, **{"phase": self.control} | options)

    async def begin(self, phase: Phase = Phase.V1_ONLY) -> None:
        """Record the first phase."""
        await Switch(self.repo).begin(phase, **ORDER)

    async def fill(self, count: int = 0, *, more: Mapping[str, str] | None = None) -> None:
        """Store people in V1, as the service did before lazymig; `more` are ids with names."""
        people = {f"p{number:04}": "Grace Hopper" for number in range(count)} | dict(more or {})
        await self.database["people"].insert_many([{"_id": id, "name": name} for id, name in people.items()])

    async def sweep(self, **options: Any) -> SweepReport:
        """Move what nobody has read, in one pass."""
        return await Sweeper(self.repo, **{"clock": self.clock} | options).run()

    async def verify(self, **options: Any) -> VerifyReport:
        """Compare all entities."""
        return await Verifier(self.repo, **{"clock": self.clock} | options).run()

    async def trickle(self) -> None:
        """Let people through a few at a time, until cancelled: a sweep that stands still would seem to be gone."""
        self.turnstile.close()
        while True:
            await self.turnstile.let_through(5)
            await self.clock.sleep(2)

    def start(self, work: Any) -> asyncio.Task[Any]:
        """Do something beside the test."""
        task = asyncio.get_running_loop().create_task(work)
        self._work.append(task)
        return task

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[asyncio.StreamReader]:
        """Watch the page without a browser, which takes less than a tab: yield the stream of what is sent."""
        address = urlsplit(self.page)
        reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=2**22)
        writer.write(f"GET {address.path}events HTTP/1.1\r\nHost: {address.netloc}\r\n\r\n".encode())
        yield reader
        writer.close()

    async def status(self) -> Mapping[str, Any]:
        """Return what `lazymig status --json` prints, with the page's demands of the past."""
        return object_of(await looked_up(self.repo, exact=False, demands=Demands(SOAK_S, MAX_AGE_S)))

    async def run_status(self, folder: Path) -> Mapping[str, Any]:
        """Return what the command prints, run as an operator runs it."""
        (folder / "shop.py").write_text(_SHOP)
        program = Path(sys.executable).with_name("lazymig")
        given = {"SHOP_URI": self.uri, "SHOP_DATABASE": self.database.name, "SHOP_TESTS": str(ROOT)}
        ran = await asyncio.create_subprocess_exec(
            program, "status", "--json", "--app", "shop:repository",
            cwd=folder, env=os.environ | given, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        printed, _ = await ran.communicate()
        found: Mapping[str, Any] = json.loads(printed)
        return found

    async def use(self, id: str) -> None:
        """Read somebody through V2's door: the process joins the fleet."""
        await self.repo.get(id)

    async def rename(self, id: str) -> None:
        """Change somebody, as a client of V1 does."""
        await self.repo.v1.update(id, lambda person: evolve(person, name="Ada Lovelace"))

    async def acts(self) -> list[Act]:
        """Return what people ordered, oldest first."""
        return [*reversed(await parts_of(self.control).journal(self.name).find_last(100))]

    async def count(self, collection: str) -> int:
        """Count what a collection holds."""
        return await self.database[collection].count_documents({})

    async def stored(self, collection: str = "lazymig_control") -> list[Mapping[str, Any]]:
        """Return all that a collection holds."""
        return [row async for row in self.database[collection].find({}).sort("_id")]

    async def dead(self, ids: Iterable[str]) -> None:
        """Store people whose names do not convert, and let a sweep find them."""
        await self.fill(more=dict.fromkeys(ids, "Plato"))
        await self.sweep()
