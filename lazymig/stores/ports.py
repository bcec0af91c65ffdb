"""The ports of the protocol: what it asks of V1, of the ledger and of V2's bodies. One method is one statement.

Each docstring lists a method's obligations in order; `tests/contract/` holds a test of each, in the same words, on
every driver. Ports know nothing of phases, conversions or the order of steps. A lost race is a return value. Driver
errors pass through unchanged.

The ledger and the bodies are two ports, for the protocol does not care where bodies are kept. One class implements
both today: a clean document answers by one read because its announcements stand beside its body.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from lazymig.errors import ForeignDocument
from lazymig.stores.documents import By
from lazymig.stores.given import RawId
from lazymig.stores.keyset import Order
from lazymig.stores.raw import Undecoded
from lazymig.stores.records import Applied, Document, Put, StoredV1, StoredV2

Paths = Sequence[str]
#: A repair of many: the document that was seen, the new body, and the revision that the body was made from.
Repair = tuple[StoredV2, Document, int]


class Truth(Protocol):
    """V1, the source of truth."""

    async def find(self, id: RawId) -> StoredV1 | None:
        """Find one document with read concern majority or above: what it holds cannot be rolled back."""

    async def find_local(self, id: RawId) -> StoredV1 | None:
        """Find one document as the primary has it now: for the write path, whose compare-and-set settles it."""

    async def confirm_missing(self, id: RawId) -> None:
        """Wait until the majority has what the primary had when a local read found no document; change nothing.

        Until then a delete may be rolled back, and reads with read concern majority still find the entity: saying
        that it is missing would contradict the next read. In memory nothing is sent.
        """

    async def find_many(self, ids: Sequence[RawId]) -> dict[RawId, StoredV1]:
        """Find these documents with read concern majority, a thousand by each statement; missing ids are left out."""

    async def find_each(self, ids: Sequence[RawId]) -> Undecoded[StoredV1]:
        """Find these documents in any order, each decoded when its turn comes."""

    async def moved_since(self, revisions: Mapping[RawId, int]) -> list[RawId]:
        """Return which of these entities are gone, or at another revision than this, with read concern majority."""

    async def insert(self, id: RawId, document: Document, revision: int) -> bool:
        """Insert a document at this revision, durably. False: the id is taken, and nothing was written."""

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
        """Move one document from the expected revision to a new one, durably.

        Only `changed` fields are set and `vanished` ones unset: what V2 does not know of stays as it is. False: V1 is
        not at the expected revision, or has no sub-document at one of the paths `within`, or another value than `held`
        says, and nothing was written.
        """

    async def delete(self, id: RawId, expected: int) -> bool:
        """Delete one document at the expected revision, durably. False: it is not there at that revision."""

    def question(self, criteria: Document) -> Document:
        """Encode a caller's filter as the caller's client would: with its types, and its form of UUIDs.

        Raises what that client raises for a value that BSON does not hold.
        """

    async def page(
        self,
        question: Document,
        order: Order,
        limit: int,
        after: Document | None = None,
        fields: Iterable[str] | None = None,
    ) -> Undecoded[StoredV1]:
        """Find one page behind a document, with read concern majority: these fields and the revision, or all."""

    async def count(self, criteria: Document) -> int:
        """Count the documents that match."""


class Ledger(Protocol):
    """Who has announced which write, and what became of it."""

    async def now(self) -> datetime:
        """Return the time by which marks are written: the server's, or in memory the repository's clock's."""

    async def ticket(self, id: RawId) -> StoredV2:
        """Announce a write, durably: raise the intent by one and return the document after that, body and all.

        Where V2 has nothing, a placeholder is made.
        """

    async def vacant_ticket(self, id: RawId, step: int = 1) -> StoredV2 | None:
        """Announce an insert, durably, by `step`, where V2 holds nothing live. None: a live document stands, unchanged.

        Where bodies hold what V1 cannot express, the insert is remembered: an earlier body belongs to another entity.
        """

    async def raise_intent(self, id: RawId, intent: int) -> None:
        """Announce a write at this intent at least, durably: V1 was ahead of the ticket. Never lowers.

        Leaves a trace, since another writer's ticket may have the same number, and must not be withdrawn then.
        """

    async def vacate(self, seen: StoredV2, ticket: int) -> bool:
        """Leave no body, and announce an insert at this ticket, durably; only over what was seen.

        What was announced before comes too late from now on. False: V2 has changed, nothing was done.
        """

    async def forget_insert(self, id: RawId, ticket: int) -> None:
        """Forget an insert: announced at this ticket, it found its id taken, and what stands is no later entity's."""

    async def withdraw(self, seen: StoredV2, step: int = 1, *, missing: bool = False) -> bool:
        """Take back an announcement, as its ticket returned it, that nothing was written for, if it was the last one.

        V2 is as it was before; a placeholder that the ticket made is removed. `missing`: V1 does not hold the entity,
        so a live document stays dirty, even if a reader brought it meanwhile. False: somebody has announced more since,
        nothing was done.
        """

    async def purge(self, seen: StoredV2) -> bool:
        """Remove a document if it is still just as it was seen. False: it has changed, nothing was removed."""

    async def marks(self, before: datetime, limit: int, after: Document | None = None) -> list[StoredV2]:
        """Find open marks and tombstones older than `before`, oldest first, from the sparse index on `at`."""

    async def ensure_mark_index(self) -> None:
        """Create the sparse index on `at`, so that marks are found without a scan."""


