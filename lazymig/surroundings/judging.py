"""Judging a collection by what was seen of it: each problem in one sentence that says what to change."""

from __future__ import annotations

from collections.abc import Iterator

from pymongo.errors import NotPrimaryError

from lazymig.stores.records import Document
from lazymig.surroundings.looking import Seen
from lazymig.surroundings.validators import find_enforced_rule

_NATIVE_IDS: tuple[Document, ...] = ({}, {"_id": 1}, {"_id": "hashed"})


class NoPrimary(NotPrimaryError):
    """The only server that the client uses is not a primary and knows of none."""


def find_problems(seen: Seen, *, linearizable: bool = False, compared: bool = False) -> Iterator[str]:
    """Yield what is wrong with a collection, V1, V2, control or that of both. `compared`: each read sees both sides.

    Raises `NoPrimary` where the server is no primary and knows of none: an election may be in progress.
    """
    yield from _judge_server(seen, linearizable=linearizable)
    yield from _judge_kind(seen)
    yield from _judge_expiry(seen, compared=compared)
    if seen.side == "control" and find_enforced_rule(seen):
        yield (
            f"control: {seen.name} has a validator, which may refuse what lazymig stores there; remove it with "
            "{collMod: <its name>, validator: {}}"
        )


def _judge_server(seen: Seen, *, linearizable: bool) -> Iterator[str]:
    hello = seen.hello
    if seen.direct and not hello.get("isWritablePrimary", True):
        if not hello.get("primary"):
            raise NoPrimary(f"{seen.side}: the server is not a primary and knows of none; try again later")
        yield (
            f"{seen.side}: the client is connected directly to {hello.get('me', 'a server')}, which is not a primary "
            "and answers with old documents; leave directConnection=true out and name the replica set"
        )
    if linearizable and hello and "setName" not in hello and hello.get("msg") != "isdbgrid":
        yield f'{seen.side}: read_concern="linearizable" needs a replica set, which this server is not; leave it out'


def _judge_kind(seen: Seen) -> Iterator[str]:
    start = f"{seen.side}: {seen.name} is"
    if seen.kind == "view":
        yield f"{start} a view, which cannot be written; pass the collection itself"
    elif seen.kind == "timeseries":
        yield f"{start} a time series, whose documents cannot be changed one by one; use a plain collection"
    if seen.options.get("capped"):
        yield f"{start} capped: the server removes its oldest documents by itself; use a collection that is not capped"
    collation = seen.options.get("collation", {})
    if collation.get("locale", "simple") != "simple":
        yield (
            f'{start} collated (locale "{collation["locale"]}"), in which different ids are equal; use a '
            "collection with the simple collation, and put the collation on the indexes or queries that need it"
        )
    if seen.side == "v2" and seen.shard_key not in _NATIVE_IDS:
        yield (
            f"{start} sharded by ({', '.join(seen.shard_key)}), where documents cannot be announced by _id; shard it "
            "by _id or hashed _id"
        )


def _judge_expiry(seen: Seen, *, compared: bool) -> Iterator[str]:
    expiring = [str(index["name"]) for index in seen.indexes if "expireAfterSeconds" in index]
    if "expireAfterSeconds" in seen.options:
        expiring.append("its clustered index")
    if not expiring or (seen.side != "v2" and compared):
        return
    why = {
        "v1": "the server deletes entities that V2 still serves. Drop it and delete through the repository, or "
        "set checked=True",
        "v2": "the server removes what has been migrated, or marks of deletes that are still needed, without looking "
        "at V1. Drop it and delete through the repository",
        "control": "the server removes checkpoints and dead letters. Drop it",
    }
    yield f"{seen.side}: {seen.name} has a TTL index ({', '.join(expiring)}): {why[seen.side]}"
