"""V2's documents made of V1's by the server: the user's stages between lazymig's own, and a `$merge` that only inserts.

The revision and the content of an entity come from one read of one document, since the first stage remembers the
revision beside the content. `$merge` inserts each document by itself: *put if absent*, as `Bodies.put_many` does it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from attrs import frozen
from pymongo.errors import DuplicateKeyError, ExecutionTimeout, OperationFailure, WriteConcernError

from lazymig.errors import ConfigurationError
from lazymig.stores.carried import carried_of
from lazymig.stores.documents import META_FIELD, OWN_FIELDS, REVISION_FIELD, born_clean, raw_id
from lazymig.stores.drivers import (
    LENIENT,
    MAJORITY,
    READ_MAJORITY,
    Driver,
    await_if_needed,
    collection_of,
    driver_of,
    is_id_taken,
    is_server_state,
    tune,
)
from lazymig.stores.given import RawId, Store
from lazymig.stores.raw import Undecoded, find_undecoded, split
from lazymig.stores.records import Document, Fields, Put, StoredV1

#: Where the stages carry what the user's own do not see: V1's revision, and V1's document where it is compared.
_CARRIED = "_lazymig_carried"
#: Larger documents are left out: the server must be able to return one beside what it made of it.
_BYTES_MAX = 4_000_000
#: How long stages without documents may take.
_TRIAL_MS = 10_000
#: `$merge` as *put if absent*. The first fails at a document that V2 has, and is several times as fast. The second
#: leaves those alone: `keepExisting` would do so too, but stores the fields of others in the order of their names, and
#: takes a name with a dot for a path.
_INSERTING: Document = {"whenMatched": "fail", "whenNotMatched": "insert"}
_KEEPING: Document = {"whenMatched": [{"$unset": _CARRIED}], "whenNotMatched": "insert"}


class Made(NamedTuple):
    """What the server made of one document."""

    #: V1's document, as it was when the server converted it.
    truth: StoredV1
    body: Document


@frozen
class Conversion:
    """What the server made of some documents, each decoded when it is accessed."""

    made: Undecoded[Made]
    #: Whether it made nothing of the others. If not, one reply did not hold all.
    complete: bool


@frozen
class Merged:
    """The outcome of a *merge*."""

    #: STORED: V2 has all that the stages made. LOST: V2 had one of them already, and may lack others. REFUSED: one of
    #: them fails the stages, or V2 will never take it, and V2 may lack others.
    outcome: Put
    #: The name of the error that refused it.
    why: str = ""


class Moved(NamedTuple):
    """A document that V2 has."""

    id: RawId
    revision: int
    #: Whether a sweep brought it there.
    by_sweep: bool


class ServerUpgrade:
    """Statements on V1 that run the stages of a migration. They read with read concern majority."""

    def __init__(self, v1: Store, v2: Store, stages: Sequence[Document], conv: int) -> None:
        """`conv`: the revision of the conversion that the stages stand for."""
        source, target = collection_of(v1), collection_of(v2)
        self._v1 = tune(source, read=READ_MAJORITY, write=MAJORITY)
        self._v2 = tune(target, read=READ_MAJORITY, codec=LENIENT)
        # V1's documents are decoded as its own reads do. Of V2's bodies, only the bytes count.
        self._options = self._v1.codec_options
        self._into = {"db": target.database.name, "coll": target.name}
        self._carried = carried_of(v1)
        self._stages = [carry_through(stage) for stage in stages]
        self._conv = conv

    async def try_on_nothing(self, *, writing: bool) -> None:
        """Run the stages on no document. Raises `ConfigurationError` where the server refuses the stages themselves.

        `writing`: with the `$merge`, so that the server also checks that it could store.
        """
        merging = [self._merge(_INSERTING)] if writing else []
        try:
            await self._run([*self._make_stages([]), *merging])
        except OperationFailure as error:
            if isinstance(error, WriteConcernError) or is_server_state(error.code, error.details):
                raise
            # No document was looked at, so the text can only quote the stages.
            said = str((error.details or {}).get("errmsg", error))
            raise ConfigurationError(
                f"upgrade_pipeline: the server refuses it: {said}; change it, or leave it out"
            ) from None

    async def convert(self, ids: Sequence[RawId]) -> Conversion | str:
        """Make V2's bodies of these documents of V1, as many as one reply holds, and store nothing.

        Returns the name of the server's error where the stages fail for one of them.
        """
        stages = self._make_stages(ids, comparing=True)
        try:
            cursor = await await_if_needed(
                self._v1.aggregate_raw_batches(stages, hint={"_id": 1}, batchSize=max(len(ids), 1))
            )
            async for batch in cursor:
                ended = not cursor.alive
                await cursor.close()
                return Conversion(Undecoded(split(batch), self._options, self._parse), ended)
        except OperationFailure as error:
            return _judge(error).why
        return Conversion(Undecoded([], self._options, self._parse), complete=True)

    async def merge(self, ids: Sequence[RawId], *, keeping: bool, within_s: float) -> Merged:
        """*Put if absent* what the stages make of these documents of V1, durably; never change what V2 has.

        Where V2 has one already, the statement ends as LOST; with `keeping`, which is slower, it goes on. `within_s`:
        seconds after which the server ends it, as REFUSED.
        """
        stages = [*self._make_stages(ids), self._merge(_KEEPING if keeping else _INSERTING)]
        try:
            await self._run(stages, max(int(within_s * 1000), 1))
        except OperationFailure as error:
            return _judge(error)
        return Merged(Put.STORED)

    async def count_moved(self, ids: Sequence[RawId]) -> int:
        """Count those of these documents that a sweep has brought to V2 and that the majority will keep."""
        where = {"_id": {"$in": list(ids)}, f"{META_FIELD}.by": "sweep"}
        return int(await self._v2.count_documents(where, hint={"_id": 1}))

    async def find_moved(self, ids: Sequence[RawId]) -> list[Moved]:
        """Find those of these documents that V2 has and the majority will keep, in any order."""
        fields = {f"{META_FIELD}.rev": 1, f"{META_FIELD}.by": 1}
        found = await find_undecoded(self._v2, _parse_moved, {"_id": {"$in": list(ids)}}, size=len(ids), fields=fields)
        return found.at_once()

    async def _run(self, stages: Sequence[Document], within_ms: int = _TRIAL_MS) -> None:
        cursor = await await_if_needed(self._v1.aggregate(stages, hint={"_id": 1}, maxTimeMS=within_ms))
        await cursor.to_list(None)  # Motor sends nothing before; there is no output

    def _make_stages(self, ids: Sequence[RawId], *, comparing: bool = False) -> list[Document]:
        carried = f"${_CARRIED}"
        # What parse_v1 makes of a revision that is an integer or missing. Python converts documents with any other.
        usual = {"$in": [{"$type": f"${REVISION_FIELD}"}, ["missing", "int", "long"]]}
        revision = {"$cond": [{"$gt": [f"${REVISION_FIELD}", 0]}, f"${REVISION_FIELD}", 0]}
        remembered = {"rev": revision, "v1": "$$ROOT"} if comparing else {"rev": revision}
        meta = born_clean(None, {}, 0, "sweep", self._conv)[META_FIELD]
        meta = {name: {"$literal": value} for name, value in meta.items()}
        meta |= {"rev": f"{carried}.rev", "intent": f"{carried}.rev"}
        dropped = [name for name in OWN_FIELDS if name not in ("_id", META_FIELD)]
        # An expression takes the field's place; a plain sub-document would be merged into one that V1 has there.
        return [
            {"$match": {"_id": {"$in": list(ids)}}},
            {"$match": {"$expr": {"$and": [usual, {"$lt": [{"$bsonSize": "$$ROOT"}, _BYTES_MAX]}]}}},
            {"$set": {_CARRIED: {"$mergeObjects": [remembered]}}},
            *self._stages,
            {"$unset": [META_FIELD, *dropped]},
            {"$set": {META_FIELD: {"$mergeObjects": [meta]}}},
            *([] if comparing else [{"$unset": _CARRIED}]),
        ]

    def _merge(self, matching: Document) -> Document:
        return {"$merge": {"into": self._into, "on": "_id", **matching}}

    def _parse(self, document: Document) -> Made:
        truth = self._carried.parse(document[_CARRIED]["v1"])
        return Made(truth, {name: value for name, value in document.items() if name not in _NOT_BODY})


_NOT_BODY = OWN_FIELDS | {_CARRIED}


def check_same_client(v1: Store, v2: Store) -> bool:
    """Return whether a server can convert at all: False in memory.

    Raises `ConfigurationError` unless the two collections belong to one client: a `$merge` cannot leave its cluster.
    """
    source, target = collection_of(v1), collection_of(v2)
    if Driver.MEMORY in (driver_of(source), driver_of(target)):
        return False
    if source.database.client is not target.database.client:
        raise ConfigurationError(
            "upgrade_pipeline: the server can only convert within one cluster; open both collections by one client, or "
            "leave upgrade_pipeline out"
        )
    return True


def carry_through(stage: Document) -> Fields:
    """Return a stage that also keeps the id and what is carried."""
    ((name, given),) = stage.items()
    if name == "$project" and _includes(given):
        return {name: {**given, _CARRIED: 1}}
    if name not in ("$replaceWith", "$replaceRoot"):
        return {name: given}
    made = given["newRoot"] if name == "$replaceRoot" else given
    # What is no document fails the stage, as it does without this.
    kept = {"$mergeObjects": ["$$made", {"_id": "$_id", _CARRIED: f"${_CARRIED}"}]}
    checked = {"$cond": [{"$eq": [{"$type": "$$made"}, "object"]}, kept, None]}
    return {"$replaceWith": {"$let": {"vars": {"made": made}, "in": checked}}}


def _includes(given: Document) -> bool:
    """Return whether a `$project` names what stays, and not what goes."""
    for name, value in given.items():
        if isinstance(value, Mapping) and not any(inner.startswith("$") for inner in value):
            if value and not _includes(value):
                return False
        elif isinstance(value, bool | int | float) and not value and name != "_id":
            return False
    return True


def _judge(error: OperationFailure) -> Merged:
    """Return the outcome of an aggregation that the server refused; raise the error where it is about the server."""
    late = isinstance(error, ExecutionTimeout)  # by the bound that the statement itself has
    if isinstance(error, WriteConcernError) or (not late and is_server_state(error.code, error.details)):
        raise error
    if isinstance(error, DuplicateKeyError) and is_id_taken(error):
        return Merged(Put.LOST)
    return Merged(Put.REFUSED, str((error.details or {}).get("codeName", f"code {error.code}")))


def _parse_moved(document: Document) -> Moved:
    meta = document.get(META_FIELD)
    meta = meta if isinstance(meta, Mapping) else {}
    revision = meta.get("rev")
    by_sweep = meta.get("by") == "sweep"
    return Moved(raw_id(document["_id"]), revision if isinstance(revision, int) else -1, by_sweep)
