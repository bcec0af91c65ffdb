"""`read_concern="linearizable"`: kept by each answer about one entity, refused where it cannot be kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pymongo import AsyncMongoClient

from lazymig import ConfigurationError, Phase
from lazymig.testing import Server
from tests.contract.conftest import Watched, open_repository, watched, watched_clients
from tests.layouts import Layout
from tests.people import ada, ada_v1

__all__ = ["open_repository", "watched", "watched_clients"]

#: Calls that answer about one entity. The one that migrates it is the last.
ANSWERS: dict[str, Any] = {
    "exists": lambda repository: repository.exists(1),
    "V1's get": lambda repository: repository.v1.get(1),
    "V1's exists": lambda repository: repository.v1.exists(1),
    "get": lambda repository: repository.get(1),
}
LINEARIZABLE: dict[str, Any] = {"read_concern": "linearizable"}


@pytest.fixture
def layout() -> Layout:
    """Two collections: the case is about reads of either."""
    return Layout.TWO


@pytest.mark.parametrize("phase", [Phase.COEXIST, Phase.V1_ONLY, Phase.PREPARE, Phase.SHADOW], ids=str)
@pytest.mark.parametrize("migrated", [False, True])
async def test_case_53_every_answer_about_one_entity_is_linearizable(
    watched: Watched, open_repository: Any, phase: Phase, migrated: bool
) -> None:
    """Through either door, from either collection, in both phases: each find names one id and is linearizable."""
    await watched.database["v1"].insert_one(ada_v1())
    if migrated:
        await open_repository(watched.database).get(1)
    repository = open_repository(watched.database, phase=phase, **LINEARIZABLE)
    await repository.check()
    for name, call in ANSWERS.items():
        with watched.sent() as sent:
            assert await call(repository), name
        finds = [event.command for event in sent if event.command_name == "find"]
        assert finds, name
        assert [dict(find["readConcern"])["level"] for find in finds] == ["linearizable"] * len(finds), name
        assert [dict(find["filter"]) for find in finds] == [{"_id": 1}] * len(finds), name


async def test_case_53_many_at_once_are_the_majority_s(watched: Watched, open_repository: Any) -> None:
    """No linearizable read names several documents; of V1, what cannot be rolled back is read then."""
    await watched.database["v1"].insert_many([ada_v1(1), ada_v1(2)])
    repository = open_repository(watched.database, **LINEARIZABLE)
    await repository.check()
    with watched.sent() as sent:
        assert await repository.get_many([1, 2]) == {1: ada(1), 2: ada(2)}
        assert [person.id async for person in repository.v1.list()] == [1, 2]
        assert await repository.count() == 2
    of_v1 = [event.command for event in sent if event.command[event.command_name] == "v1"]
    assert {dict(command["readConcern"])["level"] for command in of_v1} == {"majority"}


@pytest.mark.parametrize("door", ["v1", "v2"])
async def test_case_14d_a_session_with_linearizable_reads_is_refused(
    watched: Watched, open_repository: Any, door: str
) -> None:
    """No transaction keeps the concern; it is not dropped silently by either door."""
    repository = open_repository(watched.database, **LINEARIZABLE)
    with pytest.raises(ConfigurationError, match=r"with_session: .*read_concern"):
        (repository if door == "v2" else repository.v1).with_session(None)


@pytest.fixture(scope="module")
def standalone() -> Iterator[Server]:
    """A server that is no replica set."""
    with Server(replica_set=False) as server:
        yield server


async def test_case_53_a_server_that_cannot_be_linearizable_says_so(standalone: Server, open_repository: Any) -> None:
    """A standalone server is refused before the first answer; without the concern it is served."""
    async with AsyncMongoClient(standalone.uri) as client:
        await client["alone"]["v1"].replace_one({"_id": 1}, ada_v1(), upsert=True)
        with pytest.raises(ConfigurationError, match=r"linearizable.* needs a replica set"):
            await open_repository(client["alone"], **LINEARIZABLE).get(1)
        assert await open_repository(client["alone"]).get(1) == ada(1)
