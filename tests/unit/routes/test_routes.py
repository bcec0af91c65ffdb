"""Routes: a phase is one object, and the doors ask it for everything."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from lazymig import ConfigurationError, Phase, Repository
from lazymig.repository import calls_of
from lazymig.routes import building
from lazymig.routes.degradable import Degradable
from lazymig.routes.gradual import Gradual
from lazymig.routes.route import Route
from lazymig.testing.memory_collection import MemoryCollection
from tests.people import PersonV1, ada, people
from tests.unit.routes.seventh import Seventh

COLLECTIONS: dict[str, Any] = {"v1": MemoryCollection("v1"), "v2": MemoryCollection("v2")}
VERBS = sorted(name for name, value in vars(Route).items() if inspect.isfunction(value) and not name.startswith("_"))


@pytest.mark.parametrize("phase", list(Phase))
def test_every_phase_has_a_route_of_its_own(phase: Phase) -> None:
    """The repository is made with it, and it is named after its phase."""
    repository = Repository(people(), phase=phase, **COLLECTIONS)
    assert repository.phase is phase
    route = type(calls_of(repository).route)
    assert route.__module__ == f"lazymig.routes.{phase}"
    assert list(building.ROUTES.values()).count(route) == 1


def test_a_phase_without_a_route_cannot_be_constructed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused when the repository is made, and the error names the phases that run."""
    monkeypatch.delitem(building.ROUTES, Phase.SHADOW)
    with pytest.raises(ConfigurationError, match=r"phase: this release runs Phase\.V1_ONLY, Phase\.PREPARE, Phase\.CO"):
        Repository(people(), phase=Phase.SHADOW, **COLLECTIONS)


def test_what_only_some_routes_do() -> None:
    """Where sweeps may run, who answers, where V2 must be complete, and where V1 is kept, is said by the route."""
    said = {
        phase: [getattr(route, name) for name in ("uses_v2", "fills_v2", "serves_v2", "lists_v2", "keeps_v1")]
        for phase, route in building.ROUTES.items()
    }
    assert said == {
        Phase.V1_ONLY: [False, False, False, False, True],
        Phase.PREPARE: [True, False, False, False, True],
        Phase.SHADOW: [True, True, False, False, True],
        Phase.COEXIST: [True, True, True, False, True],
        Phase.V2_PRIMARY: [True, True, True, True, True],
        Phase.V2_ONLY: [True, False, True, True, False],
    }


def test_checked_reads_need_a_v1_that_is_kept() -> None:
    """In `v2_only` V1 is stale, and must not win over V2."""
    with pytest.raises(ConfigurationError, match=r"^checked: the phase v2_only does not read V1"):
        Repository(people(), phase=Phase.V2_ONLY, checked=True, **COLLECTIONS)


@pytest.mark.parametrize("phase", ["coexist", Phase.COEXIST])
def test_the_value_of_a_phase_stands_for_the_phase(phase: Any) -> None:
    """A setting of the environment is a text; what the repository says afterwards is a `Phase`."""
    repository = Repository(people(), phase=phase, **COLLECTIONS)
    assert repository.phase is Phase.COEXIST
    assert calls_of(repository).in_session(None).phase is Phase.COEXIST


@pytest.mark.parametrize("phase", [None, [], "nothing", 1])
def test_what_is_no_phase_is_refused(phase: Any) -> None:
    """With the same error as a phase without a route, whatever it is."""
    with pytest.raises(ConfigurationError, match="this release runs"):
        Repository(people(), phase=phase, **COLLECTIONS)


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("timeout_s", (0, -1, float("nan"), "10")),
        ("v2_wait_s", (0, -0.5, float("nan"), "0.2")),
        ("read_concern", ("majority", "Linearizable")),
        ("max_attempts", (0, -1)),
        ("max_in_flight", (0, -1)),
    ],
)
def test_options_with_which_no_call_could_end_well_are_refused(option: str, values: tuple[Any, ...]) -> None:
    """They are refused when the repository is made, rather than in a call, and the error names the option."""
    for value in values:
        with pytest.raises(ConfigurationError, match=f"^{option}: pass "):
            Repository(people(), phase=Phase.COEXIST, **COLLECTIONS, **{option: value})


@pytest.mark.parametrize("route", [*building.ROUTES.values(), Gradual, Degradable])
def test_every_route_has_every_verb_of_its_own(route: type[Route[Any, Any]]) -> None:
    """A verb that a route lacks would fall through to the protocol class, which answers nothing."""
    assert "read" in VERBS
    assert "count" in VERBS
    assert [verb for verb in VERBS if verb not in vars(route)] == []


def test_a_seventh_route_takes_one_file_and_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty route is constructed like the others once it stands in the table, and only then."""
    with pytest.raises(ConfigurationError, match="this release runs"):
        Repository(people(), phase="seventh", **COLLECTIONS)  # type: ignore[arg-type]
    monkeypatch.setitem(building.ROUTES, "seventh", Seventh)
    repository = Repository(people(), phase="seventh", **COLLECTIONS)  # type: ignore[arg-type]
    assert isinstance(calls_of(repository).route, Seventh)


@pytest.mark.parametrize("verb", VERBS)
async def test_a_verb_that_a_route_lacks_is_an_error(verb: str) -> None:
    """An incomplete route refuses the call, where answering nothing would look like an empty collection."""
    missing: Any = getattr(Seventh(None), verb)  # type: ignore[arg-type]
    arguments = [None] * (len(inspect.signature(missing).parameters))
    with pytest.raises(NotImplementedError):
        await missing(*arguments)


class Recording:
    """A route that notes the verbs that it is asked for, and answers nothing."""

    def __init__(self, pair: Any) -> None:
        self.pair = pair
        self.asked: list[str] = []

    uses_v2 = fills_v2 = serves_v2 = lists_v2 = False
    keeps_v1 = True

    def __getattr__(self, name: str) -> Any:
        self.asked.append(name)

        async def answer(*_: Any) -> Any:
            return {} if name.endswith("many") else None

        async def pages(*_: Any) -> Any:
            for page in ([],):
                yield page

        return pages if name.endswith("pages") else answer


@pytest.mark.parametrize(
    ("call", "verb"),
    [
        (lambda repo: repo.get(1), "read"),
        (lambda repo: repo.get_many([1]), "read_many"),
        (lambda repo: repo.exists(1), "exists"),
        (lambda repo: repo.insert(ada(1)), "insert"),
        (lambda repo: repo.v1.insert(PersonV1(1, "Ada Byron")), "insert"),
        (lambda repo: repo.replace(ada(1)), "write"),
        (lambda repo: repo.delete(1), "write"),
        (lambda repo: repo.count(), "count"),
        (lambda repo: anext(repo.list(), None), "pages"),
        (lambda repo: repo.v1.get(1), "read_v1"),
        (lambda repo: repo.v1.get_many([1]), "read_v1_many"),
        (lambda repo: repo.v1.exists(1), "exists_in_v1"),
        (lambda repo: repo.v1.delete(1), "write"),
        (lambda repo: repo.v1.count(), "count_v1"),
        (lambda repo: anext(repo.v1.list(), None), "v1_pages"),
    ],
)
async def test_each_call_asks_the_route_once(call: Any, verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The way down goes through one verb, from either door."""
    monkeypatch.setitem(building.ROUTES, "recording", Recording)
    repository = Repository(people(), phase="recording", **COLLECTIONS)  # type: ignore[arg-type]
    await call(repository)
    assert calls_of(repository).route.asked == [verb]
