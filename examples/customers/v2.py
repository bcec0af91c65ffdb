"""V2: the customers as the service wishes to have them.

Every V2 value that can be built can be said in V1 too: the validators refuse what V1's free text could not give back
(a city with a line break, a first name of two words). No message repeats the value it refuses.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from enum import Enum
from typing import Any, Literal

from attrs import field, frozen
from bson import ObjectId

from .texts import SUFFIXES, TITLES
from .v1 import USUAL_KEY_ORDER

MILLISECONDS_PER_DAY = 86_400_000

Validator = Callable[[Any, Any, Any], None]


def _matching(pattern: str, expectation: str) -> Validator:
    """A validator like attrs' own `matches_re`, whose message would show the customer's data."""
    compiled = re.compile(pattern)

    def validate(_instance: object, attribute: Any, value: str) -> None:
        if compiled.fullmatch(value) is None:
            raise ValueError(f"{attribute.name} must be {expectation}")

    return validate


def _one_of(known: frozenset[str]) -> Validator:
    def validate(_instance: object, attribute: Any, value: str | None) -> None:
        if value is not None and value not in known:
            raise ValueError(f"{attribute.name} must be absent or one of: {', '.join(sorted(known))}")

    return validate


_one_line = _matching(r"[^\n]+", "one line of text")
_five_digits = _matching(r"[0-9]{5}", "five digits")


@frozen
class Name:
    """A personal name. `first` is one word; `last` may be several, separated by single spaces."""

    first: str = field(validator=_matching(r"[^ ]+", "one word"))
    last: str = field(validator=_matching(r"[^ ]+( [^ ]+)*", "words separated by single spaces"))
    title: str | None = field(default=None, validator=_one_of(TITLES))
    suffix: str | None = field(default=None, validator=_one_of(SUFFIXES))

    def __attrs_post_init__(self) -> None:
        # "Miss Moneypenny Jones" without a title would be read back as a title and a shorter name.
        if self.title is None and self.first in TITLES:
            raise ValueError("first is a title: give it as the title")
        if self.suffix is None and self.last.split(" ")[-1] in SUFFIXES:
            raise ValueError("last ends in a suffix: give it as the suffix")


@frozen
class StreetAddress:
    """A civilian address in the United States."""

    street: str = field(validator=_one_line)
    city: str = field(validator=_one_line)
    state: str = field(validator=_matching(r"[A-Z]{2}", "two capital letters"))
    zip: str = field(validator=_five_digits)
    kind: Literal["street"] = "street"


class PostOffice(Enum):
    """Who carries the mail: Army and Air Force, fleet, or diplomatic post office."""

    ARMY = "APO"
    FLEET = "FPO"
    DIPLOMATIC = "DPO"


class Region(Enum):
    """The military's stand-in for a state."""

    AMERICAS = "AA"
    EUROPE = "AE"
    PACIFIC = "AP"


@frozen
class MilitaryAddress:
    """An address of the armed forces; `line` is the unit, the PSC and box, or the ship."""

    line: str = field(validator=_one_line)
    office: PostOffice
    region: Region
    zip: str = field(validator=_five_digits)
    kind: Literal["military"] = "military"


class Level(Enum):
    """The levels of a tier, lowest first."""

    BRONZE = "Bronze"
    SILVER = "Silver"
    GOLD = "Gold"
    PLATINUM = "Platinum"


def _unusual_order(_instance: object, attribute: Any, value: list[str] | None) -> None:
    if value is not None and (sorted(value) != sorted(USUAL_KEY_ORDER) or tuple(value) == USUAL_KEY_ORDER):
        raise ValueError(f"{attribute.name} must be absent or an unusual order of: {', '.join(USUAL_KEY_ORDER)}")


@frozen
class Tier:
    """A tier that a customer holds. `v1_key_order` is how V1 spells this entry, where it does not do so as usual."""

    id: str
    level: Level
    benefits: list[str]
    active: bool
    v1_key_order: list[str] | None = field(default=None, validator=_unusual_order)


def _within_a_day(_instance: object, attribute: Any, value: int) -> None:
    if not 0 <= value < MILLISECONDS_PER_DAY:
        raise ValueError(f"{attribute.name} must be at least 0 and less than {MILLISECONDS_PER_DAY}")


def _distinct_ids(_instance: object, _attribute: object, value: list[Tier]) -> None:
    # V1 keeps the tiers in a map by id: of two with one id it would keep the last.
    if len({tier.id for tier in value}) < len(value):
        raise ValueError("tiers must have distinct ids")


@frozen
class CustomerV2:
    """A customer in the V2 collection.

    - `born` and `born_at_ms`: V1's `birthdate` is a moment; the day is what V2's readers want, and the milliseconds
      since midnight UTC are kept beside it because V1 must get them back.
    - `active`: a V1 document that says nothing is an active customer.
    - `v1_states_active`: whether V1's document says "active" in so many words. Meaningless while `active` is false,
      which V1 always says; it makes an active customer's document come back with or without the key, as it was.
    - `loyalty_points`: new in V2; V1 has no place for it.
    """

    id: ObjectId
    username: str
    name: Name
    address: StreetAddress | MilitaryAddress
    born: dt.date
    email: str
    accounts: list[int]
    tiers: list[Tier] = field(validator=_distinct_ids)
    born_at_ms: int = field(default=0, validator=_within_a_day)
    active: bool = True
    v1_states_active: bool = False
    loyalty_points: int = 0
