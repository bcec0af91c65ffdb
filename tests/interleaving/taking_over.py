"""V2 as the only truth, where what is written is seen before the majority has it, and may be taken back.

`failing_over.py` lets a statement that waits for the majority take effect as a whole. Here it takes two steps: others
see what it has written at once, and it is acknowledged once the majority has it. If another member takes over in
between, its writer learns nothing, and what others have seen of it is gone.
"""

from unittest import mock

from attrs import evolve
from pymongo.errors import AutoReconnect, DuplicateKeyError

from lazymig.stores import opening
from lazymig.stores.v2_alone import AloneStore
from lazymig.testing.exploration.statement import Statement
from lazymig.testing.explore import Call, FixedClock, World
from lazymig.testing.linearizability import Outcome
from lazymig.testing.memory_collection import MemoryCollection
from tests.interleaving.failing_over import FAIL_OVER, Primary, concerned
from tests.interleaving.phases_side_by_side import ALONE, V2_ONLY, SideBySide, scenario
from tests.interleaving.subject import MIGRATION, Subject, opened, set_back_for_each_run

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
    """The store, which waits for the majority before it says that there is nothing, as on a server."""

    async def confirm_missing(self, id):
        """Wait, and look."""
        return await self._confirm_missing(id)


def taking_over(state, clients, *, times=1):
    """Clients by lists of call names, while another member takes over from V2's primary so many times."""
    made, clock = scenario((V2_ONLY, V2_ONLY), state, clients), FixedClock()
    v1, v2 = MemoryCollection("V1", ALONE[state][0]), SlowPrimary("V2", ALONE[state][1])
    with mock.patch.object(opening, "AloneStore", WaitingAlone), concerned():
        sides = tuple(Subject(opened(MIGRATION, v1, v2, clock, phase=V2_ONLY), v1, v2) for _ in range(2))
    world = World((v1, v2, v2.majority, v2.terms), SideBySide(sides))

    async def take_over(_):
        await Statement(v2.gate, v2.name, "fail_over", v2.take_over)

    async def afterwards(s):
        v2.stay()
        return await made.afterwards(s)

    others = {"the other member": [Call(FAIL_OVER, take_over)] * times}
    return evolve(
        made, name=f"{made.name}, taken over", clients={**made.clients, **others}, afterwards=afterwards,
        setup=set_back_for_each_run(world, clock), outcomes={**made.outcomes, AutoReconnect: Outcome.UNCERTAIN},
    )  # fmt: skip
