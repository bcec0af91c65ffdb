"""What one would write without lazymig, on PyMongo's async API: "write V1, then V2; a read that misses V2 converts".

Simple and wrong under concurrency, as `docs/` explains; it is the yardstick of speed only.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

from attrs import frozen

from benchmarks.subject import OrderV1, OrderV2, document, entity, to_v1, to_v2


@frozen
class ByHand:
    """The hand-written side; its collections keep the client's default write concern (majority on a replica set)."""

    v1: Any
    v2: Any
    #: The conversion of what V2 lacks.
    upgrade: Callable[[OrderV1], OrderV2] = to_v2

    async def raw(self, id: Any) -> dict[str, Any] | None:
        """The driver alone, nothing structured."""
        found: dict[str, Any] | None = await self.v2.find_one({"_id": id})
        return found

    async def get(self, id: Any) -> OrderV2 | None:
        found = await self.v2.find_one({"_id": id})
        if found is None:
            return None
        order: OrderV2 = entity(found, OrderV2)
        return order

    async def first_get(self, id: Any) -> OrderV2 | None:
        found = await self.v2.find_one({"_id": id})
        if found is not None:
            migrated: OrderV2 = entity(found, OrderV2)
            return migrated
        old = await self.v1.find_one({"_id": id})
        if old is None:
            return None
        new = self.upgrade(entity(old, OrderV1))
        await self.v2.insert_one(document(new))
        return new

    async def update(self, id: Any, change: Callable[[OrderV2], OrderV2]) -> OrderV2:
        found = await self.v2.find_one({"_id": id})
        assert found is not None
        new = change(entity(found, OrderV2))
        await self.v1.replace_one({"_id": id}, document(to_v1(new)))
        await self.v2.replace_one({"_id": id}, document(new))
        return new

    async def insert(self, order: OrderV2) -> OrderV2:
        if await self.v2.find_one({"_id": order.id}) or await self.v1.find_one({"_id": order.id}):
            raise ValueError("taken")
        await self.v1.insert_one(document(to_v1(order)))
        await self.v2.insert_one(document(order))
        return order

    async def delete(self, id: Any) -> None:
        """As `update` does, it looks first: an entity that is not there is an error."""
        if await self.v2.find_one({"_id": id}) is None:
            raise LookupError("not found")
        await self.delete_unseen(id)

    async def delete_unseen(self, id: Any) -> None:
        """Delete whatever is there, and say nothing where nothing was."""
        await self.v1.delete_one({"_id": id})
        await self.v2.delete_one({"_id": id})

    async def list(self) -> AsyncIterator[OrderV2]:
        async for found in self.v1.find({}).sort("_id", 1):
            yield self.upgrade(entity(found, OrderV1))
