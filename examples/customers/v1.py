"""V1: the customers as they have always been stored, field for field and key for key."""

from __future__ import annotations

import datetime as dt

from attrs import field, frozen
from bson import ObjectId

USUAL_KEY_ORDER = ("tier", "benefits", "active", "id")


def _names_each_key_once(_instance: object, _attribute: object, value: tuple[str, ...]) -> None:
    if sorted(value) != sorted(USUAL_KEY_ORDER):
        raise ValueError("key_order must name each key of a tier exactly once")


@frozen
class TierDetails:
    """One entry of the map `tier_and_details`; its key in the map is its `id` again.

    `key_order` is not stored: it is the order in which the document spells the four keys. Of the 456 entries one
    has its own order, and BSON compares embedded documents key by key, so writing it back in another order would be
    a change that nobody asked for.
    """

    tier: str
    benefits: list[str]
    active: bool
    id: str
    key_order: tuple[str, ...] = field(default=USUAL_KEY_ORDER, validator=_names_each_key_once)


@frozen
class CustomerV1:
    """A customer in the V1 collection. `birthdate` is naive UTC with milliseconds, as the driver gives it.

    `active` is `None` when the document has no such key, which is so in all but one of them.
    """

    id: ObjectId
    username: str
    name: str
    address: str
    birthdate: dt.datetime
    email: str
    # Keyword-only, so that it may have a default and yet stand where the document has it.
    active: bool | None = field(default=None, kw_only=True)
    accounts: list[int]
    tier_and_details: dict[str, TierDetails]
