"""The second shape as an ODMantic model."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, ClassVar

from motor.motor_asyncio import AsyncIOMotorClient
from odmantic import AIOEngine, EmbeddedModel, Model

from benchmarks.subject import Status


class Address(EmbeddedModel):
    street: str
    city: str
    state: str
    postcode: str


class Line(EmbeddedModel):
    sku: str
    title: str
    quantity: int
    price_cents: int
    gift: bool


class Order(Model):
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

    model_config: ClassVar = {"collection": "v2"}


async def opened(uri: str, database: str) -> Callable[[Any], Awaitable[Any]]:
    engine = AIOEngine(client=AsyncIOMotorClient(uri), database=database)
    return lambda id: engine.find_one(Order, Order.id == id)
