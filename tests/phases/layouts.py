"""The layouts in which the service takes its walk: what the processes are given, and what differs on the way."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from examples.service.storage import ONE_DOCUMENT, TWO_COLLECTIONS, open_customers
from lazymig import Control, Phase, Repository


@frozen
class Layout:
    """Where both shapes are."""

    name: str
    phases: tuple[Phase, ...]
    #: Whether programs may write V1's fields that do not use lazymig.
    outsiders: bool
    #: Whether a write is announced before V1 has it, so that a test sees those that are half way.
    announces: bool
    #: What clients may leave behind that closes a gate, and that a sweep ends.
    swept: tuple[str, ...]
    #: What a verification says in `v2_only`.
    over: str

    @property
    def variables(self) -> dict[str, str]:
        """What the processes are given."""
        return {"CUSTOMERS_LAYOUT": self.name}

    def open(self, database: Any, control: Control) -> Repository[Any, Any]:
        """The service's repository, for its operator."""
        return open_customers(database, control, self.name)


TWO = Layout(TWO_COLLECTIONS, tuple(Phase), False, True, ("open-writes: ",), "V1 is stale")
ONE = Layout(
    ONE_DOCUMENT,
    tuple(phase for phase in Phase if phase is not Phase.PREPARE),
    True,
    False,
    ("remaining: ",),
    "V1 is stale",
)
