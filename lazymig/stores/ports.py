"""The ports of the protocol: what it needs of V1, of the ledger and of V2's bodies. One method is one statement.

Each docstring lists a method's obligations in order, and `tests/contract/` tests each of them on every driver. Ports
know nothing about phases, conversions or the order of steps. A lost race is a return value. Driver errors pass.

The ledger and the bodies are two ports because the protocol does not depend on where bodies are kept. Today one class
implements both: since announcements and body share a document, one read of a clean document answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from lazymig.errors import ForeignDocument
from lazymig.stores.documents import By
from lazymig.stores.given import RawId
from lazymig.stores.keyset import Order
from lazymig.stores.places import Places
from lazymig.stores.raw import Undecoded
from lazymig.stores.records import Applied, Begun, Body, Document, Put, StoredV1, StoredV2

Paths = Sequence[str]
#: One of many repairs: the document that was seen, what to store, and the revision that it was made from.
Repair = tuple[StoredV2, Body, int]


class Truth(Places, Protocol):
    """V1, the source of truth."""

    async def find(self, id: RawId) -> StoredV1 | None:
        """Find one document with read concern majority or above: what it holds cannot be rolled back."""

    async def find_local(self, id: RawId) -> StoredV1 | None:
        """Find one document as the primary has it now: for writes, whose compare-and-set decides whether it holds."""

    async def confirm_missing(self, id: RawId, left: int | None = None) -> bool:
        """Wait until the majority has what the primary has now; return whether that is no entity. Change nothing.

        Until then a delete may be rolled back, and reads with read concern majority still find the entity: a caller
        that learns that it is missing could still read it. An entity at the revision `left` counts as none: V2's door
        does not know it. In memory nothing is sent.
        """

    async def find_many(self, ids: Sequence[RawId]) -> dict[RawId, StoredV1]:
        """Find these documents with read concern majority, a thousand per statement; missing ids are left out."""

    async def find_each(self, ids: Sequence[RawId], question: Document | None = None) -> Undecoded[StoredV1]:
        """Find these documents in any order, each decoded when it is accessed; with `question`, those that match."""

    async def find_changed(self, revisions: Mapping[RawId, int]) -> list[RawId]:
        """Find which of these entities are gone, or at another revision, with read concern majority."""

    async def insert(self, id: RawId, document: Document, revision: int) -> bool:
        """Insert an entity at this revision, durably. False: `find_place` says why; nothing was written."""

    async def compare_and_set(
        self,
        id: RawId,
        expected: int,
        revision: int,
        changed: Document,
        vanished: Paths = (),
        within: Paths = (),
        held: Document | None = None,
    ) -> bool:
        """Change one document from the expected revision to a new one, durably.

        Only `changed` fields are set and `vanished` ones unset: fields that V2 does not know stay as they are. False:
        V1 is not at the expected revision, or has no sub-document at one of the paths `within`, or has another value
        than `held` says; nothing was written.
        """

    async def delete(self, id: RawId, expected: int, announced: StoredV2 | None = None) -> bool:
        """Delete one document at the expected revision, durably. False: it is not there. See `AnnouncedDelete`."""

    def question(self, criteria: Document) -> Document:
        """Encode a caller's filter as the caller's client would, with its types and its form of UUIDs.

        Raises what that client raises for a value that BSON cannot hold.
        """

    async def page(
        self,
        question: Document,
        order: Order,
        limit: int,
        after: Document | None = None,
        fields: Iterable[str] | None = None,
    ) -> Undecoded[StoredV1]:
        """Find the page after a document, with read concern majority: these fields and the revision, or all fields."""

    async def count(self, criteria: Document, among: Sequence[RawId] | None = None) -> int:
        """Count the documents that match, all of them or those of these entities."""


class Ledger(Protocol):
    """The announcements of writes, and their outcomes."""

    async def now(self) -> datetime:
        """Return the time that marks are written with: the server's, or in memory that of the repository's clock."""

    async def ticket(self, id: RawId) -> StoredV2:
        """Announce a write, durably: raise the intent by one and return the whole document after that.

        Where V2 has no document, insert a placeholder.
        """

    async def begin_ticket(self, id: RawId) -> Begun:
        """Begin to announce a write as `ticket` does, and return as soon as it is known what V2 will be after that."""

    async def vacant_ticket(self, id: RawId, step: int = 1) -> StoredV2 | None:
        """Announce an insert, durably, by `step`, where V2 holds nothing of an entity. None: it does; unchanged.

        It holds a live document, or why V1's entity has no body. Where bodies hold what V1 cannot express, remember the
        insert: earlier bodies belong to another entity.
        """

    async def raise_intent(self, id: RawId, intent: int) -> None:
        """Announce a write at this intent at least, durably, where V1 was ahead of the ticket. Never lowers.

        Does nothing where V2's body is at this revision or past it: V1 has moved on then, and the write loses its race.
        Records that it was raised: another writer's ticket may have the same number and must not be withdrawn then.
        """

    async def raise_each(self, ids: Sequence[RawId]) -> int:
        """Raise the intents of these by one, durably, for nobody's write; return how many there were.

        Documents that lazymig did not store stay as they are.
        """

    async def vacate(self, seen: StoredV2, ticket: int) -> bool:
        """Remove the body and announce an insert at this ticket, durably, if the document is as it was seen.

        Steps of earlier announcements then come too late. False: V2 has changed; nothing was done.
        """

    async def forget_insert(self, id: RawId, ticket: int) -> None:
        """Forget the insert announced at this ticket: its id was taken, so it made no new entity."""

    async def withdraw(self, seen: StoredV2, step: int = 1, *, missing: bool = False) -> bool:
        """Take back an announcement that nothing was written for, as its ticket returned it, if it was the last one.

        V2 is as it was before; a placeholder that the ticket inserted is removed. `missing`: V1 does not hold the
        entity, so a live document stays dirty, even if a reader stored it meanwhile. False: another write was announced
        since; nothing was done.
        """

    async def purge(self, seen: StoredV2) -> bool:
        """Remove a document if it is still as it was seen. False: it has changed; nothing was removed."""

    async def marks(self, before: datetime, limit: int, after: Document | None = None) -> list[StoredV2]:
        """Find open marks and tombstones older than `before`, oldest first, by the sparse index on `at`."""

    async def open_marks(self, limit: int, after: StoredV2 | None = None) -> list[StoredV2]:
        """Find documents with an open announcement, gone or not, oldest first, by the sparse index on `at`.

        Finds the ones after this document, if one is given. Bodies are left out where they hold nothing that V1 cannot
        express.
        """

    async def ensure_mark_index(self) -> None:
        """Create the sparse index on `at`, which finds marks without a scan."""


class Bodies(Protocol):
    """V2's bodies, each at a revision."""

    async def find(self, id: RawId) -> StoredV2 | None:
        """Find one document on the primary."""

    async def find_many(self, ids: Sequence[RawId]) -> dict[RawId, StoredV2 | ForeignDocument]:
        """Find these documents, a thousand per statement; missing ids are left out, foreign ones become errors."""

    async def find_each(self, ids: Sequence[RawId]) -> Undecoded[StoredV2]:
        """Find these documents in any order, each decoded when it is accessed."""

    def question(self, criteria: Document) -> Document:
        """Encode a caller's filter as the caller's client of V2 would. Raises what that client raises."""

    async def page(
        self, question: Document, order: Order, limit: int, after: Document | None = None
    ) -> Undecoded[StoredV2 | ForeignDocument]:
        """Find the page of bodies after a document, dirty ones too, as the primary has them; what is gone is left out.

        Includes the body of every write whose *apply* was acknowledged.
        """

    async def count(self, criteria: Document, without: Sequence[RawId] = ()) -> int:
        """Count the bodies that match, as the primary has them, but for those of these entities."""

    def born_clean(self, id: RawId, body: Body, revision: int, by: By) -> dict[str, Any]:
        """Return the V2 document of a lazy migration, with no write announced: clean, or why there is no body."""

    async def put_if_absent(self, id: RawId, body: Body, revision: int) -> Put:
        """Store a body for an entity that V2 does not have. LOST: another process was faster; nothing was changed."""

    async def put_many(self, documents: Sequence[Document], *, durable: bool = False) -> list[Put]:
        """*Put if absent* many documents of `born_clean` by one unordered statement; outcomes in the same order.

        `durable` waits for the majority: a sweep's checkpoint must not be ahead of what is durably stored.
        """

    async def apply(
        self,
        id: RawId,
        body: Body,
        revision: int,
        *,
        own: bool = False,
        over: StoredV2 | None = None,
        since: int | None = None,
        conv: int | None = None,
        announced: StoredV2 | None = None,
    ) -> Applied:
        """Bring V2 up to a revision: store exactly this body, or why there is none; unmark it if no write is open.

        Never lowers the intent, so no other writer's announcement is dropped. NEWER: V2 is at this revision or past it.
        The revision's writer (`own`) also overwrites a body at the same revision, since a reader's repair lacks what V1
        cannot express. A repair only goes `over` the revisions that it was made with, and is NEWER otherwise. `since`
        is V1's revision that a write started from, and `conv` the conversion revision of a body that another process
        converted. `announced` is V2's document after the writer's announcement: as long as V2 is like that, storing the
        body is cheaper.
        """

    async def apply_many(self, repairs: Sequence[Repair], *, durable: bool = True) -> list[Applied | BaseException]:
        """Apply many repairs, each over the document that was seen, by one unordered statement.

        Returns outcomes, or errors of single repairs, in the same order. APPLIED means that the server reported no
        error for the repair: it does not report which of them found V2 as it was seen. `durable` waits for the
        majority: a sweep's checkpoint must not be ahead of what is durably stored.
        """

    async def bury(
        self, id: RawId, revision: int, *, since: int | None = None, announced: StoredV2 | None = None
    ) -> Applied:
        """Bring V2 up to a delete at this revision: store a tombstone without a body.

        Never lowers the intent. NEWER: V2 is past this revision, or past the entity that was deleted. APPLIED also if
        the tombstone stands already, because a statement was done and reported as failed. `since` is V1's revision of
        that entity, or V2's where V1 had none. `announced` is as for `apply`.
        """

    async def why_refused(self, document: Document) -> tuple[str, str]:
        """Try once more to store a refused document; return the error's class and its reason, without contents.

        Two empty strings: nothing refuses it any more.
        """

    async def stale(self, where: Document, limit: int) -> list[StoredV2]:
        """Find documents that match and that an older conversion made of V1's entity, in the order of their ids.

        Bodies are left out where they hold nothing that V1 cannot express.
        """

    async def ensure_conversion_index(self) -> None:
        """Create the index on conversion revision and id, which finds older bodies without a scan."""

    async def unmoved(self, why: str, limit: int, after: RawId = None) -> list[StoredV2]:
        """Find entities that have no body by V1's revision, waiting or left, after this id, in the order of ids."""

    async def ensure_unmoved_index(self) -> None:
        """Create the sparse index that finds and counts entities without a body."""
