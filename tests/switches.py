"""What the switch's tests share: a migration that is ready for its next step, in memory or on a server."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from attrs import evolve

from lazymig import Control, Mismatch, Phase, Repository, RunRecord, Switch, Verdict
from lazymig.control import MemberRecord, Parts, Standing, parts_of
from lazymig.loop.clock import SYSTEM_CLOCK
from lazymig.membership.member import Member
from lazymig.membership.terms import Terms
from lazymig.repository import calls_of
from lazymig.routes.stages import SteeredStages
from lazymig.stores.records import DeadLetter
from lazymig.verifying.options import KIND
from lazymig.verifying.report import COUNTED
from tests.people import TestClock
from tests.sweeps import moved, thing, things

#: Who moves fleets in tests, and why.
ORDER = {"by": "me", "why": "a test"}
#: Entities of a ready migration.
COUNT = 5
PARTIAL = ("sample", "filtered", "sharded", "upgrade_only")


class HurriedClock(TestClock):
    """The machine's time, and sleeps of a twentieth: heartbeats and looks come sooner."""

    def now(self) -> Any:
        return SYSTEM_CLOCK.now()

    def monotonic(self) -> float:
        return SYSTEM_CLOCK.monotonic()

    async def sleep(self, delay_s: float) -> None:
        await SYSTEM_CLOCK.sleep(delay_s / 20)


def followed(database: Any, clock: Any = None, **options: Any) -> Repository[Any, Any]:
    """A repository that follows the phase which the database's control collection records."""
    clocks = {} if clock is None else {"clock": clock}
    control = Control(database["lazymig_control"], **clocks)
    given = {"migration": things(), "v1": database["v1"], "v2": database["v2"], "phase": control}
    return Repository(**given | clocks | options)


def parts(repo: Repository[Any, Any]) -> Parts:
    """The parts of its control collection."""
    return parts_of(calls_of(repo).choose_control())


async def standing(repo: Repository[Any, Any]) -> Standing:
    """What its control collection records."""
    found = await parts(repo).phases(repo.migration.name).find()
    assert found is not None
    return found


def with_lease(repo: Repository[Any, Any], lease_s: float) -> Repository[Any, Any]:
    """The repository as a process whose lease is short."""
    calls = calls_of(repo)
    terms = Terms(revision=repo.migration.revision, lease_s=lease_s)
    member = Member(parts(repo), repo.migration.name, terms)
    stages = SteeredStages(member, calls.builder.build, calls.options.timeout_s)
    repo._calls = evolve(calls, stages=stages)
    return repo


def process(name: str = "web:1", **changed: Any) -> MemberRecord:
    """A process of the fleet that has acknowledged the first epoch."""
    return evolve(MemberRecord(name, name, "service", "", 1, 1, 1, 15.0, datetime(2024, 5, 1)), **changed)


class Ready:
    """A migration in memory whose next step has nothing in its way, and a clock that only the test moves."""

    def __init__(self, database: Any) -> None:
        self.database = database
        self.clock = TestClock()
        self.repo = followed(database, self.clock)
        self.parts = parts(self.repo)

    def switch(self, **options: Any) -> Switch[Any, Any]:
        """Its switch, without a soak time."""
        return Switch(self.repo, **({"soak_s": 0} | options))

    async def begin(self, phase: Phase) -> None:
        """Record the phase, fill both collections, and record what a full verification finds an hour later."""
        await self.switch().begin(phase, **ORDER)
        await self.database["v1"].insert_many([thing(id) for id in range(COUNT)])
        await self.database["v2"].insert_many([moved(id) for id in range(COUNT)])
        self.clock.time += timedelta(hours=1)
        await self.verify()
        self.clock.time += timedelta(minutes=1)

    async def verify(self, ago_s: float = 60, finished: bool = True, revision: int | None = 1, **found: int) -> None:
        """Record what a verification found that began some time ago."""
        counts = {"compared": COUNT, **dict.fromkeys((*COUNTED, *PARTIAL), 0), **found}
        began = self.clock.time - timedelta(seconds=ago_s)
        run = RunRecord("things", began, self.clock.time, finished, counts, began, revision)
        await self.parts.runs.record(run, kind=KIND)

    async def forget_verifications(self) -> None:
        """Remove what verifications found."""
        await self.database["lazymig_control"].delete_many({"kind": "verify run"})

    async def join(self, member: MemberRecord) -> None:
        """Add a process to the fleet."""
        await self.parts.members("things").register(member)

    async def mismatch(self, id: int = 1, **changed: Any) -> None:
        """Record an entity that does not agree."""
        row = evolve(
            Mismatch(
                id, Verdict.DIFFERENT, "round trip", (), "", 0, 0, "s", "verify", True, None, None, self.clock.time
            ),
            **changed,
        )
        await self.parts.mismatches.record("things", [row])

    async def dead_letter(self, id: int = 1) -> None:
        """Record an entity that needs a person."""
        now = self.clock.time
        letter = DeadLetter("things", id, 0, "upgrade", "ValueError", "no", "", now, now, 1, None, "")
        await self.parts.letters.record([letter])

    async def followed(self, running: bool = False, seen_ago_s: float = 0, **rogue: int) -> None:
        """Record what the follower found in this hour, by operation."""
        hour = f"{self.clock.time:%Y-%m-%dT%H}"
        row = {
            "_id": "things/follower", "kind": "follower", "migration": "things", "rogue": {hour: rogue},
            "seen_at": self.clock.time - timedelta(seconds=seen_ago_s),
            "until": self.clock.time + timedelta(seconds=20) if running else None,
        }  # fmt: skip
        await self.database["lazymig_control"].insert_one(row)

    async def change(self, **settings: Any) -> None:
        """Change settings of the record."""
        assert await self.parts.phases("things").change(await standing(self.repo), settings=settings)
