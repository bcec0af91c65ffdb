"""The start of a replica set, and a step-down of its primary, on a machine that may stall for seconds.

An election may come between any two steps here. What it interrupts is repeated, until `PATIENCE_S` end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TypeVar

from attrs import frozen
from bson import ObjectId
from pymongo import MongoClient
from pymongo.errors import AutoReconnect, NotPrimaryError, OperationFailure

from lazymig.loop.clock import SYSTEM_CLOCK
from lazymig.testing.mongod import PATIENCE_S, Client, Mongod

Answer = TypeVar("Answer")

#: For the first election: a member that hears nothing stands for election only after this.
_QUICK_S = 1.0
_ALREADY_INITIALIZED = 23
#: Longer than any wait here, so that the member that steps down cannot be elected again meanwhile.
_FROZEN_S = 2 * PATIENCE_S


@frozen
class Reign:
    """A primary, and the id of its election, which grows from one election to the next."""

    address: str
    election: ObjectId


def start_set(
    name: str, members: Sequence[Mongod], uri: str, *, election_s: float = _QUICK_S, arbiters: int = 0
) -> None:
    """Make a replica set of processes that run, and return when every member that holds data follows its primary.

    Args:
        name: The set's name.
        members: The processes; those at the end are the arbiters.
        uri: The connection string of the set.
        election_s: The time without a primary after which the others elect one.
        arbiters: The number of arbiters.
    """
    bearing = len(members) - arbiters
    hosts = [
        {"_id": number, "host": member.address, "arbiterOnly": number >= bearing}
        for number, member in enumerate(members)
    ]
    # One member elects itself immediately; with a longer time-out, the first election of several would take as long.
    first_s = _QUICK_S if len(members) > 1 else election_s
    settings = {"electionTimeoutMillis": int(first_s * 1000), "heartbeatIntervalMillis": 200}
    initiate(members[0], {"_id": name, "members": hosts, "settings": settings})
    with follow(uri) as primary:
        await_members(primary, bearing)
        if election_s != first_s:
            set_election(primary, election_s)


def follow(uri: str) -> Client:
    """Make a client that waits for a primary at its first command."""
    return MongoClient(uri, serverSelectionTimeoutMS=PATIENCE_S * 1000)


def initiate(member: Mongod, configuration: Mapping[str, object]) -> None:
    """Initiate a set by one member. Where a connection broke, this may have been done already."""
    broken = False

    def attempt(client: Client) -> None:
        nonlocal broken
        try:
            client.admin.command("replSetInitiate", configuration)
        except AutoReconnect:
            broken = True
            raise
        except OperationFailure as error:
            if not broken or error.code != _ALREADY_INITIALIZED:
                raise

    with member.client() as client:
        _repeat(lambda: attempt(client))


def await_members(primary: Client, count: int) -> None:
    """Return when so many members have what was written now: each has then finished its copy and can be elected."""
    concern = {"w": count, "wtimeout": int(PATIENCE_S * 1000)}
    _repeat(lambda: _done(primary.admin.command("appendOplogNote", 1, data={"started": True}, writeConcern=concern)))


def set_election(primary: Client, election_s: float) -> None:
    """Change the time without a primary after which the others elect one."""

    def attempt() -> None:
        configuration = primary.admin.command("replSetGetConfig")["config"]
        configuration["settings"]["electionTimeoutMillis"] = int(election_s * 1000)
        configuration["version"] += 1
        _done(primary.admin.command("replSetReconfig", configuration, maxTimeMS=int(PATIENCE_S * 1000)))

    _repeat(attempt)


def reign(uri: str) -> Reign:
    """Return the present primary. If there is none, this waits for one."""

    def attempt() -> Reign:
        # A client of its own at each look: one that has known the set for longer may be late.
        with follow(uri) as client:
            hello = client.admin.command("hello")
        if not hello["isWritablePrimary"]:
            raise NotPrimaryError("the primary has stepped down; look again")
        return Reign(hello["me"], hello["electionId"])

    return _repeat(attempt)


def step_down(uri: str, members: Sequence[Mongod]) -> str:
    """Make the primary step down, and return the address of another member that was elected after it."""
    before = reign(uri)
    (old,) = [member for member in members if member.address == before.address]

    def attempt() -> Reign:
        with old.client() as client:
            # A primary that steps down may close its connections; then, and where it was no primary any more, the
            # next look says whether another one was elected.
            with suppress(AutoReconnect):
                client.admin.command("replSetStepDown", int(_FROZEN_S), secondaryCatchUpPeriodSecs=int(PATIENCE_S))
            after = reign(uri)
            if after.election <= before.election or after.address == before.address:
                raise NotPrimaryError("the primary has not stepped down; ask it again")
            client.admin.command("replSetFreeze", 0)
        return after

    return _repeat(attempt).address


def _done(reply: Mapping[str, object]) -> None:
    """Refuse a reply that says that the wait for the members was cut short, which the driver does not look at here."""
    if "writeConcernError" in reply:
        raise AutoReconnect(f"the members do not follow the primary: {reply['writeConcernError']}")


def _repeat(act: Callable[[], Answer]) -> Answer:
    """Act until no election and no broken connection comes between."""
    until_s = SYSTEM_CLOCK.monotonic() + PATIENCE_S
    while True:
        try:
            return act()
        except AutoReconnect:
            if SYSTEM_CLOCK.monotonic() > until_s:
                raise
