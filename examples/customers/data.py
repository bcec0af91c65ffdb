"""The 500 customers of MongoDB's `sample_analytics` data set, and as many invented ones as are wanted."""

from __future__ import annotations

import datetime as dt
from importlib.resources import files
from random import Random
from typing import Any

from bson import ObjectId, json_util

from .v2 import (
    MILLISECONDS_PER_DAY,
    CustomerV2,
    Level,
    MilitaryAddress,
    Name,
    PostOffice,
    Region,
    StreetAddress,
    Tier,
)

# What a client with default settings gives: naive datetimes in UTC.
_AS_THE_DRIVER_READS = json_util.JSONOptions(tz_aware=False)
# Ids of invented customers begin with these bytes and end in the seed, so they meet neither each other nor a real one.
_INVENTED_ID_PREFIX = b"lazy"

_FIRST_NAMES = ("Ada", "Bela", "Chidi", "Dora", "Emre", "Fatima", "Goro", "Hilda", "Ivo", "Jun")
_LAST_NAMES = ("Abara", "Brandt", "Castillo", "de la Cruz", "Eriksen", "Fujita", "Grant", "van Dyk")
_STREETS = ("Birch Lane", "Canal Street", "Harbor Road", "Mill Avenue", "Orchard Way")
_CITIES = (("Aurora", "CO"), ("Bath", "ME"), ("Casper", "WY"), ("Dayton", "OH"), ("Eugene", "OR"))
_BENEFITS = ("airline lounge access", "concert tickets", "shopping discounts", "travel insurance")
_FIRST_BIRTHDAY = dt.date(1950, 1, 1)


def load_documents() -> list[dict[str, Any]]:
    """The 500 V1 documents in the order of the file, each as a client with default settings would read it."""
    lines = files(__package__).joinpath("customers.json").read_text(encoding="utf-8").splitlines()
    return [json_util.loads(line, json_options=_AS_THE_DRIVER_READS) for line in lines]


def new_customer(seed: int) -> CustomerV2:
    """An invented customer: the same for the same `seed`, and with an id of its own for every seed (0 to 2**64 - 1)."""
    random = Random(seed)
    name = _invent_name(random)
    username = f"{name.first}{seed}".lower()
    return CustomerV2(
        id=ObjectId(_INVENTED_ID_PREFIX + seed.to_bytes(8, "big")),
        username=username,
        name=name,
        address=_invent_address(random),
        born=_FIRST_BIRTHDAY + dt.timedelta(days=random.randrange(20_000)),
        email=f"{username}@example.com",
        accounts=[random.randrange(100_000, 1_000_000) for _ in range(random.randint(1, 6))],
        tiers=[_invent_tier(random) for _ in range(random.randint(0, 3))],
        born_at_ms=random.randrange(MILLISECONDS_PER_DAY),
        active=random.random() < 0.9,
        loyalty_points=random.randrange(1_000),
    )


def _invent_name(random: Random) -> Name:
    return Name(
        first=random.choice(_FIRST_NAMES),
        last=random.choice(_LAST_NAMES),
        title=random.choice((None, None, "Dr.", "Ms.")),
        suffix=random.choice((None, None, "PhD", "Jr.")),
    )


def _invent_address(random: Random) -> StreetAddress | MilitaryAddress:
    zip_code = f"{random.randrange(100_000):05}"
    number = random.randrange(1, 10_000)
    if random.random() < 0.125:
        office, region = random.choice(list(PostOffice)), random.choice(list(Region))
        return MilitaryAddress(line=f"Unit {number:04}", office=office, region=region, zip=zip_code)
    city, state = random.choice(_CITIES)
    return StreetAddress(street=f"{number} {random.choice(_STREETS)}", city=city, state=state, zip=zip_code)


def _invent_tier(random: Random) -> Tier:
    return Tier(
        id=random.randbytes(16).hex(),
        level=random.choice(list(Level)),
        benefits=random.sample(_BENEFITS, k=random.randint(1, 2)),
        active=random.random() < 0.98,
    )