class Bodies(Protocol):
    """V2's bodies by revision."""

    async def find(self, id: RawId) -> StoredV2 | None:
        """Find one document on the primary."""

    async def find_many(self, ids: Sequence[RawId]) -> dict[RawId, StoredV2 | ForeignDocument]:
        """Find these documents, a thousand by each statement; missing ids are left out, foreign ones come as errors."""

    async def find_each(self, ids: Sequence[RawId]) -> Undecoded[StoredV2]:
        """Find these documents in any order, each decoded when its turn comes."""

    def born_clean(self, id: RawId, body: Document, revision: int, by: By) -> dict[str, Any]:
        """Return the document of a lazy migration by this process."""

    async def put_if_absent(self, id: RawId, body: Document, revision: int) -> Put:
        """Store a body for an entity that V2 does not know. LOST: somebody was faster, nothing was changed."""

    async def put_many(self, documents: Sequence[Document], *, durable: bool = False) -> list[Put]:
        """*Put if absent* many documents of `born_clean` by one unordered statement; outcomes in the same order.

        `durable` waits for the majority: a sweep's checkpoint must not be ahead of what is stored.
        """

    async def apply(
        self,
        id: RawId,
        body: Document,
        revision: int,
        *,
        own: bool = False,
        over: StoredV2 | None = None,
        since: int | None = None,
        conv: int | None = None,
    ) -> Applied:
        """Bring V2 up to a revision: this body exactly, without the mark if no write is open.

        Never lowers the intent, so it cannot swallow a rival's announcement. NEWER: V2 is at this revision or past it.
        Its writer (`own`) may also overwrite a body at the same one: a reader's repair lacks what V1 cannot express. A
        repair goes only `over` the revisions that it was made with (else NEWER), or nowhere. `since` is V1's revision
        that a write started from, and `conv` that of a body which another process converted.
        """

    async def apply_many(self, repairs: Sequence[Repair], *, durable: bool = True) -> list[Applied | BaseException]:
        """`apply` over what was seen for many by one unordered statement.

        `durable` waits for the majority: a sweep's checkpoint must not be ahead of what it says.

        Outcomes or own errors in the same order. APPLIED where the server has no error for it: it does not say which of
        them found V2 as it was seen.
        """

    async def bury(self, id: RawId, revision: int, *, since: int | None = None) -> Applied:
        """Make V2 a tombstone of a delete at this revision, without any body; like `apply` otherwise."""

    async def why_refused(self, document: Document) -> tuple[str, str]:
        """Ask once more to store a refused document: the error's class and its reason, in words without contents.

        Two empty strings: nothing refuses it any more.
        """

    async def stale(self, where: Document, limit: int) -> list[StoredV2]:
        """Find live documents among these whose body an older conversion made, in the order of their ids.

        Without their bodies where these hold nothing that V1 cannot express.
        """

    async def ensure_conversion_index(self) -> None:
        """Create the index on the conversion's revision and the id, by which older bodies are found without a scan."""
