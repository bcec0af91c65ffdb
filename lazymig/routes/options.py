"""The options of a repository."""

from __future__ import annotations

from typing import Final, Literal

from attrs import evolve, frozen

from lazymig.dark.settings import DarkReads
from lazymig.errors import ConfigurationError
from lazymig.loop.breaker import Breaker
from lazymig.loop.clock import Clock
from lazymig.telemetry import LEFT_DIRTY, Tally


@frozen(kw_only=True)
class Options:
    """The options of `Repository`, by the names of its keywords."""

    clock: Clock
    coalesce: bool
    write_behind: bool
    checked: bool
    read_concern: Literal["linearizable"] | None
    max_attempts: int
    max_in_flight: int | None
    timeout_s: float | None
    v2_wait_s: float | None
    dark_reads: DarkReads | None = None

    def check(self) -> None:
        """Raise `ConfigurationError` for values with which no call could end well."""
        if self.max_attempts < 1:
            raise ConfigurationError("max_attempts: pass 1 or more")
        for name, seconds in (("timeout_s", self.timeout_s), ("v2_wait_s", self.v2_wait_s)):
            if seconds is not None and not (isinstance(seconds, int | float) and seconds > 0):
                raise ConfigurationError(f"{name}: pass seconds above 0, or None for no bound")
        if self.read_concern not in (None, "linearizable"):
            raise ConfigurationError('read_concern: pass "linearizable", or None')
        if self.dark_reads is not None and not isinstance(self.dark_reads, DarkReads):
            raise ConfigurationError("dark_reads: pass a lazymig.DarkReads, or None")

    def in_session(self) -> Options:
        """Return these options for a session: no shared or deferred statements, and no bound in time of its own.

        Raises `ConfigurationError` for options that a transaction cannot keep.
        """
        if self.read_concern is not None:
            raise ConfigurationError("with_session: no transaction keeps read_concern; make a repository without it")
        return evolve(self, coalesce=False, write_behind=False, timeout_s=None)


#: Seconds that a read waits for V2 where the user says nothing and V1 answers as well, and that a step waits at least.
_WAIT_S: Final = 1.0


@frozen(kw_only=True)
class Outage:
    """What becomes of calls while V2 does not answer.

    Attributes:
        read_wait_s: Seconds that a read waits for V2 before V1 answers; None: as long as the call may take.
        step_wait_s: Seconds that a step waits for V2 once the call has its answer, or V1 has the write.
        breaker: Whether it is worth while to ask V2; None where V2's failure is the caller's error.
    """

    read_wait_s: float | None
    step_wait_s: float | None
    breaker: Breaker | None

    def note_late(self, tally: Tally) -> None:
        """Count a step that V2 did not carry out in time."""
        tally.count(LEFT_DIRTY)
        if self.breaker is not None:
            self.breaker.failed()


#: In a session every error of a statement is the caller's: it may have ended the transaction.
IN_SESSION: Final = Outage(read_wait_s=None, step_wait_s=None, breaker=None)


def plan_outage(options: Options, *, remembers: bool) -> Outage:
    """Return what becomes of calls while V2 does not answer.

    `remembers`: V2's bodies hold what V1 cannot express, so that an answer of V1 alone may lack values. Then V1 answers
    in V2's place only where the user has asked for it.
    """
    # Half of a call's time: if V2 hangs, the call still ends in time, with V1's answer or write and without an error.
    half_s = None if options.timeout_s is None else options.timeout_s / 2
    if options.v2_wait_s is None and remembers:
        return Outage(read_wait_s=None, step_wait_s=half_s, breaker=None)
    wait_s = options.v2_wait_s
    if wait_s is None and half_s is not None:
        wait_s = min(_WAIT_S, half_s)
    # Not less than a second, also where reads wait shorter: what a step leaves out costs the next reader more.
    step_s = None if half_s is None or remembers else min(half_s, max(_WAIT_S, wait_s or 0))
    return Outage(read_wait_s=wait_s, step_wait_s=step_s or half_s, breaker=Breaker(options.clock))
