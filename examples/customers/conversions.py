"""The two conversions between `CustomerV1` and `CustomerV2`.

They keep these promises, for every value that either class admits:

- `downgrade(upgrade(v1, anything)) == v1`: what nobody changed comes back as it was, to the byte;
- `upgrade(downgrade(v2), v2) == v2`: a trip through V1 loses nothing that V2 knows.

What V1's free text does not let them read is refused with `ValueError`, whose message never repeats the text.
"""

from __future__ import annotations

import datetime as dt
import re

from .v1 import USUAL_KEY_ORDER, CustomerV1, TierDetails
from .v2 import (
    SUFFIXES,
    TITLES,
    CustomerV2,
    Level,
    MilitaryAddress,
    Name,
    PostOffice,
    Region,
    StreetAddress,
    Tier,
)

# A military second line has no comma and a street address's always has one, so no text fits both.
_MILITARY = re.compile(r"([^\n]+)\n(APO|FPO|DPO) (AA|AE|AP) ([0-9]{5})")
_STREET = re.compile(r"([^\n]+)\n([^\n]+), ([A-Z]{2}) ([0-9]{5})")
_MILLISECOND = dt.timedelta(milliseconds=1)


def upgrade(v1: CustomerV1, previous: CustomerV2 | None = None) -> CustomerV2:
    """The V2 form of `v1`; `previous` is the V2 entity that stood before, for what V1 cannot say.

    Raises `ValueError`, without contents, when a part of `v1` has none of the known forms.
    """
    born, born_at_ms = _split_birthdate(v1.birthdate)
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
        v1_states_active=_states_active(v1, previous),
        loyalty_points=0 if previous is None else previous.loyalty_points,
    )


def downgrade(v2: CustomerV2) -> CustomerV1:
    """The V1 form of `v2`. It needs no look at the current V1 document: V2 carries all that V1 must get back."""
    midnight = dt.datetime.combine(v2.born, dt.time.min)
    return CustomerV1(
        id=v2.id,
        username=v2.username,
        name=format_name(v2.name),
        address=format_address(v2.address),
        birthdate=midnight + v2.born_at_ms * _MILLISECOND,
        email=v2.email,
        active=v2.active if v2.v1_states_active or not v2.active else None,
        accounts=v2.accounts,
        tier_and_details={tier.id: _downgrade_tier(tier) for tier in v2.tiers},
    )


def parse_name(text: str) -> Name:
    """Split "Dr. Gloria Diaz DDS" into its parts. Raises `ValueError` when no first and last name remain."""
    words = text.split(" ")
    title = words.pop(0) if words[0] in TITLES else None
    suffix = words.pop() if words and words[-1] in SUFFIXES else None
    if len(words) < 2 or "" in words:
        raise ValueError("name is not a first and a last name separated by single spaces")
    return Name(first=words[0], last=" ".join(words[1:]), title=title, suffix=suffix)


def format_name(name: Name) -> str:
    """The inverse of `parse_name`."""
    return " ".join(part for part in (name.title, name.first, name.last, name.suffix) if part is not None)


def parse_address(text: str) -> StreetAddress | MilitaryAddress:
    """Read a two-line address. Raises `ValueError` when it is neither a military nor a street address."""
    if military := _MILITARY.fullmatch(text):
        line, office, region, zip_code = military.groups()
        return MilitaryAddress(line=line, office=PostOffice(office), region=Region(region), zip=zip_code)
    if street := _STREET.fullmatch(text):
        line, city, state, zip_code = street.groups()
        return StreetAddress(street=line, city=city, state=state, zip=zip_code)
    raise ValueError("address has neither of the known forms")


def format_address(address: StreetAddress | MilitaryAddress) -> str:
    """The inverse of `parse_address`."""
    if isinstance(address, MilitaryAddress):
        return f"{address.line}\n{address.office.value} {address.region.value} {address.zip}"
    return f"{address.street}\n{address.city}, {address.state} {address.zip}"


def _split_birthdate(moment: dt.datetime) -> tuple[dt.date, int]:
    midnight = dt.datetime.combine(moment, dt.time.min, tzinfo=moment.tzinfo)
    milliseconds, rest = divmod(moment - midnight, _MILLISECOND)
    if rest:
        raise ValueError("birthdate is finer than a millisecond, which is all that MongoDB stores")
    return moment.date(), milliseconds


def _states_active(v1: CustomerV1, previous: CustomerV2 | None) -> bool:
    # An inactive customer always states it; whether it did so while active is for the previous entity to remember.
    if v1.active is False and previous is not None and not previous.active:
        return previous.v1_states_active
    return v1.active is not None


def _upgrade_tier(key: str, details: TierDetails) -> Tier:
    if key != details.id:
        raise ValueError("tier_and_details has an entry whose key is not its id")
    if details.tier not in {level.value for level in Level}:
        raise ValueError("tier_and_details has an entry of unknown level")
    own_order = None if details.key_order == USUAL_KEY_ORDER else list(details.key_order)
    return Tier(
        id=key,
        level=Level(details.tier),
        benefits=details.benefits,
        active=details.active,
        v1_key_order=own_order,
    )


def _downgrade_tier(tier: Tier) -> TierDetails:
    return TierDetails(
        tier=tier.level.value,
        benefits=tier.benefits,
        active=tier.active,
        id=tier.id,
        key_order=tuple(tier.v1_key_order or USUAL_KEY_ORDER),
    )
