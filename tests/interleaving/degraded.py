"""Processes in `shadow` while V2 is away from one of them, which writes V1 alone, and what comes before `coexist`."""

from attrs import evolve, frozen
from pymongo.errors import AutoReconnect

from lazymig import Phase
from lazymig.errors import NotFound
from lazymig.protocol import repair
from lazymig.repository import calls_of
from lazymig.routes.building import make_suspect
from lazymig.routes.degradable import Degradable
from lazymig.routes.shadow import Shadow
from lazymig.routes.stages import FixedStages
from tests.interleaving import subject
from tests.interleaving.phases_side_by_side import SideBySide, on_side
from tests.interleaving.subject import ID, INVARIANTS, MIGRATION, STATES, Subject, common, opened

#: What the first client does, from whom V2 is away.
WRITES = ("update", "insert", "delete", "replace", "V1 update", "V1 insert", "V1 delete")
#: What the second does.
CALLS = (*WRITES, "get", "get many", "list", "V1 get", "failed update", "heal", "sweep")


class Away:
    """A store of V2 that cannot be reached."""

    def __getattr__(self, name):
        async def fail(*_, **__):
            raise AutoReconnect("gone")

        return fail


@frozen
class Noted:
    """Where it is recorded that V2 is suspect."""

    async def record(self):
        """Done before: what is explored here is what follows."""


def routed(repository, pair, *, suspect=True):
    """The repository with the route of a process that takes nothing from V2 for granted, or with its own."""
    calls = calls_of(repository)
    stage = calls.stages.now
    if suspect:
        pair = make_suspect(pair)
        stage = evolve(stage, route=Degradable(pair, Shadow(pair), Noted()))
    repository._calls = evolve(calls, ground=pair, stages=FixedStages(stage, None))
    return repository


def cut_off(repository):
    """Take V2 away from this process."""
    routed(repository, evolve(calls_of(repository).pair, ledger=Away(), bodies=Away()))


def setup(state, *, beside=Phase.SHADOW, suspect=True):
    """A function that gives the world of one state: the first process has no V2, the second has."""

    def both(v1, v2, clock):
        one, other = (opened(MIGRATION, v1, v2, clock, phase=phase) for phase in (Phase.SHADOW, beside))
        cut_off(one)
        routed(other, calls_of(other).pair, suspect=suspect and beside is Phase.SHADOW)
        return SideBySide((Subject(one, v1, v2), Subject(other, v1, v2)))

    return subject.setup(STATES[state], subject=both)


async def repair_and_read(s):
    """What `coexist` answers once a verification has repaired every entity."""
    await repair(calls_of(s.later.repository).pair, ID)
    return await read_in_coexist(s)


async def read_in_coexist(s):
    """What `coexist` answers, by each of its ways."""
    clock = calls_of(s.later.repository).pair.clock
    repository = opened(MIGRATION, s.later.v1, s.later.v2, clock, phase=Phase.COEXIST)
    first = common(await repository.get(ID))
    held = {} if first is None else {ID: first}
    assert await subject.found(repository.list()) == held, "the listing differs from the read"
    assert common(await repository.v1.get(ID)) == first, "the two doors differ"
    try:
        # It starts from V2 where that is clean.
        assert common(await repository.update(ID, lambda entity: entity)) == first, "a write starts from something else"
    except NotFound:
        assert first is None
    return {ID: first}


def scenario(state, clients, *, afterwards=repair_and_read, **options):
    """Clients by lists of call names: from the first, V2 is away."""
    kept = {name: INVARIANTS[name] for name in ("gone has no body", "unknown fields", "marked")}
    made = subject.scenario(
        state, clients, setup=setup(state, **options), invariants=kept, afterwards=afterwards, crashes=True
    )
    moved = {
        client: [on_side(call, int(index > 0)) for call in calls]
        for index, (client, calls) in enumerate(made.clients.items())
    }
    return evolve(made, name=f"V2 away: {made.name}", clients=moved)
