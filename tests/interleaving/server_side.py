"""A sweep that lets the server convert, with the steps that the server's statement takes inside.

For each document, V1 is read, and then V2's document is inserted. That revision and content come from one read is no
guard that an exploration could take away: while V2 has nothing, no client of lazymig moves V1.

The policy is the sweep's own; only the statement is modelled, because no in-memory Mongo has it.
"""

from collections import Counter

import bson
from attrs import evolve
from pymongo.errors import DuplicateKeyError

from lazymig.passes.sounding import Sounding
from lazymig.repository import calls_of
from lazymig.stores.documents import born_clean, parse_v1
from lazymig.stores.records import Partition, Put
from lazymig.stores.server_upgrade import Merged, Moved
from lazymig.sweeping import server_side
from lazymig.sweeping.moving import Mover
from lazymig.sweeping.remainder import Remainder
from tests.interleaving import later, subject
from tests.interleaving.mutants import Mutant
from tests.interleaving.subject import GRACE, Call

#: What may happen beside it: a client that stores, one that changes, one that deletes, and others that sweep.
BESIDE = ("get", "insert", "update", "delete", "V1 insert", "V1 update", "V1 delete", "sweep", "server sweep")
STATES = ("V1 only", "V1 only, without a revision", "neither")


class Server:
    """The statements of `ServerUpgrade` on the explorer's collections."""

    def __init__(self, v1, v2):
        self._v1, self._v2 = v1, v2

    async def merge(self, ids, *, keeping, within_s):
        """Each document by itself: one read of V1 gives content and revision, one insert stores both."""
        for id in ids:
            found = await self._v1.find_one({"_id": id})
            if found is None:
                continue
            try:
                await self._insert(await self._convert(found))
            except DuplicateKeyError:
                if not keeping:
                    return Merged(Put.LOST)
        return Merged(Put.STORED)

    async def _convert(self, found):
        """What the stages make of a document."""
        first, _, last = found["name"].partition(" ")
        body = {"first": first, "last": last, "tally": found["count"]["tally"], "note": ""}
        return born_clean(found["_id"], body, parse_v1(found).revision, "sweep")

    async def _insert(self, made):
        await self._v2.insert_one(made)

    async def count_moved(self, ids):
        """How many of them a sweep has brought to V2."""
        return await self._v2.count_documents({"_id": {"$in": ids}, "_lazymig.by": "sweep"})

    async def find_moved(self, ids):
        """What V2 has."""
        found = [await self._v2.find_one({"_id": id}) for id in ids]
        metas = [one["_lazymig"] for one in found if one is not None]
        return [Moved(id, meta["rev"], meta.get("by") == "sweep") for id, meta in zip(ids, metas, strict=False)]


async def sweep_on_server(s):
    """One pass over what V2 lacks: on the server, and by Python what that leaves."""
    pair, counts = calls_of(s.repository).pair, Counter()
    side = server_side.ServerSide(pair, Server(s.v1, s.v2), counts, GRACE, Sounding(pair.clock), dry_run=False)
    mover = Mover(pair, None, counts, dry_run=False)
    remainder = Remainder(pair.v1, pair.bodies, Partition("int", None, None), None, 10, lean=True)
    async for page in remainder.pages():
        left = await side.move([bson.encode({"_id": document["_id"]}) for document in page.missing])
        async for documents in remainder.read_whole(left):
            await mover.move(documents, pair.clock.monotonic())
        remainder.lean = True


def calls(amount):
    """All calls, and this sweep."""
    return {**later.late_calls(amount), "server sweep": Call("sweep", sweep_on_server)}


def scenario(state, clients, **changes):
    """Clients by lists of call names, from one starting state."""
    return subject.scenario(state, clients, make=calls, **changes)


def late_scenario(clients):
    """From V1 alone, where more time passes in each statement than an old read may take."""
    made = later.late_scenario([["get"]])
    return evolve(made, name=f"{clients}, late", clients=subject.numbered(calls, clients))


# ---- mutants --------------------------------------------------------------------------------------------------------


def replacing(monkeypatch):
    """`whenMatched: "replace"`: what V2 has is overwritten."""

    async def insert(server, made):
        where = {"_id": made["_id"]}
        if await server._v2.find_one(where) is None:
            await server._v2.insert_one(made)
        else:
            await server._v2.replace_one(where, made)

    monkeypatch.setattr(Server, "_insert", insert)


def no_second_look(monkeypatch):
    """V1 is not looked at again, however long the statement took."""
    monkeypatch.setattr(server_side, "OLD_READ_S", float("inf"))


MUTANTS = (
    Mutant("the server replaces what V2 has", replacing, lambda: scenario("V1 only", [["server sweep"], ["update"]])),
    Mutant(
        "a late server sweep is not looked at again",
        no_second_look,
        lambda: late_scenario([["server sweep"], ["delete and forget"]]),
    ),
)
