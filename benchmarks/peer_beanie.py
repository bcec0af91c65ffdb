"""The second shape as a Beanie document."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from beanie import Document, init_beanie
from pydantic import BaseModel

from benchmarks.subject import Status


class Address(BaseModel):
    street: str
    city: str
    state: str
    postcode: str


class Line(BaseModel):
    sku: str
    title: str
    quantity: int
    price_cents: int
    gift: bool


class Order(Document):
    number: str
    first_name: str
    last_name: str
    email: str
    address: Address
    placed: datetime
    status: Status
    paid: bool
    notes: str
    lines: list[Line]

    class Settings:
        name = "v2"


async def opened(collection: Any) -> Callable[[Any], Awaitable[Any]]:
    await init_beanie(database=collection.database, document_models=[Order])
    return Order.get
