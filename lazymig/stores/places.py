"""Where V1 can take an entity: what `Truth` is asked where entities are parts of documents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

from attrs import frozen

from lazymig.stores.given import RawId


@frozen
class Place:
    """What stands in V1 where an insert was refused.

    Attributes:
        stands: Whether there is a document that the entity can be stored in.
        held: Whether it holds an entity.
        revision: The revision that is left there, of an entity that it held before.
    """

    stands: bool
    held: bool
    revision: int = 0


#: The place of an entity that is a document: an insert is refused only because the document exists.
TAKEN: Final = Place(stands=True, held=True)


class Places(Protocol):
    """The documents that hold entities, or can."""

    async def find_place(self, id: RawId) -> Place:
        """Find out why an insert was refused, as the primary has it now. Where entities are documents: it is taken.

        Where they are parts of documents, there is no document, or it holds an entity, or a revision that is left of
        one is not below the insert's.
        """

    async def confirm_no_place(self, id: RawId) -> bool:
        """Wait until the majority has what the primary has now; return whether that is no document. Change nothing."""

    async def bar(self, revisions: Mapping[RawId, int]) -> list[RawId]:
        """Refuse inserts at these revisions or lower ones from now on, durably, where V1 holds no entity.

        Returns the ids that this cannot be done for, because there is no document. Where entities are documents, this
        does nothing: V1's fence refuses all inserts.
        """
