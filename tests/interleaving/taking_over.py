"""The truth, where what is written is seen before the majority has it, and may be taken back.

`failing_over.py` lets a statement that waits for the majority take effect as a whole. Here it takes two steps: others
see what it has written at once, and it is acknowledged once the majority has it. If another member takes over in
between, its writer learns nothing, and what others have seen of it is gone.
"""

from contextlib import ExitStack, contextmanager
from unittest import mock

from attrs import evolve
from pymongo.errors import AutoReconnect, DuplicateKeyError

from lazymig.stores import opening
from lazymig.stores.mongo_v1 import V1Store
from lazymig.stores.mongo_wholes import WholeStore
from lazymig.stores.v2_alone import AloneStore
from lazymig.testing.exploration.statement import Statement
from lazymig.testing.explore import Call, FixedClock, World
from lazymig.testing.linearizability import Outcome
from lazymig.testing.memory_collection import MemoryCollection
from tests.interleaving import outcomes
from tests.interleaving.failing_over import FAIL_OVER, Primary, concerned
from tests.interleaving.in_place import scenarios as in_place
from tests.interleaving.in_place.people import LAYOUTS
from tests.interleaving.in_place.people import states_of as wholes_of
from tests.interleaving.phases_side_by_side import (
    ALONE,
    COEXIST,
    V2_ONLY,
    V2_PRIMARY,
    SideBySide,
    resolve_and_read,
    scenario,
    states_of,
)
from tests.interleaving.subject import MIGRATION, STATES, Subject, opened, set_back_for_each_run

TERM = "term"


class SlowPrimary(Primary):
    """A primary whose majority has what it writes a while later."""

    def __init__(self, name, documents=()):
        super().__init__(name, documents)
        self._waits = False
        #: How often another member has taken over.
        self.terms = MemoryCollection("terms", [{"_id": TERM, "number": 0}])

    def update_one(self, filter, update, upsert=False, *, session=None, comment=None):
        """Change the first matching document, and wait."""
        return self._acknowledged(super().update_one(filter, update, upsert))

    def replace_one(self, filter, replacement, *, session=None, comment=None):
        """Store another document in place of the first matching one, and wait."""
        return self._acknowledged(super().replace_one(filter, replacement))

    def insert_one(self, document, *, session=None, comment=None):
        """Store a document, and wait."""
        return self._acknowledged(super().insert_one(document))

    def delete_one(self, filter, *, session=None, comment=None):
        """Remove the first matching document, and wait."""
        return self._acknowledged(super().delete_one(filter))

    async def _acknowledged(self, statement):
        """The outcome of a statement. The server waits also where nothing was written, or the id is taken."""
        sent = Statement(self.gate, self.name, statement.name, self._in_its_term, statement)
        term, outcome = await sent
        await self.wait(term)
        if isinstance(outcome, DuplicateKeyError):
            raise outcome
        return outcome

    def _in_its_term(self, statement):
        try:
            outcome = statement.effect(*statement.arguments)
        except DuplicateKeyError as error:
            outcome = error
        return self._term(), outcome

    def _term(self):
        return self.terms.stored(TERM)["number"]

    def wait(self, term=None):
        """Wait until the majority has what the primary of this term has, the present one if none is given."""
        return Statement(self.gate, self.name, "wait", self._reach, self._term() if term is None else term)

    def _reach(self, term):
        if term != self._term():
            raise AutoReconnect("another member has taken over")
        self.replicate()

    def take_over(self):
        """Let another member take over."""
        self.fall_back()
        self.terms._put({"_id": TERM, "number": self._term() + 1})


class WaitingAlone(AloneStore):
    """V2's store, which waits for the majority before it says that there is nothing, as on a server."""

    async def confirm_missing(self, id):
        """Wait, and look."""
        return await self._confirm_missing(id)


class WaitingV1(V1Store):
    """V1's store, which does so."""

    async def confirm_missing(self, id, left=None):
        """Wait, and look."""
        return await self._confirm_missing(self.carried.match_living(id, left))

    async def confirm_no_place(self, id):
        """Wait, and look for a document."""
        return await self._confirm_missing({"_id": id})


