"""The port of the seal's fences, and how a fence is written into a collection's validator.

A fence stands beside the user's own validator: `{$and: [<the user's>, <a note>, <the rule>]}`. The note holds for every
document and says what was there, so that anybody can restore it, also after a crash.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final, Literal, Protocol

import bson
from attrs import evolve, field, frozen
from bson.raw_bson import RawBSONDocument
from pymongo.errors import OperationFailure

from lazymig.stores.documents import META_FIELD
from lazymig.stores.records import Document

Side = Literal["v1", "v2"]

#: What each side's fence demands of a document that is stored. V2 refuses announcements, and nothing else: they alone
#: raise the intent above the revision. Where `_lazymig` is missing, both are, and missing is not greater than missing.
#: V1 refuses every insert and update. MongoDB does not validate deletes.
RULES: Final[Mapping[Side, Document]] = {
    "v1": {"_id": {"$exists": False}},
    "v2": {"$expr": {"$lte": [f"${META_FIELD}.intent", f"${META_FIELD}.rev"]}},
}
_ALWAYS: Document = {"_id": {"$exists": True}}
#: The field of the note. No document has it.
_NOTE = "_lazymig_fence"
_REFUSED = 121


class Ability(enum.StrEnum):
    """Whether a fence stands, or can be put up."""

    STANDS = "stands"
    #: It does not stand, and nothing is known that speaks against it.
    OPEN = "open"
    #: This user may not change validators.
    FORBIDDEN = "forbidden"
    #: The collection does not exist.
    ABSENT = "absent"
    #: In memory there are no validators.
    IN_MEMORY = "in memory"
    #: The server does not know validators, or not for this kind of collection.
    UNSUPPORTED = "unsupported"
    #: The collection was not free within the time: a transaction is open on it.
    BUSY = "busy"
    #: The user's validator lets documents that it refuses be changed, and there are such documents.
    LOOSE = "loose"


@frozen
class Barrier:
    """What is known of one fence.

    Attributes:
        side: "v1" or "v2".
        name: Database and collection.
        ability: Whether it stands or can be put up.
        key: Who put it up, where it stands.
    """

    side: Side
    name: str
    ability: Ability
    key: str = ""

    @property
    def stands(self) -> bool:
        """Whether the fence stands."""
        return self.ability is Ability.STANDS

    @property
    def lasting(self) -> bool:
        """Whether it cannot be put up, and trying again later does not help."""
        return self.ability not in (Ability.STANDS, Ability.OPEN, Ability.BUSY)

    @property
    def why(self) -> str:
        """Why it does not stand and what to do, in one sentence."""
        return f"{self.side}: {self.name} {_WHY[self.ability]}"


_WHY: Final[Mapping[Ability, str]] = {
    Ability.STANDS: "is fenced",
    Ability.OPEN: "is not fenced",
    Ability.FORBIDDEN: "cannot be fenced, because this user may not change its validator; grant the action collMod "
    "(the role dbAdmin has it)",
    Ability.ABSENT: "cannot be fenced, because it does not exist; create it",
    Ability.IN_MEMORY: "cannot be fenced: in memory there are no validators",
    Ability.UNSUPPORTED: "cannot be fenced, because the server does not take a validator for it",
    Ability.BUSY: "was not free in time for a change of its validator; a transaction or another operation holds it, so "
    "try again",
    Ability.LOOSE: 'has a validator of validationLevel "moderate" and documents that do not satisfy it, which a fence '
    "would make unchangeable; correct them, or remove the validator",
}


@frozen
class Fencing:
    """A fence as it was found in a collection's options, and the user's own settings beside it."""

    side: str
    key: str
    own: Own


def find_fencing(options: Document) -> Fencing | None:
    """Find lazymig's fence in the options that `listCollections` returned for a collection; None without one."""
    parts = options.get("validator", {}).get("$and")
    if not isinstance(parts, list) or len(parts) != 3:
        return None
    kept, note, _ = parts
    values = _plain(note).get(_NOTE, {})
    if not isinstance(values, Mapping) or len(values.get("$nin", ())) != 4:
        return None
    side, key, level, action = map(str, values["$nin"])
    own = Own(kept, level, action)
    return Fencing(side, key, evolve(own, validator=kept["$or"][0]) if own.is_loose else own)


def strip_fence(options: Document) -> Document:
    """Return the options as they were before the fence was put up; those without a fence as they are."""
    found = find_fencing(options)
    if found is None:
        return options
    return {**options, **found.own.arguments}


def is_refused_by_fence(error: BaseException) -> bool:
    """Whether the server says, as it does since MongoDB 5.0, that a fence refused the document."""
    if not isinstance(error, OperationFailure) or error.code != _REFUSED:
        return False
    return any(rule in _list_unsatisfied((error.details or {}).get("errInfo")) for rule in RULES.values())


def _list_unsatisfied(info: object) -> list[Document]:
    """List the conditions that a refused document does not satisfy. The values of the document are left out."""
    if isinstance(info, list):
        return [one for inner in info for one in _list_unsatisfied(inner)]
    if not isinstance(info, Mapping):
        return []
    if "specifiedAs" in info:
        return [_plain(info["specifiedAs"])]
    inner = (info[name] for name in ("details", "clausesNotSatisfied") if name in info)
    return [one for part in inner for one in _list_unsatisfied(part)]


@frozen
class Own:
    """A collection's validator and how it is enforced."""

    validator: Document = field(factory=dict)
    level: str = "strict"
    action: str = "error"

    @classmethod
    def of(cls, options: Document) -> Own:
        """Return what these options say, without a fence that stands in them."""
        own = strip_fence(options)
        level, action = own.get("validationLevel", "strict"), own.get("validationAction", "error")
        return cls(own.get("validator", {}), level, action)

    @property
    def is_loose(self) -> bool:
        """Whether the server takes documents that the validator refuses."""
        return self.level == "off" or self.action == "warn"

    @property
    def arguments(self) -> Document:
        """The arguments of `collMod`."""
        return {"validator": self.validator, "validationLevel": self.level, "validationAction": self.action}

    def fenced(self, side: Side, key: str) -> Own:
        """Return this with the fence beside it. What was not enforced is kept and still is not."""
        note = {_NOTE: {"$nin": [side, key, self.level, self.action]}}
        kept = {"$or": [self.validator, _ALWAYS]} if self.is_loose else self.validator
        return Own({"$and": [kept, note, RULES[side]]}, "strict", "error")


def _plain(value: object) -> Document:
    """Return a part of a reply, decoded."""
    if isinstance(value, RawBSONDocument):
        decoded: Document = bson.decode(value.raw)
        return decoded
    return value if isinstance(value, Mapping) else {}


class Fence(Protocol):
    """A validator by which the server refuses what a later phase does not allow: V2 announcements, V1 all but deletes.

    The user's own validator holds beside it as before, and is restored exactly. Each method returns what is known of
    the fence then, also where the server or this user cannot change it; other driver errors pass through.
    """

    async def look(self) -> Barrier:
        """Find out whether the fence stands."""

    async def rehearse(self, within_s: float, look_s: float) -> Barrier:
        """Find out whether the fence could be put up, without changing anything.

        `look_s` bounds a look at all documents, which only a validator of validationLevel "moderate" needs.
        """

    async def put_up(self, key: str, within_s: float) -> Barrier:
        """Put the fence up under this key, or take it over, durably. No write that it refuses happens after that."""

    async def take_down(self, within_s: float, key: str | None = None) -> Barrier:
        """Restore what was there before, durably, if the fence stands; with `key`, only if it stands under this key."""
