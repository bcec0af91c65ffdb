"""The port of V2 once it is the only truth. `ports.py` says what ports are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from lazymig.errors import ForeignDocument
from lazymig.stores.given import RawId
from lazymig.stores.keyset import Order
from lazymig.stores.raw import Undecoded
from lazymig.stores.records import Document, StoredV2


class Alone(Protocol):
    """V2 as the only truth: V1, open announcements and the revisions of conversions are ignored."""

    async def find(self, id: RawId) -> StoredV2 | None:
        """Find one document with read concern majority or above: what it holds cannot be rolled back."""

    async def find_local(self, id: RawId) -> StoredV2 | None:
        """Find one document as the primary has it now: for writes, whose guard decides whether it holds."""

    async def find_many(self, ids: Sequence[RawId]) -> dict[RawId, StoredV2 | ForeignDocument]:
        """Find these documents with read concern majority; missing ids are left out, foreign ones become errors."""

    async def confirm_missing(self, id: RawId) -> bool:
        """Wait until the majority has what the primary has now; return whether that is no body. Change nothing."""

    async def insert(self, id: RawId, body: Document, revision: int) -> bool:
        """Insert a clean document at this revision, durably. False: the id is taken, and nothing was written."""

    async def replace(self, seen: StoredV2, body: Document) -> bool:
        """Store this body at an unused revision above the announced ones, durably, if the document is as it was seen.

        Nothing of an earlier body remains, and no announcement stays open. False: V2 has changed; nothing was written.
        """

    async def bury(self, seen: StoredV2, *, again: bool = False) -> bool:
        """Store a tombstone at an unused revision above the announced ones, durably, if the document is as it was seen.

        False: V2 has changed. Where no process knows V1, it is removed, if not `again` by way of that revision.
        """

    async def bury_each(self, seen: Sequence[StoredV2]) -> int:
        """*Bury* many by one unordered statement, durably; return how many were as they were seen."""

    def question(self, criteria: Document) -> Document:
        """Encode a caller's filter as the caller's client of V2 would. Raises what that client raises."""

    async def page(
        self, question: Document, order: Order, limit: int, after: Document | None = None
    ) -> Undecoded[StoredV2 | ForeignDocument]:
        """Find the page of bodies after a document, with read concern majority; what is gone is left out."""

    async def count(self, criteria: Document) -> int:
        """Count the bodies that match, with read concern majority."""
