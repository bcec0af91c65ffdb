"""What the demonstration needs to prepare collections and to look at the outcome. No part of the protocol."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from lazymig.stores.documents import META_FIELD
from lazymig.stores.drivers import collection_of
from lazymig.stores.given import RawId, Store
from lazymig.stores.records import Document


async def fill(collection: Store, documents: Sequence[Document]) -> None:
    """Insert these documents by one statement."""
    await collection_of(collection).insert_many(documents)


async def find_everything(store: Store) -> list[Document]:
    """Find all documents of a small collection."""
    return list(await collection_of(store).find({}).to_list(None))


async def backdate(store: Store, id: RawId, at: datetime) -> None:
    """Set the time of the mark on one of V2's documents (naive UTC)."""
    await collection_of(store).update_one({"_id": id}, {"$set": {f"{META_FIELD}.at": at}})
