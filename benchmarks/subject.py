"""What is measured: an order of about 0.8 KB in two shapes, 10 and 11 fields with five nested lines.

The first shape is what such collections often are: a name in one string, an address in another, dates and prices as
text. The second takes them apart. One migration does no more than that, in about 10 µs; another trusts no text, and
takes about 100 µs for one order.
"""

import enum
import html
import random
import re
import unicodedata
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from attrs import evolve, frozen
from bson import ObjectId

import lazymig

LINES = 5
_START, _END = datetime(2024, 1, 1), datetime(2026, 1, 1)


@frozen
class LineV1:
    sku: str
    title: str
    quantity: int
    price: str
    gift: bool


@frozen
class OrderV1:
    id: ObjectId
    number: str
    customer: str
    email: str
    address: str
    placed: str
    status: str
    paid: bool
    notes: str
    lines: list[LineV1]


class Status(enum.Enum):
    OPEN = "open"
    PACKED = "packed"
    SHIPPED = "shipped"
    RETURNED = "returned"


@frozen
class Address:
    street: str
    city: str
    state: str
    postcode: str


@frozen
class LineV2:
    sku: str
    title: str
    quantity: int
    price_cents: int
    gift: bool


@frozen
class OrderV2:
    id: ObjectId
    number: str
    first_name: str
    last_name: str
    email: str
    address: Address
    placed: datetime
    status: Status
    paid: bool
    notes: str
    lines: list[LineV2]


_ADDRESS = re.compile(r"(?P<street>[^\n]+)\n(?P<city>[^,]+), (?P<state>[A-Z]{2}) (?P<postcode>\d{5})")


def to_v2(old: OrderV1) -> OrderV2:
    first, _, last = old.customer.partition(" ")
    address = _ADDRESS.fullmatch(old.address)
    assert address is not None
    return OrderV2(
        id=old.id,
        number=old.number,
        first_name=first,
        last_name=last,
        email=old.email,
        address=Address(**address.groupdict()),
        placed=datetime.fromisoformat(old.placed),
        status=Status(old.status),
        paid=old.paid,
        notes=old.notes,
        lines=[
            LineV2(line.sku, line.title, line.quantity, int(Decimal(line.price) * 100), line.gift) for line in old.lines
        ],
    )


_EMAIL = re.compile(r"[\w.+-]{1,64}@(?:[a-z\d](?:[a-z\d-]{0,61}[a-z\d])?\.)+[a-z]{2,63}", re.IGNORECASE)
_SKU = re.compile(r"[A-Z][a-z]{2}-\d{1,5}")
_CENT, _TAX = Decimal("0.01"), Decimal("0.19")


def to_v2_checked(old: OrderV1) -> OrderV2:
    """The conversion of a collection whose text nobody trusts: clean all of it, and check what has a form."""
    lines = [
        evolve(line, sku=_clean(line.sku), title=_clean(line.title), price=_clean(line.price)) for line in old.lines
    ]
    net = [Decimal(line.price) * line.quantity for line in lines]
    taxes = [(amount * _TAX).quantize(_CENT) for amount in net]
    if not all(_SKU.fullmatch(line.sku) for line in lines) or sum(taxes) > sum(net):
        raise ValueError("no lines of ours")
    if _EMAIL.fullmatch(old.email) is None or datetime.strptime(old.placed, "%Y-%m-%dT%H:%M:%S") > _END:
        raise ValueError("no order of ours")
    cleaned = {name: _clean(getattr(old, name)) for name in ("number", "customer", "email", "status", "notes")}
    address = "\n".join(map(_clean, old.address.splitlines()))
    return to_v2(evolve(old, **cleaned, address=address, lines=lines))


def _clean(text: str) -> str:
    """Without entities of HTML, characters that only look alike, control characters, and needless space."""
    plain = unicodedata.normalize("NFKC", html.unescape(text))
    return " ".join("".join(one for one in plain if unicodedata.category(one)[0] != "C").split())


def to_v1(new: OrderV2) -> OrderV1:
    place = new.address
    return OrderV1(
        id=new.id,
        number=new.number,
        customer=f"{new.first_name} {new.last_name}",
        email=new.email,
        address=f"{place.street}\n{place.city}, {place.state} {place.postcode}",
        placed=new.placed.isoformat(),
        status=new.status.value,
        paid=new.paid,
        notes=new.notes,
        lines=[
            LineV1(line.sku, line.title, line.quantity, str(Decimal(line.price_cents) / 100), line.gift)
            for line in new.lines
        ],
    )


def ship(order: OrderV2) -> OrderV2:
    """The change that the update rows make: one field, another value every time."""
    return evolve(order, status=Status.RETURNED if order.status is Status.SHIPPED else Status.SHIPPED)


MIGRATION = lazymig.Migration(name="orders", v1=OrderV1, v2=OrderV2, upgrade=to_v2, downgrade=to_v1)

#: The second conversion of the same documents into the same results, at ten times the cost.
CHECKED = lazymig.Migration(name="orders_checked", v1=OrderV1, v2=OrderV2, upgrade=to_v2_checked, downgrade=to_v1)

#: The converter that the hand-written side uses too.
CONVERTER = lazymig.make_converter(detailed_validation=False)


def orders(count: int, seed: int) -> Sequence[OrderV1]:
    """That many orders, the same for the same seed but for their ids."""
    draw = random.Random(seed)
    return [_order(draw, number) for number in range(count)]


def _order(draw: random.Random, number: int) -> OrderV1:
    return OrderV1(
        id=ObjectId(),
        number=f"{number:010d}",
        customer=f"{_word(draw, 6)} {_word(draw, 9)}",
        email=f"{_word(draw, 8)}@{_word(draw, 8)}.example",
        address=f"{_word(draw, 18)}\n{_word(draw, 12)}, NY {draw.randrange(10_000, 99_999)}",
        placed=(_START + timedelta(minutes=draw.randrange(500_000))).isoformat(),
        status=draw.choice(("open", "packed")),
        paid=draw.random() < 0.5,
        notes=_word(draw, 80),
        lines=[_line(draw) for _ in range(LINES)],
    )


def _line(draw: random.Random) -> LineV1:
    price = str(Decimal(draw.randrange(100, 100_000)) / 100)
    return LineV1(f"{_word(draw, 3)}-{draw.randrange(10**5)}", _word(draw, 20), draw.randrange(1, 9), price, False)


def _word(draw: random.Random, length: int) -> str:
    return "".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=length)).capitalize()


def document(entity: Any) -> dict[str, Any]:
    """The document of either shape, as a hand-writer makes it."""
    made: dict[str, Any] = CONVERTER.unstructure(entity)
    made["_id"] = made.pop("id")
    return made


def entity(document: dict[str, Any], cls: type[Any]) -> Any:
    """The entity of a document, as a hand-writer makes it."""
    document["id"] = document.pop("_id")
    return CONVERTER.structure(document, cls)
