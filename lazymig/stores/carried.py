"""How V1's documents carry the entities of one migration: as a whole, or in some of their fields.

Everything that reads or writes V1 asks this value which documents are entities, where their revision is, and which
fields belong to them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import Final

from attrs import frozen

from lazymig.stores.documents import PART_FIELD, REVISION_FIELD, make_revision_filter, parse_v1
from lazymig.stores.drivers import is_collection
from lazymig.stores.given import RawId, Store
from lazymig.stores.records import Document, Fields, StoredV1


@frozen(slots=False)
class Carried:
    """How V1's documents carry the entities of a migration.

    Attributes:
        names: The stored names of V1's attributes, if the entities are only these parts of documents that belong to
            others as well. Empty: an entity is a whole document.
        revision: The path of the entity's revision.
    """

    names: tuple[str, ...] = ()
    revision: str = REVISION_FIELD

    @classmethod
    def part(cls, migration: str, names: Sequence[str]) -> Carried:
        """Return how documents carry a migration of these fields. Several such migrations may share a collection."""
        return cls(tuple(names), f"{PART_FIELD}.{migration}")

    @property
    def is_part(self) -> bool:
        """Whether an entity is a part of a document."""
        return bool(self.names)

    @cached_property
    def selection(self) -> Document:
        """The filter for documents that hold an entity; empty where each does. A null value counts as present."""
        return {"$or": [{name: {"$exists": True}} for name in self.names]} if self.names else {}

    @cached_property
    def fields(self) -> Fields | None:
        """The projection on what belongs to the entity, with all migrations' revisions; None for whole documents."""
        return dict.fromkeys((*self.names, PART_FIELD, REVISION_FIELD), 1) if self.names else None

    @cached_property
    def parse(self) -> Callable[[Document], StoredV1]:
        """Return a document of V1, as the driver returned it, with its revision."""
        return partial(parse_v1, path=self.revision) if self.names else parse_v1

    def holds(self, document: Document) -> bool:
        """Return whether the document holds an entity."""
        return not self.names or any(name in document for name in self.names)

    def select(self, where: Document) -> Document:
        """Return the filter for entities that match `where`."""
        if not self.names:
            return where
        return {"$and": [where, self.selection]} if where else self.selection

    def match_living(self, id: RawId, left: int | None = None) -> Document:
        """Return the filter for an entity, at another revision than `left` if one is given."""
        where = {"_id": id, **self.selection}
        return where if left is None else {**where, "$nor": [make_revision_filter(id, left, path=self.revision)]}

    def guard(self, id: RawId, revision: int, within: Sequence[str] = (), held: Document | None = None) -> Fields:
        """Return the filter for an entity at this revision; see `make_revision_filter`."""
        where = make_revision_filter(id, revision, within, held, self.revision)
        # Without this, a write would give back a part of an entity that another program has removed.
        return _and(where, self.selection) if self.names else where

    def guard_change(
        self,
        id: RawId,
        revision: int,
        changed: Document,
        vanished: Sequence[str],
        within: Sequence[str] = (),
        held: Document | None = None,
    ) -> Fields:
        """Return the filter for an update of an entity at this revision, after which the entity still exists."""
        where = self.guard(id, revision, within, held)
        gone = set(vanished)
        if gone.isdisjoint(self.names) or not changed.keys().isdisjoint(self.names):
            return where
        return _and(where, {"$or": [{name: {"$exists": True}} for name in self.names if name not in gone]})

    def guard_vacancy(self, id: RawId, revision: int | None = None) -> Fields:
        """Return the filter for a document that can take an entity, at this revision if one is given.

        A revision that is left there must be lower: the seal raises it, so that no late insert gets in.
        """
        taken: list[Fields] = [{name: {"$exists": True}} for name in self.names]
        if revision is not None:
            taken.append({self.revision: {"$gte": revision}})
        return {"_id": id, "$nor": taken}

    def deletion(self, revision: int) -> Fields:
        """Return the update that deletes an entity at this revision from its document.

        An entity that never had a revision gets null for one: other programs remove fields too, and V1's change stream
        must show whose removal it was.
        """
        if revision:
            return self.removal()
        return {"$unset": dict.fromkeys(self.names, ""), "$set": {self.revision: None}}

    def removal(self) -> Fields:
        """Return the update that removes the entity and its revision from its document."""
        return {"$unset": dict.fromkeys((*self.names, self.revision), "")}


def _and(where: Fields, more: Document) -> Fields:
    return {**where, "$and": [*where.get("$and", ()), more]}


#: An entity is a whole document.
WHOLE: Final = Carried()


def carried_of(store: Store) -> Carried:
    """Return how the documents of a store carry entities. Those of a plain collection, and of V2, are entities."""
    if is_collection(store):
        return WHOLE  # of which every attribute would be another collection
    found: Carried = getattr(store, "carried", WHOLE)
    return found
