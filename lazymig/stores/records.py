"""Frozen values: stored documents, the outcomes of single statements, partitions and dead letters."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple, TypeAlias

from attrs import field, frozen

from lazymig.stores.given import RawId

Document = Mapping[str, Any]
#: A document, or a part of one, that its holder may change.
Fields = dict[str, Any]

#: The revision of a placeholder: a write was announced before V2 had the entity.
PLACEHOLDER = -1


@frozen
class Unmoved:
    """Why V2 holds no body of an entity that V1 holds: what `upgrade` decided about V1's revision.

    `kept` is the body that V2 held before, for an `upgrade` that takes the previous entity, and `kept_conv` the
    revision of the conversion that made it. Neither counts in comparisons.
    """

    #: "waiting" where it waits for its user, "left" where it is not taken over.
    why: Literal["waiting", "left"]
    reason: str = ""
    kept: Document | None = field(default=None, eq=False)
    kept_conv: int = field(default=1, eq=False)


#: What V2 stores at a revision of V1: a body without `_id`, or why there is none.
Body: TypeAlias = Document | Unmoved


# Named tuples: listings make one of each per document, and a named tuple is made in half the time of an attrs object.


class StoredV1(NamedTuple):
    """A V1 document and its revision, 0 where the field is missing."""

    id: RawId
    revision: int
    document: Document


class StoredV2(NamedTuple):
    """A V2 document: its body, the revision that the body was made from, and the highest announced write.

    `conv` is the revision of the conversion that made the body. `inserts` are the tickets of inserts that were
    announced after it; V2 does not know whether they reached V1. `unmoved` says why there is no body, where `upgrade`
    decided that; such a document is `gone`, and never answers without V1.
    """

    id: RawId
    revision: int
    intent: int
    gone: bool
    at: datetime | None
    document: Document
    conv: int = 1
    inserts: tuple[int, ...] = ()
    unmoved: Unmoved | None = None

    @property
    def settled(self) -> bool:
        """Whether no announced write is open, and it is V1's current revision: it is clean, or has no body by it."""
        return self.revision == self.intent and (not self.gone or self.unmoved is not None)

    def with_kept_body(self) -> StoredV2:
        """Return it with the body that it keeps for the next conversion; unchanged if it keeps none."""
        if self.unmoved is None or self.unmoved.kept is None:
            return self
        document = {"_id": self.id, **self.unmoved.kept}
        return self._replace(gone=False, document=document, conv=self.unmoved.kept_conv, unmoved=None)

    @property
    def clean(self) -> bool:
        """Whether it is live and no announced write is open. By the invariant it then is V1's current revision."""
        return self.revision == self.intent and not self.gone

    @property
    def clean_before_ticket(self) -> bool:
        """Whether the document that a ticket returned was clean before that ticket."""
        return self.revision == self.intent - 1 and not self.gone


class Begun(NamedTuple):
    """An announcement that is on its way: V2's document after it, if nothing else comes first.

    `finish` waits for it, and returns V2's document as it is then: `expected` itself where nothing came first. None: it
    is `expected`, and durable.
    """

    expected: StoredV2
    finish: Callable[[], Awaitable[StoredV2]] | None = None


class StoredWhole(NamedTuple):
    """A document that carries both shapes, and what lazymig knows of it.

    `revision` is raised by each write of lazymig. `of` is the fingerprint of the V1 part that V2's part was made from,
    None where there is no V2 part; `conv` is the revision of the conversion that made it, and `by` what stored it
    first. `alone`: the migration by which V1's part is not kept any more, and V2's is the truth; to another migration
    the document is one like any other. `lifted`: V2's part stands at the top, where it was in a sub-document before.
    `unmoved` says why there is no V2 part, where `upgrade` decided that. `known`: lazymig has written it.
    """

    id: RawId
    revision: int
    document: Document
    of: bytes | None = None
    conv: int = 1
    by: str | None = None
    alone: str | None = None
    lifted: bool = False
    unmoved: Unmoved | None = None
    known: bool = True


@frozen
class WholeChange:
    """A statement on one document that carries both shapes: what was seen, and what to set and unset.

    `meta` is lazymig's own sub-document. `held` are values that must still be there by their paths, and `within` the
    paths of sub-documents that must exist. `packed` is what is set, with `meta`, as BSON, where it is encoded already.
    """

    seen: StoredWhole
    meta: Document
    changed: Document
    vanished: Sequence[str] = ()
    held: Document | None = None
    within: Sequence[str] = ()
    packed: bytes | None = None


@frozen
class Filled:
    """The outcome of many *fills*: how many documents were as seen, and the errors of single ones by place."""

    stored: int
    refused: Mapping[int, BaseException]


class Put(enum.Enum):
    """The outcome of a *put if absent*."""

    STORED = enum.auto()
    #: V2 already had a document with this id: another process was faster.
    LOST = enum.auto()
    #: V2 will never take this body: a unique index other than `_id`, a validator, or its size.
    REFUSED = enum.auto()


class Applied(enum.Enum):
    """The outcome of an *apply*."""

    APPLIED = enum.auto()
    #: V2 holds this revision or a later one. For a repair: another revision than the one that it was converted over.
    NEWER = enum.auto()
    #: V2 will never take this body: a unique index other than `_id`, a validator, or its size.
    REFUSED = enum.auto()


@frozen
class Partition:
    """A range of V1's ids within one bracket of BSON types: `low` < id <= `high`, None for an open end."""

    bracket: str
    low: RawId
    high: RawId


@frozen
class DeadLetter:
    """An entity that could not be moved and needs a person. It contains nothing of the document.

    Attributes:
        migration: The migration's name.
        id: The entity's id.
        revision: V1's revision at the last attempt.
        direction: "read" when V1's document does not fit its class, "upgrade" when it does not convert, "downgrade"
            when V2's entity does not convert back, "store" when V2 refuses the body.
        error: The name of the exception's class.
        message: What is wrong, without contents.
        path: The field, "" when unknown.
        first_at: When the entity failed first, naive UTC.
        last_at: When it failed last.
        attempts: How often it failed.
        waived: The reason why a person accepted the failure; None while it is open.
        line: The innermost line of the user's code in the traceback, as `model.py:61 in upgrade`; "" when unknown.
    """

    migration: str
    id: RawId
    revision: int
    direction: str
    error: str
    message: str
    path: str
    first_at: datetime | None = None
    last_at: datetime | None = None
    attempts: int = 0
    waived: str | None = None
    line: str = ""
