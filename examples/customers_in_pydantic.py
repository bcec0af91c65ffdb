"""The customers of `examples/customers` as pydantic models: the same documents, to the byte.

The models are what a FastAPI service declares anyway: `examples/service` takes and answers with them as they are.
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal

from bson import ObjectId
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetPydanticSchema,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import core_schema

from examples.customers.conversions import level_of, own_order, states_active
from examples.customers.migration import make_v1_converter
from examples.customers.texts import (
    SUFFIXES,
    TITLES,
    address_parts,
    format_address,
    format_name,
    joined_moment,
    name_parts,
    split_moment,
)
from examples.customers.v1 import USUAL_KEY_ORDER
from examples.customers.v2 import MILLISECONDS_PER_DAY, Level, PostOffice, Region
from lazymig import Migration


def _object_id(value: Any) -> ObjectId:
    if not ObjectId.is_valid(value):
        raise ValueError("expected an id of 24 hexadecimal digits")
    return value if isinstance(value, ObjectId) else ObjectId(value)


def _naive_utc(moment: dt.datetime) -> dt.datetime:
    # As a client of MongoDB has them by default; in JSON they have their offset.
    try:
        return moment if moment.tzinfo is None else moment.astimezone(dt.UTC).replace(tzinfo=None)
    except OverflowError:
        raise ValueError("before the year 1 or after 9999 in UTC") from None


#: An ObjectId in documents, and its 24 digits in JSON.
Id = Annotated[
    ObjectId,
    GetPydanticSchema(
        lambda _, __: core_schema.no_info_plain_validator_function(
            _object_id, serialization=core_schema.to_string_ser_schema(when_used="json")
        )
    ),
    WithJsonSchema({"type": "string", "pattern": "^[0-9a-f]{24}$"}),
]
Moment = Annotated[
    dt.datetime,
    AfterValidator(_naive_utc),
    PlainSerializer(lambda moment: moment.isoformat(timespec="milliseconds") + "Z", when_used="json"),
]
OneLine = Annotated[str, StringConstraints(pattern=r"^[^\n]+$")]
Zip = Annotated[str, StringConstraints(pattern=r"^[0-9]{5}$")]


class Model(BaseModel):
    """What all models here have in common. An error shows no value that was refused."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)


class TierDetails(Model):
    """One entry of V1's map; `key_order` is not stored: it is the order of the keys in the document."""

    tier: str
    benefits: list[str]
    active: bool
    id: str
    key_order: SkipJsonSchema[tuple[str, ...]] = Field(default=USUAL_KEY_ORDER, exclude=True)

    @field_validator("key_order")
    @classmethod
    def _names_each_key_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if sorted(value) != sorted(USUAL_KEY_ORDER):
            raise ValueError("key_order must name each key of a tier exactly once")
        return value


class CustomerV1(Model):
    """A customer in the V1 collection. `active` is `None` where the document has no such key."""

    id: Id = Field(default_factory=ObjectId)
    username: str
    name: str
    address: str
    birthdate: Moment
    email: str
    active: bool | None = None
    accounts: list[int]
    tier_and_details: dict[str, TierDetails]


class Name(Model):
    """A personal name. `first` is one word; `last` may be several, separated by single spaces."""

    first: str = Field(pattern=r"^[^ ]+$")
    last: str = Field(pattern=r"^[^ ]+( [^ ]+)*$")
    title: str | None = None
    suffix: str | None = None

    @model_validator(mode="after")
    def _can_be_said_in_v1(self) -> Name:
        if (self.title or "Dr.") not in TITLES or (self.suffix or "MD") not in SUFFIXES:
            raise ValueError("title and suffix are of the usual ones, or absent")
        if name_parts(format_name(self)) != dict(self):
            raise ValueError("first or last has a title or a suffix in it: give it as such")
        return self


class StreetAddress(Model):
    """A civilian address in the United States."""

    street: OneLine
    city: OneLine
    state: str = Field(pattern=r"^[A-Z]{2}$")
    zip: Zip
    kind: Literal["street"] = "street"


class MilitaryAddress(Model):
    """An address of the armed forces."""

    line: OneLine
    office: PostOffice
    region: Region
    zip: Zip
    kind: Literal["military"] = "military"


class Tier(Model):
    """A tier that a customer holds."""

    id: str
    level: Level
    benefits: list[str]
    active: bool
    v1_key_order: list[str] | None = None


class CustomerV2(Model):
    """A customer in the V2 collection; what the fields mean stands in `examples/customers/v2.py`."""

    id: Id = Field(default_factory=ObjectId)
    username: str
    name: Name
    address: Annotated[StreetAddress | MilitaryAddress, Field(discriminator="kind")]
    born: dt.date
    email: str
    accounts: list[int]
    tiers: list[Tier]
    born_at_ms: int = Field(default=0, ge=0, lt=MILLISECONDS_PER_DAY)
    active: bool = True
    v1_states_active: bool = False
    loyalty_points: int = 0

    @field_validator("tiers")
    @classmethod
    def _distinct_ids(cls, tiers: list[Tier]) -> list[Tier]:
        # V1 keeps the tiers in a map by id: of two with one id it would keep the last.
        if len({tier.id for tier in tiers}) < len(tiers):
            raise ValueError("tiers must have distinct ids")
        return tiers


def upgrade(v1: CustomerV1, previous: CustomerV2 | None = None) -> CustomerV2:
    """The V2 form of `v1`; `previous` is the V2 entity that stood before, for what V1 cannot say."""
    born, born_at_ms = split_moment(v1.birthdate)
    return CustomerV2(
        id=v1.id,
        username=v1.username,
        name=Name.model_validate(name_parts(v1.name)),
        address=_address(v1.address),
        born=born,
        email=v1.email,
        accounts=v1.accounts,
        tiers=[_upgrade_tier(key, details) for key, details in v1.tier_and_details.items()],
        born_at_ms=born_at_ms,
        active=v1.active is not False,
        v1_states_active=states_active(v1, previous),
        loyalty_points=0 if previous is None else previous.loyalty_points,
    )


def _address(text: str) -> StreetAddress | MilitaryAddress:
    parts = address_parts(text)
    return (StreetAddress if "street" in parts else MilitaryAddress).model_validate(parts)


def _upgrade_tier(key: str, details: TierDetails) -> Tier:
    return Tier(
        id=key,
        level=level_of(key, details),
        benefits=details.benefits,
        active=details.active,
        v1_key_order=own_order(details),
    )


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
        tier_and_details={tier.id: _downgrade_tier(tier) for tier in v2.tiers},
    )


def _downgrade_tier(tier: Tier) -> TierDetails:
    return TierDetails(
        tier=tier.level.value,
        benefits=tier.benefits,
        active=tier.active,
        id=tier.id,
        key_order=tuple(tier.v1_key_order or USUAL_KEY_ORDER),
    )


def _with_order(details: TierDetails, key_order: tuple[str, ...]) -> TierDetails:
    return details.model_copy(update={"key_order": key_order})


migration = Migration(
    name="customers",
    v1=CustomerV1,
    v2=CustomerV2,
    upgrade=upgrade,
    downgrade=downgrade,
    v1_converter=make_v1_converter(CustomerV1, TierDetails, _with_order),
)
