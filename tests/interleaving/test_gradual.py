"""A gradual cut-over on the real routes: processes whose shares differ by a change, and the phases beside them."""

from itertools import product

from attrs import evolve

from lazymig import Control, Phase
from lazymig.control import Moved, Standing
from lazymig.repository import calls_of
from lazymig.routes.choosing import open_choosing
from lazymig.routes.stages import FixedStages
from lazymig.testing.memory_collection import MemoryCollection
from tests.interleaving import subject
from tests.interleaving.phases_side_by_side import SOME, SideBySide, all_calls, on_side, read_afterwards, states_of
from tests.interleaving.running import visited
from tests.interleaving.subject import INVARIANTS, MIGRATION, Subject, opened
from tests.widening import WIDENING

FULL = WIDENING.full
SHADOW, COEXIST, V2_PRIMARY = Phase.SHADOW, Phase.COEXIST, Phase.V2_PRIMARY
#: The cut-over before a change and after it: the entity is chosen or not, by the share or by a cohort.
NONE, SHARE, COHORT = {"share": 0.0}, {"share": 0.9}, {"share": 0.0, "cohorts": ["staff"]}
MOVED = Moved(subject.CLOCK.now(), "me", "to explore it", None, COEXIST, 1)
#: Which may run side by side: one change apart. The gate into `v2_primary` wants the whole share; the last pairs show
#: that a process which missed that would answer right all the same.
PAIRS = ((NONE, SHARE), (COHORT, NONE), (SHADOW, SHARE), (SHARE, COEXIST), (NONE, V2_PRIMARY), (SHARE, V2_PRIMARY))


def routed(repository, settings):
    """The repository as a process has it that follows these settings in `coexist`."""
    calls = calls_of(repository)
    control = Control(MemoryCollection("control"))
    control.cohort("staff", [subject.ID])
    builder = evolve(calls.builder, choosing=open_choosing(control, MIGRATION.name))
    standing = Standing(MIGRATION.name, COEXIST, 1, None, settings, (MOVED,))
    repository._calls = evolve(calls, stages=FixedStages(builder.build(standing), None))
    return repository


def setup(state, sides):
    """A function that gives the world of one starting state, with a repository for each side."""

    def both(v1, v2, clock):
        made = []
        for side in sides:
            phase = side if isinstance(side, Phase) else COEXIST
            repository = opened(MIGRATION, v1, v2, clock, phase=phase)
            made.append(Subject(repository if isinstance(side, Phase) else routed(repository, side), v1, v2))
        return SideBySide(tuple(made))

    return subject.setup(states_of(phases_of(sides))[state], subject=both)


def phases_of(sides):
    """The phases of both sides."""
    return tuple(side if isinstance(side, Phase) else COEXIST for side in sides)


def scenario(state, sides, clients):
    """Clients by lists of call names: the first works on the first side, the second on the other."""
    made = subject.scenario(
        state, clients, make=all_calls, setup=setup(state, sides), invariants=INVARIANTS, afterwards=read_afterwards,
        crashes=V2_PRIMARY not in sides,
    )  # fmt: skip
    moved = {
        client: [on_side(call, int(index > 0)) for call in calls]
        for index, (client, calls) in enumerate(made.clients.items())
    }
    return evolve(made, name=f"{sides}: {made.name}", clients=moved)


def test_two_shares_side_by_side():
    """Linearizable with any crash, wherever the entity is chosen and wherever it is not; both find the same then."""
    calls = (*SOME, "get many", "sweep") if FULL else ("get", "get many", "list", "insert", "update", "delete")
    wanted = calls if FULL else ("insert", "update", "delete")
    clients = [((a,), (b,)) for a, b in product(wanted, calls)]
    clients += [(("update",), ("get", "list")), (("get", "get"), ("delete", "insert"))]
    names = ("both clean", "placeholder with V1") if FULL else ("both clean",)
    visited("gradual", [scenario(state, sides, some) for sides in PAIRS for state, some in product(names, clients)])


def test_an_entity_moves_between_the_two_answers():
    """Without a share V1 answers, with one V2 does first; the route says which, so the explorations differ."""
    for settings, chosen in ((NONE, False), (SHARE, True), (COHORT, True)):
        repository = opened(MIGRATION, MemoryCollection("V1"), MemoryCollection("V2"), subject.CLOCK)
        assert calls_of(routed(repository, settings)).route.choice.chooses(subject.ID) is chosen
