"""Frozen values that pass between the floors: stored documents and the outcomes of single statements."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from attrs import frozen

Document = Mapping[str, Any]

#: The revision of a placeholder: somebody announced a write before V2 knew the entity.
PLACEHOLDER = -1


# Named tuples, for these two are made once per document of every listing, and in half the time of an attrs object.


class StoredV1(NamedTuple):
    """A V1 document and its revision (0 where the field is missing)."""

    id: Any
    revision: int
    document: Document


class StoredV2(NamedTuple):
    """A V2 document: its body, the revision that the body was made from, and the highest announced write.

    `conv` is the revision of the conversion that made the body, `inserts` the tickets of inserts that were announced
    after it, and of which V2 does not know whether V1 has them.
    """

    id: Any
    revision: int
    intent: int
    gone: bool
    at: datetime | None
    document: Document
    conv: int = 1
    inserts: tuple[int, ...] = ()

    @property
    def clean(self) -> bool:
        """Live, and no announced write is open: by the invariant, V1's current revision."""
        return self.revision == self.intent and not self.gone

    @property
    def clean_before_ticket(self) -> bool:
        """For the document that a ticket returned: it was clean before that ticket."""
        return self.revision == self.intent - 1 and not self.gone


class Put(enum.Enum):
    """What became of a *put if absent*."""

    STORED = enum.auto()
    #: A V2 document with this id stood already: somebody was faster.
    LOST = enum.auto()
    #: V2 refuses this body for good: a unique index other than `_id`, a validator, or its size.
    REFUSED = enum.auto()


class Applied(enum.Enum):
    """What became of an *apply*."""

    APPLIED = enum.auto()
    #: V2 holds this revision or a later one; for a repair, any other than the one that it was converted with.
    NEWER = enum.auto()
    #: V2 refuses this body for good: a unique index other than `_id`, a validator, or its size.
    REFUSED = enum.auto()


@frozen
class Partition:
    """A range of V1's ids within one bracket of BSON types: `low` < id <= `high`, None for an open end."""

    bracket: str
    low: Any
    high: Any


@frozen
class DeadLetter:
    """An entity that could not be moved and needs a person. Holds no document contents."""

    migration: str
    id: Any
    #: V1's revision at the last attempt.
    revision: int
    #: "read" when V1's document does not fit its class, "upgrade" when it does not convert, "downgrade" when a heal
    #: cannot write it back, "store" when V2 refuses the body.
    direction: str
    #: The error's class.
    error: str
    message: str
    #: The field, "" when unknown.
    path: str
    first_at: datetime | None = None
    last_at: datetime | None = None
    attempts: int = 0
    #: The reason for which a person accepted it.
    waived: str | None = None
    #: The innermost line of the user's code that raised, as `model.py:61 in upgrade`; "" when unknown.
    line: str = ""
