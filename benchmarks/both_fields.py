"""What is measured in one document: the order of `subject.py` with the fields of both shapes side by side."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Any

from attrs import evolve, frozen
from bson import ObjectId

from benchmarks.subject import LineV1, OrderV1, document, entity
from lazymig import Migration


@frozen
class OrderInPlace:
    """The new shape beside the old one: a name, an address and a date taken apart, and the rest as it was."""

    id: ObjectId
    number: str
    first_name: str
    last_name: str
    email: str
    street: str
    place: str
    placed_at: datetime
    status: str
    paid: bool
    notes: str
    lines: list[LineV1]


def to_new(old: OrderV1) -> OrderInPlace:
    first, _, last = old.customer.partition(" ")
    street, _, place = old.address.partition("\n")
    return OrderInPlace(
        old.id, old.number, first, last, old.email, street, place, datetime.fromisoformat(old.placed), old.status,
        old.paid, old.notes, old.lines,
    )  # fmt: skip


def to_old(new: OrderInPlace) -> OrderV1:
    return OrderV1(
        new.id, new.number, f"{new.first_name} {new.last_name}", new.email, f"{new.street}\n{new.place}",
        new.placed_at.isoformat(), new.status, new.paid, new.notes, new.lines,
    )  # fmt: skip


def ship(order: OrderInPlace) -> OrderInPlace:
    """The change that updates make: a field that both shapes share, and one that they do not."""
    return evolve(
        order,
        status="returned" if order.status == "shipped" else "shipped",
        last_name=order.last_name[::-1],
    )


MIGRATION = Migration(name="orders", v1=OrderV1, v2=OrderInPlace, upgrade=to_new, downgrade=to_old)


@frozen
class BothFields:
    """A hand-written repository that keeps both shapes in one document: a version guards each change."""

    collection: Any

    async def get(self, id: Any) -> OrderInPlace | None:
        found = await self.collection.find_one({"_id": id})
        if found is None:
            return None
        order: OrderInPlace = entity(found, OrderInPlace)
        return order

    async def update(self, id: Any, change: Callable[[OrderInPlace], OrderInPlace]) -> OrderInPlace:
        while True:
            found = await self.collection.find_one({"_id": id})
            version = found["version"]
            new = change(entity(found, OrderInPlace))
            made = {**document(to_old(new)), **document(new), "version": version + 1}
            where = {"_id": made.pop("_id"), "version": version}
            if (await self.collection.update_one(where, {"$set": made})).matched_count:
                return new

    async def insert(self, order: OrderInPlace) -> OrderInPlace:
        await self.collection.insert_one({**document(to_old(order)), **document(order), "version": 1})
        return order

    async def delete(self, id: Any) -> None:
        while True:
            found = await self.collection.find_one({"_id": id}, {"version": 1})
            if (await self.collection.delete_one({"_id": id, "version": found["version"]})).deleted_count:
                return

    async def list(self) -> AsyncIterator[OrderInPlace]:
        async for found in self.collection.find({}).sort("_id", 1):
            yield entity(found, OrderInPlace)
