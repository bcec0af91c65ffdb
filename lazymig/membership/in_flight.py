"""The calls of a process that are in flight, by the epoch under which they began."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Protocol
from weakref import ref

from attrs import define, field
from pymongo.errors import PyMongoError

from lazymig.control import Standing
from lazymig.errors import PhaseError
from lazymig.stores.given import Session
from lazymig.stores.sessions import transaction_of


class Unfinished(Protocol):
    """Work that a call left behind: a task."""

    def done(self) -> bool:
        """Whether it is over."""


class TransactionLost(PhaseError, PyMongoError):
    """A transaction began under a registration that is over: what it does now, nobody waits for."""

    def __init__(self) -> None:
        PyMongoError.__init__(
            self,
            "the lease of this process was over during this transaction: run it again, as with_transaction does",
            ["TransientTransactionError"],
        )


@define(eq=False)
class Generation:
    """The calls that began under one epoch, while the process was registered once. Calls are counted in place."""

    standing: Standing
    #: Whether writes wait.
    holds: bool
    calls: int = 0
    writes: int = 0
    #: Whether the registration is over under which these calls began.
    lost: bool = False
    #: The sessions whose transaction began here, by identity: Motor's cannot be hashed.
    _transactions: dict[int, tuple[ref[Session], Hashable]] = field(factory=dict, repr=False)

    def pin(self, session: Session, transaction: Hashable) -> None:
        """Note that this transaction of the session belongs here."""
        self._transactions[id(session)] = ref(session), transaction

    def has_pinned(self, session: Session, transaction: Hashable) -> bool:
        """Whether this transaction belongs here."""
        known = self._transactions.get(id(session))
        return known is not None and known[0]() is session and known[1] == transaction

    def has_open_transactions(self) -> bool:
        """Whether a transaction is open whose first call belongs here."""
        for place, (reference, transaction) in list(self._transactions.items()):
            session = reference()
            # A session that is gone commits nothing any more.
            if session is None or transaction_of(session) != transaction:
                del self._transactions[place]
        return bool(self._transactions)


class CallsInFlight:
    """The generations of calls of one process, and what their calls left behind.

    Args:
        find_unfinished: Returns the work that calls left behind, such as bodies that are stored behind their callers.
    """

    def __init__(self, find_unfinished: Callable[[], Iterable[Unfinished]] = tuple) -> None:
        self._find_unfinished = find_unfinished
        self._earlier: list[Generation] = []
        self._unfinished: list[Unfinished] | None = None
        #: The generation of a call that begins now; None before the phase is known.
        self.now: Generation | None = None

    def begin(self, standing: Standing) -> None:
        """Begin the generation of this record."""
        if self.now is not None:
            self._earlier.append(self.now)
        self.now = Generation(standing, standing.hold == "writes")
        self._unfinished = None

    def lose(self) -> None:
        """Note that the registration is over under which all calls so far began."""
        if self.now is not None:
            self._earlier.append(self.now)
            self.now = None
        for generation in self._earlier:
            generation.lost = True

    def forget(self) -> None:
        """Forget all calls: they are those of another process, from which this one was forked."""
        self.now, self._earlier, self._unfinished = None, [], None

    def find_pinned(self, session: Session, transaction: Hashable) -> Generation | None:
        """Find the generation to which this open transaction belongs; None where this is its first call."""
        for generation in (self.now, *self._earlier):
            if generation is not None and generation.has_pinned(session, transaction):
                return generation
        return None

    def find_begun(self, session: Session | None) -> Generation | None:
        """Find the generation to which the session's open transaction belongs; None where there is none."""
        transaction = None if session is None else transaction_of(session)
        return None if session is None or transaction is None else self.find_pinned(session, transaction)

    @property
    def drained(self) -> bool:
        """Whether nothing is in flight that began earlier, and while writes are held, no write.

        Once the calls have ended, what they left behind is waited for as well.
        """
        now = self.now
        self._earlier = [one for one in self._earlier if one.calls or one.has_open_transactions()]
        if now is None or self._earlier or (now.holds and (now.writes or now.has_open_transactions())):
            return False
        if self._unfinished is None:
            self._unfinished = list(self._find_unfinished())
        self._unfinished = [one for one in self._unfinished if not one.done()]
        return not self._unfinished

    @property
    def idle(self) -> bool:
        """Whether nothing at all is in flight."""
        now = self.now
        busy = now is not None and (now.calls or now.has_open_transactions())
        self._earlier = [one for one in self._earlier if one.calls or one.has_open_transactions()]
        return not busy and not self._earlier and all(one.done() for one in self._find_unfinished())
