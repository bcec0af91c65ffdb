"""The two layouts of a migration, for tests of what holds in both: how a repository is opened, and what is stored."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import pytest

from lazymig import Migration, Phase, Repository
from lazymig.repository import calls_of

REV, META = "_lazymig_rev", "_lazymig"
#: The fields that only V2's shape of a person has.
V2_OWN = ("first", "last", "note")


class Layout(StrEnum):
    """Where the two shapes stand. In both layouts, V1's documents are in the collection `v1`."""

    TWO = "two collections"
    ONE = "one document"

    def open(self, database: Any, migration: Migration[Any, Any], **options: Any) -> Repository[Any, Any]:
        """A repository on the database's collections, in `coexist` unless the options say otherwise."""
        options = {"phase": Phase.COEXIST} | options
        if self is Layout.ONE:
            return Repository.in_place(migration, options.pop("v1", database["v1"]), **options)
        return Repository(migration, **{"v1": database["v1"], "v2": database["v2"]} | options)

    async def fill(self, database: Any, migration: Migration[Any, Any]) -> None:
        """Give V2 what it lacks, as a sweep does: a listing by V2's fields finds nothing before that."""
        ids = [row["_id"] for row in await database["v1"].find({}, {"_id": 1}).to_list(None)]
        repository = self.open(database, migration)
        await repository.get_many(ids, on_error="skip")
        await settle(repository)

    async def find_v1(self, database: Any) -> list[dict[str, Any]]:
        """What programs that do not know lazymig have stored of people: their documents without V2's part."""
        hidden = {REV, META, *(V2_OWN if self is Layout.ONE else ())}
        found = await database["v1"].find().sort("_id").to_list(None)
        return [{name: value for name, value in row.items() if name not in hidden} for row in found]

    async def find_bodies(self, database: Any) -> dict[Any, dict[str, Any]]:
        """V2's body of each person that has one, by id."""
        found = await self._v2(database).find({"first": {"$exists": True}}).to_list(None)
        return {row["_id"]: {name: row[name] for name in (*V2_OWN, "age", "tags") if name in row} for row in found}

    async def spoil(self, database: Any, id: Any, **changed: Any) -> None:
        """Store other values in V2's part of a person, by nobody who knows what it means."""
        await self._v2(database).update_one({"_id": id}, {"$set": changed})

    async def find_bringers(self, database: Any) -> dict[Any, str]:
        """Who brought each person to V2, by id."""
        found = await self._v2(database).find({f"{META}.by": {"$exists": True}}).to_list(None)
        return {row["_id"]: row[META]["by"] for row in found}

    async def find_revision(self, database: Any, id: Any) -> int:
        """The revision of a document that lazymig has written."""
        row = await database["v1"].find_one({"_id": id})
        return int(row[REV] if self is Layout.TWO else row[META]["rev"])

    async def assert_written(self, database: Any, id: Any, times: int) -> None:
        """Its revision says that lazymig has written it so often; in one document, revisions rise by random steps."""
        revision = await self.find_revision(database, id)
        assert revision == times if self is Layout.TWO else revision >= times

    def _v2(self, database: Any) -> Any:
        return database["v2" if self is Layout.TWO else "v1"]


async def settle(repository: Repository[Any, Any]) -> None:
    """Wait until the majority has what reads stored: the next statement sees it, which one at once need not."""
    if (place := calls_of(repository).place) is not None:
        await place.store.confirm_missing(0)


#: For claims that are about V2's own collection: its documents, marks and tombstones.
TWO_COLLECTIONS = pytest.mark.parametrize("layout", [Layout.TWO], ids=str)
#: For claims about the document that both shapes share.
ONE_DOCUMENT = pytest.mark.parametrize("layout", [Layout.ONE], ids=str)
