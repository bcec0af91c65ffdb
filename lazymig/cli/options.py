"""What several verbs take, spelled once, and the exit codes."""

from __future__ import annotations

import enum
from typing import Annotated

from cyclopts import Parameter


class Exit(enum.IntEnum):
    """What the process tells its caller."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    #: Finished, but something needs a person: dead letters, mismatches.
    NEEDS_PERSON = 3


App = Annotated[
    str,
    Parameter(
        name="--app",
        env_var="LAZYMIG_APP",
        help="module:attribute, a lazymig.Repository or a (possibly async) function that returns one.",
    ),
]
Json = Annotated[bool, Parameter(name="--json", negative="", help="Print one JSON object; progress as JSON lines.")]
Debug = Annotated[bool, Parameter(name="--debug", negative="", help="Show where an error was raised.")]
