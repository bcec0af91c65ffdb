"""The options of a repository."""

from __future__ import annotations

from typing import Literal

from attrs import evolve, frozen

from lazymig.dark.settings import DarkReads
from lazymig.errors import ConfigurationError
from lazymig.loop.clock import Clock


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
