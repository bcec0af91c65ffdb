"""Many guarded writes by one statement, with the outcome of each: a lost race or an error is one writer's own.

A bulk reports how many documents matched, not which. An upsert that can never insert does: where its filter matches
nothing, the server refuses to insert a document whose `_id` is not the filter's, and changes nothing. A pipeline cannot
say what is only for inserts, so one sees from what it is given that its filter matched nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import bson
from pymongo import DeleteOne, InsertOne, UpdateOne
from pymongo.errors import BulkWriteError, DuplicateKeyError

from lazymig.stores.documents import DOCUMENT_BYTES_MAX, META_FIELD, raw_id
from lazymig.stores.drivers import (
    IDS,
    STATEMENT_ERRORS,
    Handle,
    is_id_taken,
    is_server_state,
    is_too_large,
    make_error,
)
from lazymig.stores.failures import Failures, Outcome, failures_of, is_taken, judge_inserts, unknown
from lazymig.stores.given import RawId
from lazymig.stores.records import Document
from lazymig.stores.unretried import Update, update_each_once

A = TypeVar("A")

#: The code of an update that would change `_id`.
_OTHER_ID = 66
#: The code of an upsert in a collection that is sharded by another key.
_NO_SHARD_KEY = 61
#: The driver splits a bulk that is larger than 48 MB. This is less, because it adds some bytes for each write.
_MESSAGE_BYTES = 40 * 1024 * 1024
_ROOM_BYTES = 64 * 1024


class GuardedUpdate(NamedTuple):
    """An update of one document: a filter, which names its `_id`, and operators, or a pipeline of one `$replaceWith`.

    `inserting`: the filter matches nothing, and the update makes a document of it. The filter of a pipeline compares
    nothing but `_id` for equality, and matches only documents with lazymig's meta data: see `match_number`.
    """

    where: Document
    update: Document | Sequence[Document]
    inserting: bool = False


def match_number(number: int) -> Document:
    """Return a condition for a whole number that puts nothing into a document which an upsert makes of the filter."""
    return {"$gte": number, "$lt": number + 1}


class GuardedWrites:
    """Guarded writes of one collection, many by one unordered statement. Outcomes come in the order of the writes.

    Driver errors about the statement as a whole pass through: what was written is unknown then.
    """

    def __init__(self, collection: Handle, *, repeats: bool = False) -> None:
        """`repeats`: an update that was done and reported as not done does no harm, as an announcement."""
        self._collection = collection
        self._repeats = repeats
        self._upserts_refused = False

    async def update_each(self, updates: Sequence[GuardedUpdate]) -> list[Outcome]:
        """Update each document that its filter matches, or insert it. False: nothing was written.

        The filter matches nothing, or the `_id` of what was to be inserted is taken.
        """
        if self._upserts_refused:
            return await _do_singly(self._update, updates)
        requests = list(map(_build_upsert, updates))
        failures = await self._update_once(requests) if self._repeats else None
        if failures is None:
            failures = await self._send([UpdateOne(*request) for request in requests])
        if failures is None:
            return await self._resend(self._update, updates, [[one.where, one.update] for one in updates])
        self._upserts_refused = any(failure["code"] == _NO_SHARD_KEY for failure in failures.values())
        outcomes: list[Outcome] = [True] * len(updates)
        for place, failure in failures.items():
            one = updates[place]
            if failure["code"] == _OTHER_ID or (one.inserting and is_taken(failure)):
                outcomes[place] = False
            elif is_server_state(failure["code"], failure):
                outcomes[place] = make_error(failure)
            else:
                # A refusal, or a filter that no upsert can have. Nothing was written, and a statement of its own says
                # which.
                outcomes[place] = await _outcome_of(self._update, one)
        return outcomes

    async def insert_each(self, documents: Sequence[Document]) -> list[Outcome]:
        """Insert each document. False: its `_id` is taken, and nothing was written."""
        failures = await self._send([InsertOne(document) for document in documents])
        if failures is None:
            return await self._resend(self._insert, documents, documents)
        return judge_inserts(failures, len(documents))

    async def confirm_each(self, updates: Sequence[GuardedUpdate]) -> list[Outcome]:
        """Wait until the majority has what the primary has now, by updates that change nothing.

        True: the filter matches nothing.
        """
        requests = [UpdateOne(one.where, one.update) for one in updates]
        failures: Failures = {}
        try:
            matched = (await self._collection.bulk_write(requests, ordered=False)).matched_count
        except BulkWriteError as error:
            failures, matched = failures_of(error), error.details["nMatched"]
        if matched:
            return await self._confirm_rest(updates)
        return [make_error(failures[place]) if place in failures else True for place in range(len(updates))]

    async def _confirm_rest(self, updates: Sequence[GuardedUpdate]) -> list[Outcome]:
        """Confirm updates of which some have matched. The server does not say which."""
        found = await self.find_ids([one.where for one in updates])
        standing = [raw_id(one.where["_id"]) in found for one in updates]
        rest = [one for one, stands in zip(updates, standing, strict=True) if not stands]
        if len(rest) == len(updates):  # gone again
            outcomes = await _do_singly(self._update, updates)
            return [outcome if isinstance(outcome, BaseException) else not outcome for outcome in outcomes]
        confirmed = iter(await self.confirm_each(rest) if rest else ())
        return [False if stands else next(confirmed) for stands in standing]

    async def _update_once(self, requests: Sequence[Update[Document | Sequence[Document]]]) -> Failures | None:
        reply = await update_each_once(self._collection, requests)
        return None if reply is None else {failure["index"]: failure for failure in reply.get("writeErrors", ())}

    async def _send(self, requests: Sequence[UpdateOne | InsertOne[Document]]) -> Failures | None:
        """Send a bulk; return its failures by their places. None: one of its messages was too large for the server."""
        try:
            await self._collection.bulk_write(requests, ordered=False)
        except BulkWriteError as error:
            return failures_of(error)
        except STATEMENT_ERRORS as error:
            # Neither driver nor server names the document.
            if not is_too_large(error):
                raise
            return None
        return {}

    async def send_deletes(self, requests: Sequence[DeleteOne]) -> tuple[Failures, int]:
        """Send deletes; return the failures by their places, and how many documents were deleted."""
        try:
            result = await self._collection.bulk_write(requests, ordered=False)
        except BulkWriteError as error:
            return failures_of(error), int(error.details["nRemoved"])
        return {}, result.deleted_count

    async def find_ids(self, filters: Sequence[Document]) -> set[RawId]:
        """Find the ids of the documents that one of these filters matches, as the primary has them now."""
        found = await self._collection.find({"$or": list(filters)}, {"_id": 1}).to_list(None)
        return {raw_id(document["_id"]) for document in found}

    async def _resend(
        self, write: Callable[[A], Awaitable[bool]], all: Sequence[A], parts: Sequence[object]
    ) -> list[Outcome]:
        """Send one by one what was refused together and not written: what is refused is refused alone then.

        The driver sends a bulk that is too large for one message as several, and encodes each when the one before is
        done. What was in those cannot be sent again. Where the driver has met what it cannot send, nothing after that
        was sent.
        """
        sizes = [_measure(part) for part in parts]
        reached = next((place for place, size in enumerate(sizes) if _is_unsendable(size)), len(all))
        # Messages that were sent came before it, unless all before it fitted into one.
        sent = reached if sum(size or 0 for size in sizes[:reached]) > _MESSAGE_BYTES else 0
        return [
            unknown("one of many writes was refused, after some of the others may have been done")
            if place < sent and size is not None and size <= DOCUMENT_BYTES_MAX
            else await _outcome_of(write, one)
            for place, (one, size) in enumerate(zip(all, sizes, strict=True))
        ]

    async def _update(self, one: GuardedUpdate) -> bool:
        try:
            result = await self._collection.update_one(one.where, one.update, upsert=one.inserting)
        except DuplicateKeyError as error:
            if not (one.inserting and is_id_taken(error)):
                raise
            return False
        return one.inserting or bool(result.matched_count)

    async def _insert(self, document: Document) -> bool:
        try:
            await self._collection.insert_one(document)
        except DuplicateKeyError as error:
            if not is_id_taken(error):
                raise  # another unique index refuses it, which the caller must know
            return False
        return True


def _build_upsert(one: GuardedUpdate) -> Update[Document | Sequence[Document]]:
    if one.inserting:
        return Update(one.where, one.update)
    # Another value than the id, whatever the id is.
    other = {"_id": {"lazymig": one.where["_id"]}}
    if isinstance(one.update, Mapping):
        return Update(_hide_equalities(one.where), {**one.update, "$setOnInsert": other})
    [stage] = one.update
    unmatched = {"$eq": [{"$ifNull": [f"${META_FIELD}.rev", "none"]}, "none"]}
    made = {"$cond": [unmatched, {"$literal": other}, stage["$replaceWith"]]}
    return Update(one.where, [{"$replaceWith": made}])


def _hide_equalities(where: Document) -> Document:
    """Return the filter so that an upsert copies no held values: it is refused for those of a field and of its part."""
    if "$and" not in where:
        return where
    doubly_negated = [{"$nor": [held]} for held in where["$and"]]
    rest = {name: condition for name, condition in where.items() if name != "$and"}
    return {**rest, "$nor": [*where.get("$nor", ()), *doubly_negated]}


def _measure(part: object) -> int | None:
    """Return how many bytes a part of a statement takes; None for what cannot be encoded."""
    try:
        return len(bson.encode({"": part}, codec_options=IDS))
    except STATEMENT_ERRORS:
        return None


def _is_unsendable(size: int | None) -> bool:
    """Whether the driver certainly refuses to send it. It gives a statement some room beyond its document."""
    return size is None or size > DOCUMENT_BYTES_MAX + _ROOM_BYTES


async def _do_singly(write: Callable[[A], Awaitable[bool]], all: Sequence[A]) -> list[Outcome]:
    return [await _outcome_of(write, one) for one in all]


async def _outcome_of(write: Callable[[A], Awaitable[bool]], one: A) -> Outcome:
    try:
        return await write(one)
    except STATEMENT_ERRORS as error:
        return error
