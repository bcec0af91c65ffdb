"""A replica set's start and a step-down, where an election or a broken connection comes between."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure
from pymongo.monitoring import CommandListener

from lazymig.testing import ReplicaSet, electing
from lazymig.testing.electing import Reign, await_members, follow, initiate, set_election, start_set
from lazymig.testing.mongod import Mongod

#: What a command is answered while another primary is elected.
INTERRUPTED = {"another primary": {"errorCode": 10107}, "a broken connection": {"closeConnection": True}}
interrupted = pytest.mark.parametrize("fault", INTERRUPTED.values(), ids=list(INTERRUPTED))


@pytest.fixture
def member() -> Iterator[Mongod]:
    """A process that is not in a set yet."""
    member = Mongod(set_name="elected")
    try:
        member.start()
        yield member
    finally:
        member.remove()


@pytest.fixture(scope="module")
def pair() -> Iterator[ReplicaSet]:
    """A primary and a secondary."""
    with ReplicaSet(2, election_s=10) as pair:
        yield pair


def uri_of(member: Mongod) -> str:
    return f"mongodb://{member.address}/?replicaSet=elected"


def election_ms(uri: str) -> int:
    """The time-out of elections that a set goes by."""
    with follow(uri) as client:
        configuration = client.admin.command("replSetGetConfig")["config"]
        time_out_ms: int = configuration["settings"]["electionTimeoutMillis"]
        return time_out_ms


class Sent(CommandListener):
    """The names of the commands that a client sends."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def started(self, event: Any) -> None:
        self.names.append(event.command_name)

    def succeeded(self, event: Any) -> None:
        pass

    def failed(self, event: Any) -> None:
        pass


@interrupted
def test_a_start_bears_an_election(member: Mongod, fault: dict[str, Any]) -> None:
    """A start that an election interrupts twice is repeated, and the set is whole afterwards."""
    with member.failpoint({"failCommands": ["appendOplogNote"], **fault}, times=2):
        start_set("elected", [member], uri_of(member))
    with MongoClient(uri_of(member)) as client:
        client.shop.orders.insert_one({})


def test_a_start_bears_a_broken_connection(member: Mongod) -> None:
    """Where the connection breaks before the set is made, it is made by a second command."""
    with member.failpoint({"failCommands": ["replSetInitiate"], "closeConnection": True}, times=1):
        start_set("elected", [member], uri_of(member), election_s=10)
    assert election_ms(uri_of(member)) == 10_000


def test_a_set_that_was_made_before_the_connection_broke(member: Mongod) -> None:
    """A set that exists already is a success after a broken connection only."""
    configuration = {"_id": "elected", "members": [{"_id": 0, "host": member.address}]}
    initiate(member, configuration)
    with pytest.raises(OperationFailure, match="already initialized"):
        initiate(member, configuration)
    with member.failpoint({"failCommands": ["replSetInitiate"], "closeConnection": True}, times=1):
        initiate(member, configuration)


def test_a_wait_for_the_members_that_was_cut_short(pair: ReplicaSet) -> None:
    """Where the primary steps down while the members copy, the wait for them begins once more."""
    sent = Sent()
    fault = {
        "failCommands": ["appendOplogNote"], "writeConcernError": {"code": 11602, "errmsg": "stepped down"}
    }  # fmt: skip
    with pair.primary.failpoint(fault, times=1), MongoClient(pair.uri, event_listeners=[sent]) as client:
        await_members(client, 2)
    assert sent.names[:2] == ["appendOplogNote"] * 2


@interrupted
def test_the_time_out_of_elections_bears_one(pair: ReplicaSet, fault: dict[str, Any]) -> None:
    """The time-out of elections is set, also where an election interrupts that."""
    before_s = election_ms(pair.uri) / 1000
    with pair.primary.failpoint({"failCommands": ["replSetReconfig"], **fault}, times=1), follow(pair.uri) as client:
        set_election(client, before_s + 1)
    assert election_ms(pair.uri) == (before_s + 1) * 1000


@interrupted
def test_a_lost_step_down_is_repeated(pair: ReplicaSet, fault: dict[str, Any]) -> None:
    """A step-down that did not reach the primary is repeated, so that another member is elected."""
    before = pair.primary
    with before.failpoint({"failCommands": ["replSetStepDown"], **fault}, times=1):
        elected = pair.step_down()
    assert elected is not before
    assert pair.primary is elected
    assert pair.step_down() is before


def test_a_primary_that_has_just_lost_its_place(pair: ReplicaSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where another member is elected just before the command, the step-down is over, and is not awaited again."""
    reign, before = electing.reign, pair.primary

    def lose(uri: str) -> Reign:
        monkeypatch.setattr(electing, "reign", reign)
        found = reign(uri)
        with before.client() as client:
            client.admin.command("replSetStepDown", 120, secondaryCatchUpPeriodSecs=60)
        return found

    monkeypatch.setattr(electing, "reign", lose)
    assert pair.step_down() is not before
