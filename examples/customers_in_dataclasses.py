"""The customers of `examples/customers` as dataclasses: the same documents, to the byte.

The texts of V1 are read by the same functions; what follows is what a service declares and converts by itself.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from bson import ObjectId

from examples.customers.conversions import level_of, own_order, states_active
from examples.customers.migration import make_v1_converter
from examples.customers.texts import address_parts, format_address, format_name, joined_moment, name_parts, split_moment
from examples.customers.v1 import USUAL_KEY_ORDER
from examples.customers.v2 import MILLISECONDS_PER_DAY, Level, PostOffice, Region
from lazymig import Migration


@dataclass(frozen=True, slots=True)
class TierDetails:
    """One entry of V1's map; `key_order` is not stored: it is the order of the keys in the document."""

    tier: str
    benefits: list[str]
    active: bool
    id: str
    key_order: tuple[str, ...] = USUAL_KEY_ORDER


@dataclass(frozen=True, slots=True)
class CustomerV1:
    """A customer in the V1 collection. `active` is `None` where the document has no such key."""

    id: ObjectId
    username: str
    name: str
    address: str
    birthdate: dt.datetime
    email: str
    active: bool | None = field(default=None, kw_only=True)
    accounts: list[int]
    tier_and_details: dict[str, TierDetails]


@dataclass(frozen=True, slots=True)
class Name:
    """A personal name."""

    first: str
    last: str
    title: str | None = None
    suffix: str | None = None

    def __post_init__(self) -> None:
        # What V1's text would not give back as it is.
        if name_parts(format_name(self)) != {name: getattr(self, name) for name in self.__slots__}:
            raise ValueError("a name has one first name, and no title or suffix in its other parts")


@dataclass(frozen=True, slots=True)
class StreetAddress:
    """A civilian address in the United States."""

    street: str
    city: str
    state: str
    zip: str
    kind: Literal["street"] = "street"


@dataclass(frozen=True, slots=True)
class MilitaryAddress:
    """An address of the armed forces."""

    line: str
    office: PostOffice
    region: Region
    zip: str
    kind: Literal["military"] = "military"


@dataclass(frozen=True, slots=True)
class Tier:
    """A tier that a customer holds."""

    id: str
    level: Level
    benefits: list[str]
    active: bool
    v1_key_order: list[str] | None = None


@dataclass(frozen=True, slots=True)
class CustomerV2:
    """A customer in the V2 collection; what the fields mean stands in `examples/customers/v2.py`."""

    id: ObjectId
    username: str
    name: Name
    address: StreetAddress | MilitaryAddress
    born: dt.date
    email: str
    accounts: list[int]
    tiers: list[Tier]
    born_at_ms: int = 0
    active: bool = True
    v1_states_active: bool = False
    loyalty_points: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.born_at_ms < MILLISECONDS_PER_DAY:
            raise ValueError(f"born_at_ms must be at least 0 and less than {MILLISECONDS_PER_DAY}")
        if len({tier.id for tier in self.tiers}) < len(self.tiers):
            raise ValueError("tiers must have distinct ids")


def upgrade(v1: CustomerV1, previous: CustomerV2 | None = None) -> CustomerV2:
    """The V2 form of `v1`; `previous` is the V2 entity that stood before, for what V1 cannot say."""
    born, born_at_ms = split_moment(v1.birthdate)
    names: dict[str, Any] = name_parts(v1.name)
    return CustomerV2(
        id=v1.id,
        username=v1.username,
        name=Name(**names),
        address=_address(v1.address),
        born=born,
        email=v1.email,
        accounts=v1.accounts,
        tiers=[
            Tier(key, level_of(key, one), one.benefits, one.active, own_order(one))
            for key, one in v1.tier_and_details.items()
        ],
        born_at_ms=born_at_ms,
        active=v1.active is not False,
        v1_states_active=states_active(v1, previous),
        loyalty_points=0 if previous is None else previous.loyalty_points,
    )


def _address(text: str) -> StreetAddress | MilitaryAddress:
    parts: dict[str, Any] = address_parts(text)
    if "street" in parts:
        return StreetAddress(**parts)
    return MilitaryAddress(parts["line"], PostOffice(parts["office"]), Region(parts["region"]), parts["zip"])


def downgrade(v2: CustomerV2) -> CustomerV1:
    """The V1 form of `v2`, which carries all that V1 must get back."""
    return CustomerV1(
        id=v2.id,
        username=v2.username,
        name=format_name(v2.name),
        address=format_address(v2.address),
        birthdate=joined_moment(v2.born, v2.born_at_ms),
        email=v2.email,
        active=v2.active if v2.v1_states_active or not v2.active else None,
        accounts=v2.accounts,
        tier_and_details={
            tier.id: TierDetails(
                tier.level.value, tier.benefits, tier.active, tier.id, tuple(tier.v1_key_order or USUAL_KEY_ORDER)
            )
            for tier in v2.tiers
        },
    )


migration = Migration(
    name="customers",
    v1=CustomerV1,
    v2=CustomerV2,
    upgrade=upgrade,
    downgrade=downgrade,
    v1_converter=make_v1_converter(CustomerV1, TierDetails, replace),
)
