"""What the tests of documents with both shapes share: the sweeper's migration, in one collection."""

from __future__ import annotations

from typing import Any

from lazymig import Phase, Repository, Sweeper
from lazymig.loop.clock import SYSTEM_CLOCK
from lazymig.repository import calls_of
from lazymig.stores.records import Document
from tests.sweeps import ThingV1, ThingV2, things


def place_repository(database: Any, **options: Any) -> Repository[ThingV1, ThingV2]:
    """A repository on the database's collection `both`."""
    migration = options.pop("migration", None) or things()
    return Repository.in_place(migration, database["both"], **{"phase": Phase.COEXIST} | options)


def place_sweeper(database: Any, **options: Any) -> Sweeper[ThingV1, ThingV2]:
    """A sweeper in small steps: pages of 4, partitions of 10."""
    clock = options.get("clock", SYSTEM_CLOCK)
    repo = options.pop("repo", None) or place_repository(database, clock=clock)
    return Sweeper(repo, **({"batch_size": 4, "partition_size": 10} | options))


def print_of(document: Document) -> bytes:
    """The fingerprint of V1's part of a document."""
    place = calls_of(place_repository(_nowhere())).place
    assert place is not None
    return place.shape.fingerprint(document)


def filled(document: Document, *, rev: int = 0, by: str = "sweep", **changed: Any) -> dict[str, Any]:
    """What a document becomes once its V2 part is stored."""
    meta = {"rev": rev, "of": print_of(document), "by": by}
    return {**document, "count": document["n"], "note": None, **changed, "_lazymig": meta}


def _nowhere() -> Any:
    from mongomock_motor import AsyncMongoMockClient

    return AsyncMongoMockClient()["nowhere"]