class WaitingWholes(WholeStore):
    """The store of one document, which does so."""

    async def confirm_missing(self, id):
        """Wait, and look."""
        return await self._confirm_missing(id)


@contextmanager
def waiting():
    """Stores that are opened meanwhile wait for the majority of a slow primary."""
    with ExitStack() as stack:
        for store in (WaitingAlone, WaitingV1, WaitingWholes):
            stack.enter_context(mock.patch.object(opening, store.__mro__[1].__name__, store))
        stack.enter_context(concerned())
        yield


def taken_over(made, primary, world, clock, times):
    """The scenario in this world, while another member takes over from the primary so many times."""

    async def take_over(_):
        await Statement(primary.gate, primary.name, "fail_over", primary.take_over)

    async def afterwards(s):
        primary.stay()
        return await made.afterwards(s)

    others = {"the other member": [Call(FAIL_OVER, take_over)] * times}
    return evolve(
        made, name=f"{made.name}, taken over", clients={**made.clients, **others}, afterwards=afterwards,
        setup=set_back_for_each_run(world, clock), outcomes={**made.outcomes, AutoReconnect: Outcome.UNCERTAIN},
    )  # fmt: skip


def taking_over(state, clients, *, times=1):
    """Clients by lists of call names, while another member takes over from V2's primary so many times."""
    made, clock = scenario((V2_ONLY, V2_ONLY), state, clients), FixedClock()
    v1, v2 = MemoryCollection("V1", ALONE[state][0]), SlowPrimary("V2", ALONE[state][1])
    world = World((v1, v2, v2.majority, v2.terms), opened_twice((V2_ONLY, V2_ONLY), v1, v2, clock))
    return taken_over(made, v2, world, clock, times)


def opened_twice(phases, v1, v2, clock, migration=MIGRATION):
    """A repository for each phase."""
    with waiting():
        sides = tuple(Subject(opened(migration, v1, v2, clock, phase=phase), v1, v2) for phase in phases)
    return SideBySide(sides)


def taking_over_v1(phases, state, clients, *, times=1):
    """Clients of these two phases, while another member takes over from V1's primary.

    A write whose outcome is unknown is one that died between V1 and V2, so marks are looked at as after a death.
    """
    made = scenario(phases, state, clients, crashes=False)
    if V2_PRIMARY in phases:
        made = evolve(made, afterwards=resolve_and_read)
    return _in_world(made, states_of(phases)[state], phases, times=times)


def leaving(state, clients, phase=COEXIST):
    """Clients of V1 and V2, where V2's door does not know some entities, while another member takes over from V1's."""
    made = outcomes.scenario("neither", clients, crashes=False)
    made = evolve(made, name=f"{phase}: {clients} from {state}")
    return _in_world(made, {**STATES, **outcomes.STATES}[state], (phase,), outcomes.DECIDING)


def _in_world(made, documents, phases, migration=MIGRATION, *, times=1):
    v1, v2, clock = SlowPrimary("V1", documents[0]), MemoryCollection("V2", documents[1]), FixedClock()
    opened_on = opened_twice(phases, v1, v2, clock, migration)
    calls_on = opened_on if len(phases) > 1 else opened_on.sides[0]
    return taken_over(made, v1, World((v1, v2, v1.majority, v1.terms), calls_on), clock, times)


def taking_over_one(phases, state, clients, *, times=1, layout="flat"):
    """Clients of these two phases in one document, while another member takes over from its primary."""
    made, clock = in_place.scenario(phases, state, clients, layout, crashes=False), FixedClock()
    document = wholes_of(layout)[state]
    store = SlowPrimary("people", () if document is None else (document,))
    with waiting():
        sides = in_place.side_by_side(store, (LAYOUTS[layout],) * 2, phases, clock)
    return taken_over(made, store, World((store, store.majority, store.terms), sides), clock, times)
