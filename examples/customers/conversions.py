"""The two conversions between `CustomerV1` and `CustomerV2`.

They keep these promises, for every value that either class admits:

- `downgrade(upgrade(v1, anything)) == v1`: what nobody changed comes back as it was, to the byte;
- `upgrade(downgrade(v2), v2) == v2`: a trip through V1 loses nothing that V2 knows.

What V1's free text does not let them read is refused with `ValueError`, whose message never repeats the text.
"""

from __future__ import annotations

from typing import Any

from .texts import address_parts, format_address, format_name, joined_moment, name_parts, split_moment
from .v1 import USUAL_KEY_ORDER, CustomerV1, TierDetails
from .v2 import CustomerV2, Level, MilitaryAddress, Name, PostOffice, Region, StreetAddress, Tier


def upgrade(v1: CustomerV1, previous: CustomerV2 | None = None) -> CustomerV2:
    """The V2 form of `v1`; `previous` is the V2 entity that stood before, for what V1 cannot say.

    Raises `ValueError`, without contents, when a part of `v1` has none of the known forms.
    """
    born, born_at_ms = split_moment(v1.birthdate)
    return CustomerV2(
        id=v1.id,
        username=v1.username,
        name=parse_name(v1.name),
        address=parse_address(v1.address),
        born=born,
        email=v1.email,
        accounts=v1.accounts,
        tiers=[_upgrade_tier(key, details) for key, details in v1.tier_and_details.items()],
        born_at_ms=born_at_ms,
        active=v1.active is not False,
        v1_states_active=states_active(v1, previous),
        loyalty_points=0 if previous is None else previous.loyalty_points,
    )


def downgrade(v2: CustomerV2) -> CustomerV1:
    """The V1 form of `v2`. It needs no look at the current V1 document: V2 carries all that V1 must get back."""
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


def parse_name(text: str) -> Name:
    """The parts of "Dr. Gloria Diaz DDS". Raises `ValueError` when no first and last name remain."""
    return Name(**name_parts(text))  # type: ignore[arg-type]


def parse_address(text: str) -> StreetAddress | MilitaryAddress:
    """Read a two-line address. Raises `ValueError` when it is neither a military nor a street address."""
    parts = address_parts(text)
    if "office" not in parts:
        return StreetAddress(**parts)  # type: ignore[arg-type]
    office, region = PostOffice(parts["office"]), Region(parts["region"])
    return MilitaryAddress(line=parts["line"], office=office, region=region, zip=parts["zip"])


def states_active(v1: Any, previous: Any) -> bool:
    """Whether V1's document says in so many words whether the customer is active, while V2's says that it is."""
    # An inactive customer always states it; whether it did so while active is for the previous entity to remember.
    if v1.active is False and previous is not None and not previous.active:
        stated: bool = previous.v1_states_active
        return stated
    return v1.active is not None


def level_of(key: str, details: Any) -> Level:
    """The level of a tier. Raises `ValueError` when V2 has no place for it."""
    if key != details.id:
        raise ValueError("tier_and_details has an entry whose key is not its id")
    if details.tier not in {level.value for level in Level}:
        raise ValueError("tier_and_details has an entry of unknown level")
    return Level(details.tier)


def own_order(details: Any) -> list[str] | None:
    """The order of a tier's keys, where it is unusual."""
    return None if details.key_order == USUAL_KEY_ORDER else list(details.key_order)


def _upgrade_tier(key: str, details: TierDetails) -> Tier:
    return Tier(
        id=key,
        level=level_of(key, details),
        benefits=details.benefits,
        active=details.active,
        v1_key_order=own_order(details),
    )


def _downgrade_tier(tier: Tier) -> TierDetails:
    return TierDetails(
        tier=tier.level.value,
        benefits=tier.benefits,
        active=tier.active,
        id=tier.id,
        key_order=tuple(tier.v1_key_order or USUAL_KEY_ORDER),
    )
