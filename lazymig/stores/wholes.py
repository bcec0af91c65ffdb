"""The port of the layout in which one document carries both shapes. One method is one statement.

Each docstring lists a method's obligations in order, and `tests/contract/` tests each of them on every driver. A lost
race is a return value. Driver errors pass through unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from lazymig.stores.given import RawId
from lazymig.stores.keyset import Order
from lazymig.stores.raw import Undecoded
from lazymig.stores.records import Document, Filled, StoredWhole, WholeChange


class Wholes(Protocol):
    """Documents that carry both shapes. MongoDB changes one document atomically, so nothing is announced."""

    async def find(self, id: RawId) -> StoredWhole | None:
        """Find one document with read concern majority or above: what it holds cannot be rolled back."""

    async def find_local(self, id: RawId) -> StoredWhole | None:
        """Find one document as the primary has it now: for writes, whose compare-and-set decides whether it holds."""

    async def confirm_missing(self, id: RawId) -> bool:
        """Wait until the majority has what the primary has now; return whether that is no document. Change nothing."""

    async def find_many(self, ids: Sequence[RawId]) -> dict[RawId, StoredWhole]:
        """Find these documents with read concern majority, a thousand per statement; missing ids are left out."""

    async def insert(self, id: RawId, document: Document, meta: Document) -> bool:
        """Insert a document durably. False: the id is taken, and nothing was written."""

    async def change(self, change: WholeChange) -> bool:
        """Set and unset fields of one document, and its meta data, durably, if it is as it was seen.

        False: another writer of lazymig changed it, or it has another value than `held` says, or no sub-document at one
        of the paths `within`; nothing was written.
        """

    async def fill(self, change: WholeChange) -> Filled:
        """Store the V2 part of a document, if it is as it was seen. It need not be durable: it can be made again."""

    async def fill_each(self, changes: Sequence[WholeChange], *, durable: bool = False) -> Filled:
        """*Fill* many by one unordered statement. One that the driver or the server refuses stops no other.

        `durable` waits for the majority: a sweep's checkpoint must not be ahead of what is durably stored.
        """

    async def delete(self, seen: StoredWhole, revision: int | None = None, held: Document | None = None) -> bool:
        """Delete one document durably, if it is at the revision that was seen, with the values that are held.

        False: it is not as it was seen, or another writer changed it meanwhile; it was not deleted. With a `revision`
        of the deleter's own, it may be given that first, to share statements with other deletes, and keep it where it
        is not deleted. Two such deletes can make each other fail, and the server may refuse the revision, which is also
        False; one without it fails only where another write is done.
        """

    def question(self, criteria: Document) -> Document:
        """Encode a caller's filter as the caller's client would. Raises what that client raises."""

    async def page(
        self, question: Document, order: Order, limit: int, after: Document | None = None
    ) -> Undecoded[StoredWhole]:
        """Find the page after a document, with read concern majority."""

    async def count(self, criteria: Document, *, moved: bool = False) -> int:
        """Count the documents that match. `moved`: without those that `upgrade` gave no V2 part."""

    async def unmoved(self, why: str, limit: int, after: RawId = None) -> list[StoredWhole]:
        """Find the meta data of documents without a V2 part, waiting or left, after this id, in the order of ids."""

    async def ensure_unmoved_index(self) -> None:
        """Create the sparse index that finds and counts documents without a V2 part by decision."""
