"""An application for the command line's tests, in memory: `repository` follows a record, `fixed` has its phase."""

from __future__ import annotations

from typing import Any

from lazymig import Phase, Repository
from tests.switches import followed

#: What the application's functions open; a test puts its own here.
DATABASE: dict[str, Any] = {}


def repository() -> Repository[Any, Any]:
    """A repository that follows the recorded phase."""
    return followed(DATABASE["now"], DATABASE.get("clock"))


def fixed() -> Repository[Any, Any]:
    """A repository with a phase of its own."""
    return followed(DATABASE["now"], phase=Phase.COEXIST)
