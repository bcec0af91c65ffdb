"""What the tests of one document share: a collection whose documents hold both shapes, defects, and other programs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from attrs import frozen

from lazymig import Migration, Phase, Repository, Verdict, Verifier
from tests.layouts import settle
from tests.sweeps import LaterClock, ThingV1, ThingV2, things
from tests.verifications import BUG, GUB, downgrade, plain

NAME = "things"


def strict(v1: ThingV1) -> ThingV2:
    """V1 to V2; a negative number does not convert. It has the defect that `downgrade` has too."""
    if v1.n < 0:
        raise ValueError("negative")
    return ThingV2(v1.id, v1.n, GUB if v1.code == BUG else v1.code)


def whole_things(**changed: Any) -> Migration[ThingV1, ThingV2]:
    """The migration: both shapes share `code`, V1 has `n`, V2 has `count` and `note`."""
    return plain(**{"upgrade": strict} | changed)


def keeping(**changed: Any) -> Migration[ThingV1, ThingV2]:
    """The migration whose `upgrade` takes the previous V2 entity, for a note that V1 cannot express."""
    return things(**{"downgrade": downgrade} | changed)


def whole_repository(database: Any, **options: Any) -> Repository[ThingV1, ThingV2]:
    """A repository in one document of the database's collection `things`."""
    migration = options.pop("migration", None) or whole_things()
    return Repository.in_place(migration, database[NAME], **({"phase": Phase.COEXIST} | options))


def whole_verifier(database: Any, **options: Any) -> Verifier[ThingV1, ThingV2]:
    """A verifier in small steps, with a clock whose waits take no time."""
    clock = options.pop("clock", None) or LaterClock()
    repo = options.pop("repo", None) or whole_repository(database, clock=clock)
    return Verifier(repo, **({"batch_size": 4, "partition_size": 10, "clock": clock} | options))


async def put(database: Any, ids: Iterable[Any], **changed: Any) -> None:
    """Documents as a program that does not know lazymig inserts them."""
    await database[NAME].insert_many([{"_id": id, "n": 1, "code": None, "colour": "red"} | changed for id in ids])


async def filled(database: Any, ids: Iterable[Any], **options: Any) -> Repository[ThingV1, ThingV2]:
    """Documents with both parts, as reads leave them; return the repository."""
    ids = list(ids)
    await put(database, ids)
    repo = whole_repository(database, **options)
    await repo.get_many(ids)
    await settle(repo)
    return repo


@frozen
class Planted:
    """How a document is damaged, and what a verification must say of it."""

    name: str
    #: An update of the document.
    update: dict[str, Any]
    verdict: Verdict
    check: str = ""
    #: Each field that differs: its path, and the BSON types of what was expected and found.
    differences: tuple[tuple[str, str, str], ...] = ()
    #: Words of the reason.
    reason: str = ""
    #: What is left after a repair: nothing, or the verdict.
    after: Verdict | None = None


_COUNT = ("count", "int32", "int32")
PLANTED = (
    Planted("value", {"$set": {"count": 99}}, Verdict.DIFFERENT, "upgrade", (_COUNT,)),
    Planted("type only", {"$set": {"count": 1.0}}, Verdict.DIFFERENT, "upgrade", (("count", "int32", "double"),)),
    Planted("lost field", {"$unset": {"count": ""}}, Verdict.DIFFERENT, "upgrade", (("count", "int32", "missing"),)),
    Planted("undecodable", {"$set": {"count": "x"}}, Verdict.DIFFERENT, "upgrade", (("count", "int32", "string"),),
        "V2 document does not decode"),
    Planted("meta data lost", {"$unset": {"_lazymig": ""}}, Verdict.MISSING, reason="has this field already",
        after=Verdict.UNKNOWN),
    Planted("meta data malformed", {"$set": {"_lazymig": 5}}, Verdict.UNKNOWN, reason="unset it",
        after=Verdict.UNKNOWN),
    Planted("newer conversion", {"$set": {"_lazymig.conv": 2}}, Verdict.UNKNOWN, reason="conversion revision 2",
        after=Verdict.UNKNOWN),
    Planted("does not convert", {"$set": {"n": -7}}, Verdict.UNKNOWN, reason="upgrade failed", after=Verdict.UNKNOWN),
    Planted("does not decode", {"$set": {"n": "x"}}, Verdict.UNKNOWN, reason="V1 document does not decode",
        after=Verdict.UNKNOWN),
    Planted("never converted", {"$set": {"n": -7}, "$unset": {"_lazymig": "", "count": "", "note": ""}},
        Verdict.MISSING, reason="upgrade failed", after=Verdict.UNKNOWN),
    Planted("damaged since it waits", {"$set": {"_lazymig.unmoved": "left"}}, Verdict.DIFFERENT, "upgrade",
        reason="`upgrade` converts it"),
)  # fmt: skip


async def plant(database: Any, ids: Iterable[Any]) -> dict[Any, Planted]:
    """Damage these documents, each by one defect; return the defects by id."""
    planted = dict(zip(ids, PLANTED, strict=False))
    assert len(planted) == len(PLANTED)
    for id, defect in planted.items():
        assert (await database[NAME].update_one({"_id": id}, defect.update)).matched_count == 1
    return planted


#: What programs that have never heard of lazymig do to a document: none of it is wrong.
OUTSIDE: dict[str, Callable[[Any, Any], Awaitable[object]]] = {
    "update": lambda things, id: things.update_one({"_id": id}, {"$set": {"n": 2}}),
    "update of what is shared": lambda things, id: things.update_one({"_id": id}, {"$set": {"code": "new"}}),
    "replace": lambda things, id: things.replace_one({"_id": id}, {"_id": id, "n": 3, "code": "c"}),
    "insert": lambda things, id: things.insert_one({"_id": f"new {id}", "n": 4, "code": "c"}),
    "delete": lambda things, id: things.delete_one({"_id": id}),
    "a field that no class knows": lambda things, id: things.update_one({"_id": id}, {"$set": {"colour": "blue"}}),
}
