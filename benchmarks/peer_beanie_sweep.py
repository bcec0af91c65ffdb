"""The same change of shape as a Beanie iterative migration: in place, on a collection of its own."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

from beanie import DecimalAnnotation, Document, init_beanie, iterative_migration
from pydantic import BaseModel


class ItemOld(BaseModel):
    sku: str
    title: str
    quantity: int
    price: DecimalAnnotation
    shipped: datetime


class InvoiceOld(Document):
    number: str
    customer: str
    email: str
    issued: datetime
    due: datetime
    currency: str
    note: str
    items: list[ItemOld]

    class Settings:
        name = "beanie"


class ItemNew(BaseModel):
    sku: str
    title: str
    quantity: int
    price: DecimalAnnotation
    shipped: datetime


class InvoiceNew(Document):
    number: str
    first: str
    last: str
    email: str
    issued: datetime
    due: datetime
    currency: str
    note: str
    total: DecimalAnnotation
    items: list[ItemNew]

    class Settings:
        name = "beanie"


@iterative_migration()
async def _split(input_document: InvoiceOld, output_document: InvoiceNew) -> None:
    output_document.first, _, output_document.last = input_document.customer.partition(" ")
    output_document.items = [ItemNew(**item.model_dump()) for item in input_document.items]
    output_document.total = sum((item.price * item.quantity for item in input_document.items), Decimal(0))


async def opened(database: Any) -> Callable[[], Awaitable[None]]:
    await init_beanie(database=database, document_models=[InvoiceOld, InvoiceNew])

    async def migrate() -> None:
        await _split.run(session=None)

    return migrate
