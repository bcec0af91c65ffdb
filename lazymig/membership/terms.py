"""What a process says of itself to its fleet."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Protocol

from attrs import field, frozen

from lazymig.control import MemberRecord, Standing
from lazymig.membership.in_flight import Unfinished
from lazymig.membership.lease import LEASE_S
from lazymig.telemetry import Tally


class Beside(Protocol):
    """What a process does beside its heartbeats, in tasks of its own."""

    def begin(self) -> None:
        """Begin; nothing is due at once."""

    def start(self) -> None:
        """Start what is due; return at once, and raise nothing."""

    async def end(self) -> None:
        """End what is under way."""


@frozen(kw_only=True)
class Terms:
    """What a process says of itself, and what its membership needs of it."""

    #: "service", or the tool that it runs.
    role: str = "service"
    #: The conversion revision of its migration.
    revision: int = 1
    #: Seconds that it may work after a heartbeat.
    lease_s: float = LEASE_S
    #: Returns the work that its calls left behind.
    find_unfinished: Callable[[], Iterable[Unfinished]] = tuple
    #: Raises `PhaseError` where it cannot work by a record.
    check: Callable[[Standing], None] = lambda _: None
    #: What is started while the lease is held; None for nothing.
    beside: Beside | None = None
    tally: Tally = field(factory=lambda: Tally(""))

    def make_record(self, now: datetime) -> MemberRecord:
        """Return the record of this process before it is registered."""
        return MemberRecord("", name_process(), self.role, _release(), self.revision, 0, 0, self.lease_s, now)


def name_process() -> str:
    """Return host and process id."""
    return f"{socket.gethostname()}:{os.getpid()}"


def _release() -> str:
    try:
        return version("lazymig")
    except PackageNotFoundError:
        return ""
