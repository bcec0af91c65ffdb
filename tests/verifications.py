"""What the verifier's tests share: a migration, defects of every kind to plant, and a clock that lets clients in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from attrs import evolve, frozen

from lazymig import Migration, Mismatch, Repository, Verdict, Verifier
from lazymig.control import parts_of
from tests.sweeps import LaterClock, ThingV1, ThingV2, control, moved, repository, thing, things

#: A code that both conversions turn round, so that a round trip shows nothing.
BUG, GUB = "bug", "gub"


def upgrade(v1: ThingV1) -> ThingV2:
    """V1 to V2, with a defect that `downgrade` has too."""
    return ThingV2(v1.id, v1.n, GUB if v1.code == BUG else v1.code)


def downgrade(v2: ThingV2) -> ThingV1:
    """V2 to V1, with the same defect."""
    return ThingV1(v2.id, v2.count, BUG if v2.code == GUB else v2.code)


def expected(v1: ThingV1) -> ThingV2:
    """What V2 should hold, written by somebody else."""
    return ThingV2(id=v1.id, count=v1.n, code=v1.code)


def same_code(v1: ThingV1, v2: ThingV2) -> bool:
    """An invariant of theirs."""
    return v1.code == v2.code


def plain(**changed: Any) -> Migration[ThingV1, ThingV2]:
    """The migration: V2 holds nothing that V1 cannot express."""
    return things(**{"upgrade": upgrade, "downgrade": downgrade} | changed)


def plain_repository(database: Any, **options: Any) -> Repository[ThingV1, ThingV2]:
    """A repository of it."""
    return repository(database, **{"migration": plain()} | options)


def verifier(database: Any, **options: Any) -> Verifier[ThingV1, ThingV2]:
    """A verifier in small steps, with a clock whose waits take no time."""
    clock = options.pop("clock", None) or LaterClock()
    repo = options.pop("repo", None) or plain_repository(database, clock=clock)
    return Verifier(repo, **({"batch_size": 4, "partition_size": 10, "clock": clock} | options))


async def leave_candidates(database: Any, **options: Any) -> None:
    """Run a verifier that is stopped while it waits, so that what it found is recorded and not confirmed."""
    clock = MeddlingClock(ahead_s=options.pop("ahead_s", 0))
    running = verifier(database, clock=clock, min_age_s=3600, **options)

    async def stop() -> None:
        running.stop()

    clock.let_in(stop)
    assert not (await running.run()).finished


async def rows(database: Any) -> list[Mismatch]:
    """The recorded mismatches, those found first at the front."""
    table = parts_of(control(database)).mismatches
    return [row async for page in table.find_pages("things") for row in page]


class MeddlingClock(LaterClock):
    """Lets others act whenever a recheck waits."""

    def __init__(self, *meddle: Callable[[], Awaitable[object]], ahead_s: float = 0) -> None:
        super().__init__(ahead_s)
        self._meddle = iter(meddle)

    def let_in(self, *meddle: Callable[[], Awaitable[object]]) -> None:
        """Let these act, one per wait."""
        self._meddle = iter(meddle)

    async def sleep(self, delay_s: float) -> None:
        if 0 < delay_s <= 0.25:
            meddle = next(self._meddle, None)
            if meddle is not None:
                await meddle()
        await super().sleep(delay_s)


# Defects


@frozen
class Defect:
    """How an entity is damaged, and what a verification must say of it."""

    name: str
    plant: Callable[[Any, Any], Awaitable[object]]
    verdict: Verdict
    check: str = ""
    #: Each field that differs: its path, and the BSON types of what was expected and found.
    differences: tuple[tuple[str, str, str], ...] = ()
    #: Whether a repair settles it.
    repairable: bool = True


async def _missing(database: Any, id: Any) -> None:
    await database["v2"].delete_one({"_id": id})


async def _stale(database: Any, id: Any) -> None:
    await database["v1"].update_one({"_id": id}, {"$set": {"n": -7, "_lazymig_rev": 3}})


async def _type(database: Any, id: Any) -> None:
    await database["v2"].update_one({"_id": id}, {"$set": {"count": 1.0}})


async def _value(database: Any, id: Any) -> None:
    await database["v2"].update_one({"_id": id}, {"$set": {"count": 99}})


async def _orphan(database: Any, id: Any) -> None:
    await database["v2"].insert_one(moved(f"orphan {id}"))


async def _dirty(database: Any, id: Any) -> None:
    await database["v2"].update_one({"_id": id}, {"$inc": {"_lazymig.intent": 1}})


async def _bug(database: Any, id: Any) -> None:
    await database["v1"].update_one({"_id": id}, {"$set": {"code": BUG}})
    await database["v2"].update_one({"_id": id}, {"$set": {"code": GUB}})


async def _rogue_update(database: Any, id: Any) -> None:
    await database["v1"].update_one({"_id": id}, {"$inc": {"n": 1}})


async def _rogue_delete(database: Any, id: Any) -> None:
    await database["v1"].delete_one({"_id": id})


async def _rogue_replace(database: Any, id: Any) -> None:
    await plain_repository(database).update(id, lambda v2: evolve(v2, count=2))
    await database["v1"].replace_one({"_id": id}, thing(id, 3))


_COUNT = ("count", "int32", "int32")
DEFECTS = (
    Defect("missing", _missing, Verdict.MISSING),
    Defect("stale", _stale, Verdict.STALE, "upgrade", (_COUNT,)),
    Defect("type only", _type, Verdict.DIFFERENT, "upgrade", (("count", "int32", "double"),)),
    Defect("value", _value, Verdict.DIFFERENT, "upgrade", (_COUNT,)),
    Defect("orphan", _orphan, Verdict.ORPHAN),
    Defect("dirty", _dirty, Verdict.DIRTY),
    Defect("bug on both sides", _bug, Verdict.DIFFERENT, "expected", (("code", "string", "string"),), repairable=False),
    Defect("rogue update", _rogue_update, Verdict.DIFFERENT, "upgrade", (_COUNT,)),
    Defect("rogue delete", _rogue_delete, Verdict.ORPHAN),
    Defect("rogue replace", _rogue_replace, Verdict.STALE, "upgrade", (_COUNT,)),
)


async def fill(database: Any, ids: Iterable[Any]) -> None:
    """Both sides as a finished sweep leaves them."""
    ids = list(ids)
    await database["v1"].insert_many([thing(id) for id in ids])
    await database["v2"].insert_many([moved(id) for id in ids])


async def plant(database: Any, ids: Iterable[Any], defects: Iterable[Defect] = DEFECTS) -> dict[Any, Defect]:
    """Damage these entities, each by one defect in turn; return the defects by the damaged ids."""
    planted: dict[Any, Defect] = {}
    for id, defect in zip(ids, defects, strict=False):
        await defect.plant(database, id)
        planted[f"orphan {id}" if defect.name == "orphan" else id] = defect
    return planted


def verdicts_of(mismatches: Iterable[Mismatch]) -> dict[Any, tuple[Any, ...]]:
    """What mismatches say, by id; each id is named once."""
    found = list(mismatches)
    assert len({repr(one.id) for one in found}) == len(found)
    return {
        one.id: (one.verdict, one.check, tuple((each.path, each.expected, each.found) for each in one.differences))
        for one in found
    }


def claims(planted: dict[Any, Defect]) -> dict[Any, tuple[Any, ...]]:
    """What a verification must say of planted defects."""
    return {id: (defect.verdict, defect.check, defect.differences) for id, defect in planted.items()}
