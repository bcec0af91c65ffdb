"""The options that several verbs share, and the exit codes."""

from __future__ import annotations

import enum
import getpass
import socket
from typing import Annotated

from cyclopts import Parameter


class Exit(enum.IntEnum):
    """The exit code of the process."""

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
        help="module:attribute, where the attribute is a lazymig.Repository or a (possibly async) function that "
        "returns one.",
    ),
]
#: A switch: on where it is given.
Flag = Annotated[bool, Parameter(negative="", show_default=False)]
Json = Annotated[Flag, Parameter(name="--json", help="Print one JSON object; progress as JSON lines.")]
Debug = Annotated[Flag, Parameter(name="--debug", help="Show where an error was raised.")]


def find_user() -> str:
    """Return who runs this command, as records name them: user@host."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container's user may have no name
        user = "unknown"
    return f"{user}@{socket.gethostname()}"


def examples(*commands: str) -> str:
    """Return the end of a help text: commands as a user types them."""
    return "\n".join(["Examples:", "", *(f"    {command}" for command in commands)])
