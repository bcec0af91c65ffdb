"""The concerns of each step, as protocol's "Durability" has them, whatever the collections were configured with."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from attrs import evolve
from pymongo import ReadPreference
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from lazymig.stores.documents import born_clean
from lazymig.stores.keyset import Order
from lazymig.stores.mongo_v1 import V1Store
from lazymig.stores.mongo_v2 import V2Store
from tests.contract.conftest import Watched
from tests.layouts import Layout
from tests.people import ada, ada_v1

NOW = datetime(2024, 5, 1)
MAJORITY, ONE = {"w": "majority"}, {"w": 1}
CONFIGURED = {
    "as made": {},
    "weak": {"write_concern": WriteConcern(1), "read_concern": ReadConcern("local")},
    "strong": {"write_concern": WriteConcern("majority", j=True), "read_concern": ReadConcern("majority")},
    "no journal": {"write_concern": WriteConcern(1, j=False)},
}


@pytest.fixture
def layout() -> Layout:
    """The steps of two collections; `test_wholes.py` has those of one document."""
    return Layout.TWO


@pytest.fixture(params=CONFIGURED)
def options(request: pytest.FixtureRequest) -> dict[str, Any]:
    """How the user configured the collections."""
    return CONFIGURED[request.param]


def concern(event: Any, kind: str) -> dict[str, Any]:
    """A command's write or read concern; none said is the server's default, which is none here."""
    return dict(event.command.get(kind, {}))


async def test_each_statement_of_v1(watched: Watched, options: dict[str, Any]) -> None:
    """V1's writes wait for the majority; its reads for answers are the majority's, those for writes are local."""
    store = V1Store(watched.database["v1"].with_options(**options))
    writes = [
        lambda: store.insert(1, {"name": "x"}, 1),
        lambda: store.compare_and_set(1, 1, 2, {"name": "y"}),
        lambda: store.delete(1, 2),
    ]
    with watched.sent() as sent:
        for write in writes:
            assert await write()
        await store.confirm_missing(1)
    assert [concern(event, "writeConcern") for event in sent] == [MAJORITY] * 4
    with watched.sent() as sent:
        await store.find(1)
        await store.find_many([1])
        await store.find_each([1])
        await store.page({}, Order("_id", 1), 5)
        await store.count({})
    assert [concern(event, "readConcern") for event in sent] == [{"level": "majority"}] * 5


async def test_the_write_path_reads_v1_as_the_primary_has_it(watched: Watched) -> None:
    """The compare-and-set that follows settles it: the primary's own state, whatever was configured."""
    with watched.sent() as sent:
        await V1Store(watched.database["v1"]).find_local(1)
    assert [concern(event, "readConcern") for event in sent] == [{"level": "local"}]


async def test_each_statement_of_v2(watched: Watched, options: dict[str, Any]) -> None:
    """Announcements wait for the majority; bodies, tombstones and purges for one."""
    store = V2Store(watched.database["v2"].with_options(**options))
    with watched.sent() as sent:
        await store.vacant_ticket(1)
        await store.ticket(1)
        await store.raise_intent(1, 5)
        await store.put_many([born_clean(8, {}, 1, "sweep")], durable=True)
    assert [concern(event, "writeConcern") for event in sent] == [MAJORITY] * 4
    with watched.sent() as sent:
        await store.apply(1, {"first": "x"}, 5)
        await store.bury(1, 6)
        await store.put_if_absent(2, {}, 1)
        await store.put_many([born_clean(3, {}, 1, "read")])
    assert [concern(event, "writeConcern") for event in sent] == [ONE] * 4
    seen = await V2Store(watched.database["v2"], []).find(1)
    assert seen is not None
    with watched.sent() as sent:
        assert await store.purge(seen)
    assert [concern(event, "writeConcern") for event in sent] == [ONE]


async def test_a_linearizable_repository_reads_v2_so(watched: Watched, open_repository: Any) -> None:
    """`read_concern="linearizable"` reaches V2's reads, which still name one document each."""
    await watched.database["v1"].insert_one(ada_v1())
    repository = open_repository(watched.database, read_concern="linearizable")
    with watched.sent() as sent:
        await repository.get(1)
        await repository.get(1)
    reads = [event for event in sent if event.command.get("find") == "v2"]
    assert [concern(event, "readConcern") for event in reads] == [{"level": "linearizable"}] * 2


async def test_whole_calls(watched: Watched, options: dict[str, Any], open_repository: Any) -> None:
    """The same through the repository, with coalescing stores and all."""
    collections = {side: watched.database[side].with_options(**options) for side in ("v1", "v2")}
    await collections["v1"].insert_one(ada_v1())
    repository = open_repository(watched.database, **collections)
    await repository.check()
    with watched.sent() as sent:
        await repository.get(1)
        await repository.update(1, lambda person: evolve(person, age=1))
        await repository.insert(ada(2))
        await repository.delete(2)
    expected = {
        ("v2", "findAndModify"): MAJORITY,
        ("v1", "update"): MAJORITY,
        ("v1", "insert"): MAJORITY,
        ("v1", "delete"): MAJORITY,
        ("v2", "insert"): ONE,
        ("v2", "update"): ONE,
    }
    named = [(event.command[event.command_name], event.command_name, event) for event in sent]
    assert {(where, what) for where, what, _ in named} - {("v1", "find"), ("v2", "find")} == set(expected)
    for where, what, event in named:
        if what != "find":
            assert concern(event, "writeConcern") == expected[where, what]


async def test_a_collection_that_reads_from_secondaries(watched: Watched, open_repository: Any) -> None:
    """Answers come from the primary, since a secondary may not have heard of an announcement yet."""
    collections = {
        side: watched.database[side].with_options(read_preference=ReadPreference.SECONDARY_PREFERRED)
        for side in ("v1", "v2")
    }
    repository = open_repository(watched.database, **collections)
    await repository.check()
    with watched.sent() as sent:
        await repository.get(1)
        await repository.get_many([1])
        await repository.v1.get(1)
    modes = [event.command.get("$readPreference", {"mode": "primary"})["mode"] for event in sent]
    assert modes == ["primary"] * len(sent)
    assert len(sent) == 5
