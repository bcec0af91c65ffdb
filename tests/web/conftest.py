"""A migration in `coexist` on a real server, with entities that need a person, and the page of it."""

from __future__ import annotations

from typing import Any

import pytest

from lazymig import Phase, Repository, Sweeper, Switch
from tests.patience import be_patient
from tests.sweeps import thing
from tests.switches import followed
from tests.web.visitors import Host, Visitor

#: Ids that somebody may have chosen to do harm, or by mistake. None of their entities converts.
ODD = ("<b>&\"'</b>", "two\nlines\r\t\x1b[31m", "str:5", " spaced ", "x?id=int:5&why=a#b", "{'$gt': ''}")


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that gives up no sooner on a slow machine. Who tests that it gives up, says when."""
    be_patient(monkeypatch)


@pytest.fixture
def repo(server_database: Any) -> Repository[Any, Any]:
    """A repository that follows the recorded phase."""
    return followed(server_database)


@pytest.fixture
async def dead(server_database: Any, repo: Repository[Any, Any]) -> Repository[Any, Any]:
    """The migration in `coexist`, after a sweep that could not move some entities."""
    await Switch(repo).begin(Phase.COEXIST, by="me", why="a test")
    ids: list[Any] = [*ODD, 5, 6]
    await server_database["v1"].insert_many([thing(1), *(thing(id, -1) for id in ids)])
    await Sweeper(repo).run()
    return repo


@pytest.fixture
def host(repo: Repository[Any, Any]) -> Host:
    """A host application whose hook says that everybody is Ada."""
    return Host(repo)


@pytest.fixture
def visitor(host: Host) -> Visitor:
    """A person with a browser."""
    return Visitor(host.app)
