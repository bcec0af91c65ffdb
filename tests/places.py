"""What the tests of sweeps over documents with both shapes share: the sweeper's migration, in one collection."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs import evolve
from mongomock_motor import AsyncMongoMockClient

from lazymig import LEAVE, Migration, NotYet, Phase, Repository, Sweeper
from lazymig.loop.clock import SYSTEM_CLOCK
from lazymig.protocol.in_place.place import Place
from lazymig.repository import calls_of
from tests.sweeps import ThingV1, ThingV2, renamed, things

Repo = Repository[ThingV1, ThingV2]


def place_repository(database: Any, **options: Any) -> Repo:
    """A repository on the database's collection `both`."""
    migration = options.pop("migration", None) or things()
    return Repository.in_place(migration, database["both"], **{"phase": Phase.COEXIST} | options)


def place_sweeper(database: Any, **options: Any) -> Sweeper[ThingV1, ThingV2]:
    """A sweeper in small steps: pages of 4, partitions of 10."""
    clock = options.get("clock", SYSTEM_CLOCK)
    repo = options.pop("repo", None) or place_repository(database, clock=clock)
    return Sweeper(repo, **({"batch_size": 4, "partition_size": 10} | options))


def place_of(repo: Repo) -> Place[ThingV1, ThingV2]:
    """The collection behind a repository."""
    place = calls_of(repo).place
    assert place is not None
    return place


_SHAPE = place_of(place_repository(AsyncMongoMockClient()["nowhere"])).shape


def filled(document: Mapping[str, Any], *, rev: int = 0, by: str = "sweep", **v2: Any) -> dict[str, Any]:
    """What a document becomes once its V2 part is stored."""
    meta = {"rev": rev, "of": _SHAPE.fingerprint(document), "by": by}
    return {**document, "count": document["n"], "note": None, **v2, "_lazymig": meta}


def noted(note: str) -> Callable[[ThingV2], ThingV2]:
    """A change of what only V2 holds."""
    return lambda thing: evolve(thing, note=note)


def deciding(**changed: Any) -> Migration[ThingV1, ThingV2]:
    """A migration whose code decides: "wait" waits for its user, "leave" is left."""

    def decide(v1: ThingV1, previous: ThingV2 | None = None) -> Any:
        if v1.code == "wait":
            raise NotYet("no colour")
        return LEAVE if v1.code == "leave" else renamed(v1, previous)

    return things(upgrade=decide, **changed)
