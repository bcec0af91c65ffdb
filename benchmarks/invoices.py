"""What sweeps are measured with: an invoice of about 1 KB, converted in about 100 µs (items, dates, Decimals)."""

import random
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from attrs import evolve, frozen
from bson import ObjectId
from bson.decimal128 import Decimal128

import lazymig

#: Documents per statement that fills a collection.
FILL = 5_000


@frozen
class ItemV1:
    sku: str
    title: str
    quantity: int
    price: Decimal
    shipped: datetime


@frozen
class InvoiceV1:
    id: ObjectId
    number: str
    customer: str
    email: str
    issued: datetime
    due: datetime
    currency: str
    note: str
    items: list[ItemV1]


@frozen
class ItemV2:
    sku: str
    title: str
    quantity: int
    price: Decimal
    shipped: date


@frozen
class InvoiceV2:
    id: ObjectId
    number: str
    first: str
    last: str
    email: str
    issued: datetime
    due: date
    currency: str
    note: str
    total: Decimal
    items: list[ItemV2]


def to_v2(old: InvoiceV1) -> InvoiceV2:
    first, _, last = old.customer.partition(" ")
    items = [ItemV2(item.sku, item.title, item.quantity, item.price, item.shipped.date()) for item in old.items]
    return InvoiceV2(
        old.id, old.number, first, last, old.email, old.issued, old.due.date(), old.currency, old.note,
        sum((item.price * item.quantity for item in items), Decimal(0)), items,
    )  # fmt: skip


def to_v1(new: InvoiceV2) -> InvoiceV1:
    midnight = datetime.min.time()
    items = [
        ItemV1(item.sku, item.title, item.quantity, item.price, datetime.combine(item.shipped, midnight))
        for item in new.items
    ]
    return InvoiceV1(
        new.id, new.number, f"{new.first} {new.last}", new.email, new.issued, datetime.combine(new.due, midnight),
        new.currency, new.note, items,
    )  # fmt: skip


def _day(moment: str) -> dict[str, Any]:
    return {"$dateTrunc": {"date": moment, "unit": "day"}}


def _name(place: int) -> dict[str, Any]:
    parts = {"$regexFind": {"input": "$customer", "regex": "^([^ ]*) ?(.*)$"}}
    return {"$arrayElemAt": [{"$let": {"vars": {"name": parts}, "in": "$$name.captures"}}, place]}


_AMOUNTS = {"$map": {"input": "$items", "in": {"$multiply": ["$$this.price", "$$this.quantity"]}}}
_ITEM = {name: f"$$this.{name}" for name in ("sku", "title", "quantity", "price")}
#: `to_v2` as the server computes it, from documents to documents.
UPGRADE_PIPELINE: list[dict[str, Any]] = [
    {
        "$replaceWith": {
            **{name: f"${name}" for name in ("_id", "number")},
            "first": _name(0),
            "last": _name(1),
            "email": "$email",
            "issued": "$issued",
            "due": _day("$due"),
            **{name: f"${name}" for name in ("currency", "note")},
            "total": {"$sum": _AMOUNTS},
            "items": {"$map": {"input": "$items", "in": {**_ITEM, "shipped": _day("$$this.shipped")}}},
        }
    }
]

MIGRATION = lazymig.Migration(name="invoices", v1=InvoiceV1, v2=InvoiceV2, upgrade=to_v2, downgrade=to_v1)
#: The same documents and results, with the conversion left to the server.
SERVER_SIDE = evolve(MIGRATION, upgrade_pipeline=UPGRADE_PIPELINE)


def documents(count: int, seed: int) -> Iterator[dict[str, Any]]:
    """V1 documents, the same for the same seed."""
    chance = random.Random(seed)
    day = datetime(2024, 1, 1)
    for number in range(count):
        yield {
            "_id": ObjectId(number.to_bytes(12, "big")),
            "number": f"INV-{number:08d}",
            "customer": f"First{number} Last{chance.randrange(10_000)}",
            "email": f"customer{number}@example.com",
            "issued": day + timedelta(minutes=number),
            "due": day + timedelta(days=number % 90),
            "currency": "EUR",
            "note": "x" * chance.randrange(50, 150),
            "items": [
                {
                    "sku": f"SKU-{chance.randrange(100_000):06d}",
                    "title": "A title",
                    "quantity": chance.randrange(1, 10),
                    "price": Decimal128(f"{chance.randrange(100, 100_000) / 100:.2f}"),
                    "shipped": day + timedelta(days=chance.randrange(90)),
                }
                for _ in range(8)
            ],
        }


def repository(
    client: Any, database: str = "sweeps", migration: lazymig.Migration[InvoiceV1, InvoiceV2] = MIGRATION
) -> lazymig.Repository[InvoiceV1, InvoiceV2]:
    """The repository over the benchmark's collections."""
    db = client[database]
    return lazymig.Repository(migration, v1=db["v1"], v2=db["v2"], phase=lazymig.Phase.COEXIST)


async def fill(client: Any, name: str, count: int) -> None:
    """A new database whose V1 holds this many documents."""
    await client.drop_database(name)
    batch: list[dict[str, Any]] = []
    for document in documents(count, seed=1):
        batch.append(document)
        if len(batch) == FILL:
            await client[name]["v1"].insert_many(batch, ordered=False)
            batch = []
    if batch:
        await client[name]["v1"].insert_many(batch)
