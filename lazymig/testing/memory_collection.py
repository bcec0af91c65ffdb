"""An async collection in memory for exploring interleavings, where every statement is one scheduling point.

It supports the calls of PyMongo's async collections that lazymig makes, with their results and errors. It refuses
everything else with `NotImplementedError` and never guesses. `tests/unit/test_memory_collection.py` runs the same
random statements here and on a real server.

Each statement is atomic, but for `bulk_write`, of which each write is. On a server, a statement on several documents is
atomic only for each document, so code that relies on more than that seems correct here and fails there.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, MutableMapping, Sequence
from typing import Any, Self

from pymongo.errors import BulkWriteError, DuplicateKeyError, WriteError
from pymongo.results import BulkWriteResult, DeleteResult, InsertManyResult, InsertOneResult, UpdateResult

from lazymig.testing.exploration.bulk import write_in_bulk
from lazymig.testing.exploration.cursor import Document, MemoryCursor, Projection, Query
from lazymig.testing.exploration.filters import has_operators, matches
from lazymig.testing.exploration.projection import projected
from lazymig.testing.exploration.statement import Gate, Statement
from lazymig.testing.exploration.updates import Update, replaced, updated, upserted
from lazymig.testing.exploration.validation import MemoryDatabase, check_valid
from lazymig.testing.exploration.values import MISSING, freeze, fresh, order

Snapshot = tuple[dict[Hashable, Document], dict[Hashable, int], dict[str, Any]]


class MemoryCollection:
    """A collection of documents by `_id`. A write never changes a stored document in place, but stores a new one.

    Without a `gate`, each statement takes effect when it is awaited; with one, when the explorer resumes it.
    Counter-examples show `name`. `documents` are the initial contents.
    """

    takes_pipelines = True
    takes_validators = True

    def __init__(self, name: str = "memory", documents: Iterable[Query] = (), *, gate: Gate | None = None) -> None:
        self.name = name
        self.full_name = f"memory.{name}"
        self.gate = gate
        self._documents: dict[Hashable, Document] = {}
        self._numbers: dict[Hashable, int] = {}
        #: The validator and how it is enforced, as `listCollections` shows them.
        self.options: dict[str, Any] = {}
        for document in documents:
            self._put(fresh(document))

    def __bool__(self) -> bool:
        raise NotImplementedError("a collection has no truth value; compare it with None")

    def with_options(self, **_options: Any) -> Self:
        """Return this collection, since concerns and preferences have no effect in memory."""
        return self

    @property
    def database(self) -> MemoryDatabase:
        """The collection's database, for commands about the collection."""
        return MemoryDatabase(self)

    # ---- inspection from outside, without a scheduling point --------------------------------------------------------

    def documents(self) -> Iterator[Document]:
        """Return an iterator over the stored documents themselves. Do not change them."""
        return iter(self._documents.values())

    def stored(self, id: Any) -> Document | None:
        """Return the stored document with this `_id`, or None. Do not change it."""
        return self._documents.get(_key(id))

    def fingerprint(self, numbers: MutableMapping[Hashable, int]) -> tuple[int, ...]:
        """Return the contents as numbers, equal if and only if the contents are. `numbers` numbers the values."""
        for key, document in self._documents.items():
            if key not in self._numbers:
                self._numbers[key] = numbers[freeze(document)]
        rules = (-numbers[freeze(self.options)],) if self.options else ()
        return (*rules, *sorted(self._numbers.values()))

    def snapshot(self) -> Snapshot:
        """Return a copy of the contents and options for `restore`."""
        return dict(self._documents), dict(self._numbers), self.options

    def restore(self, snapshot: Snapshot) -> None:
        """Restore the contents and options that a snapshot recorded."""
        self._documents, self._numbers, self.options = dict(snapshot[0]), dict(snapshot[1]), snapshot[2]

    # ---- statements -------------------------------------------------------------------------------------------------

    def find_one(
        self, filter: Query | None = None, projection: Projection = None, *, session: Any = None, comment: Any = None
    ) -> Statement:
        """Find a copy of the first matching document, or None."""
        return Statement(self.gate, self.name, "find_one", self._find_one, filter or {}, projection)

    def find(
        self,
        filter: Query | None = None,
        projection: Projection = None,
        *,
        sort: Any = None,
        limit: int = 0,
        batch_size: int = 0,
        hint: Any = None,
        session: Any = None,
        comment: Any = None,
    ) -> MemoryCursor:
        """Return a cursor. Its first fetch is its only scheduling point, and reads all matching documents."""
        arguments = (filter or {}, projection)
        cursor = MemoryCursor(lambda read: Statement(self.gate, self.name, "find", read, *arguments), self._matching)
        cursor = cursor.limit(limit)
        return cursor.sort(sort) if sort is not None else cursor

    def count_documents(self, filter: Query, *, session: Any = None, comment: Any = None) -> Statement:
        """Count the matching documents."""
        return Statement(self.gate, self.name, "count_documents", self._count, filter)

    def insert_one(self, document: Query, *, session: Any = None, comment: Any = None) -> Statement:
        """Store one document. Raises `DuplicateKeyError` if its `_id` exists."""
        return Statement(self.gate, self.name, "insert_one", self._insert_one, document)

    def insert_many(
        self, documents: Iterable[Query], ordered: bool = True, *, session: Any = None, comment: Any = None
    ) -> Statement:
        """Store several documents. Raises `BulkWriteError` with the documents whose `_id` exists."""
        return Statement(self.gate, self.name, "insert_many", self._insert_many, list(documents), ordered)

    def update_one(
        self, filter: Query, update: Update, upsert: bool = False, *, session: Any = None, comment: Any = None
    ) -> Statement:
        """Change the first matching document. With `upsert`, insert one if none matches."""
        return Statement(self.gate, self.name, "update_one", self._update_one, filter, update, upsert)

    def replace_one(self, filter: Query, replacement: Query, *, session: Any = None, comment: Any = None) -> Statement:
        """Store another document in place of the first matching one, with its `_id`."""
        return Statement(self.gate, self.name, "replace_one", self._replace_one, filter, replacement)

    def find_one_and_update(
        self,
        filter: Query,
        update: Update,
        projection: Projection = None,
        upsert: bool = False,
        return_document: bool = False,
        *,
        session: Any = None,
        comment: Any = None,
    ) -> Statement:
        """Change the first matching document, and return it as it was before, or as it is after."""
        arguments = (filter, update, projection, upsert, return_document)
        return Statement(self.gate, self.name, "find_one_and_update", self._find_one_and_update, *arguments)

    def delete_one(self, filter: Query, *, session: Any = None, comment: Any = None) -> Statement:
        """Remove the first matching document."""
        return Statement(self.gate, self.name, "delete_one", self._delete_one, filter)

    async def bulk_write(
        self, requests: Sequence[Any], ordered: bool = True, *, session: Any = None, comment: Any = None
    ) -> BulkWriteResult:
        """Do these writes, of which every one is a scheduling point. Only unordered bulks are known."""
        if ordered:
            raise NotImplementedError("MemoryCollection knows unordered bulks only")
        return await write_in_bulk(self, requests)

    # ---- effects ----------------------------------------------------------------------------------------------------

    def _matching(self, criteria: Query) -> Iterator[Document]:
        wanted = criteria.get("_id", MISSING)
        if wanted is MISSING:
            candidates = list(self._documents.values())
        elif has_operators(wanted):
            # The server scans the index of `_id` here, and otherwise the whole collection in order of insertion.
            candidates = sorted(self._documents.values(), key=lambda document: order(document["_id"]))
        else:
            found = self._documents.get(_key(wanted))
            candidates = [] if found is None else [found]
        return (document for document in candidates if matches(document, criteria))

    def _find_one(self, criteria: Query, projection: Projection) -> Document | None:
        found = next(self._matching(criteria), None)
        return None if found is None else projected(found, projection)

    def _count(self, criteria: Query) -> int:
        return sum(1 for _ in self._matching(criteria))

    def _insert_one(self, document: Query) -> InsertOneResult:
        self._insert(fresh(document))
        return InsertOneResult(document["_id"], True)

    def _insert_many(self, documents: list[Query], ordered: bool) -> InsertManyResult:
        refused: list[Document] = []
        for index, document in enumerate(documents):
            try:
                self._insert(fresh(document))
            except WriteError as error:
                refused.append({**(error.details or {}), "index": index, "op": document})
                if ordered:
                    break
        if refused:
            tried = refused[-1]["index"] + 1 if ordered else len(documents)
            raise BulkWriteError({"writeErrors": refused, "nInserted": tried - len(refused), "writeConcernErrors": []})
        return InsertManyResult([document["_id"] for document in documents], True)

    def _update_one(self, criteria: Query, update: Update, upsert: bool) -> UpdateResult:
        before, after = self._update(criteria, update, upsert)
        if before is None:
            made = {} if after is None else {"upserted": after["_id"]}
            return UpdateResult({"n": len(made), "nModified": 0, **made}, True)
        return UpdateResult({"n": 1, "nModified": int(before is not after)}, True)

    def _replace_one(self, criteria: Query, replacement: Query) -> UpdateResult:
        before, after = self._change(criteria, lambda standing: replaced(standing, replacement))
        return UpdateResult({"n": int(before is not None), "nModified": int(before is not after)}, True)

    def _find_one_and_update(
        self, criteria: Query, update: Update, projection: Projection, upsert: bool, return_document: bool
    ) -> Document | None:
        answer = self._update(criteria, update, upsert)[int(return_document)]
        return None if answer is None else projected(answer, projection)

    def _update(self, criteria: Query, update: Update, upsert: bool) -> tuple[Document | None, Document | None]:
        found = self._change(criteria, lambda standing: updated(standing, update))
        if found[0] is not None:
            return found
        if not upsert:
            updated({}, update)  # a bad update is refused even where nothing matches
            return None, None
        after = upserted(criteria, update)
        self._insert(after)
        return None, after

    def _change(
        self, criteria: Query, change: Callable[[Document], Document]
    ) -> tuple[Document | None, Document | None]:
        """Return the first matching document as it was and as it is now; None twice if there is none."""
        before = next(self._matching(criteria), None)
        if before is None:
            return None, None
        after = change(before)
        # In Python 1, 1.0 and True are equal, but not in MongoDB. The cheap comparison comes first.
        if after == before and freeze(after) == freeze(before):
            return before, before
        if self.options:
            check_valid(after, self.options)
        self._put(after)
        return before, after

    def _delete_one(self, criteria: Query) -> DeleteResult:
        found = next(self._matching(criteria), None)
        if found is not None:
            key = _key(found["_id"])
            del self._documents[key]
            self._numbers.pop(key, None)
        return DeleteResult({"n": int(found is not None)}, True)

    def _insert(self, document: Document) -> None:
        if "_id" not in document:
            raise NotImplementedError("MemoryCollection does not generate ids; give the document an _id")
        if self.options:
            check_valid(document, self.options)  # before the index is asked, as on the server
        if _key(document["_id"]) in self._documents:
            raise _duplicate(self.full_name, document["_id"])
        self._put(document)

    def _put(self, document: Document) -> None:
        key = _key(document["_id"])
        self._documents[key] = document
        self._numbers.pop(key, None)


def _key(id: Any) -> Hashable:
    """Return the key of an id. As on the server, 1 and 1.0 are the same id, and True is another."""
    if isinstance(id, float) and id.is_integer():
        return int(id)
    return id if type(id) is int or type(id) is str else freeze(id)


def _duplicate(namespace: str, id: Any) -> DuplicateKeyError:
    message = f"E11000 duplicate key error collection: {namespace} index: _id_ dup key"
    details = {"index": 0, "code": 11000, "errmsg": message, "keyPattern": {"_id": 1}, "keyValue": {"_id": id}}
    return DuplicateKeyError(message, 11000, details)
