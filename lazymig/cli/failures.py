"""Errors as one line for the terminal: what to do, without passwords and without contents of documents."""

from __future__ import annotations

import re
import traceback

from pymongo.errors import AutoReconnect, OperationFailure, PyMongoError, ServerSelectionTimeoutError

from lazymig.errors import LazymigError
from lazymig.stores.fencing import is_refused_by_fence

#: A connection string: its hosts, and the rest, where options may hold secrets too.
_URI = re.compile(r"(mongodb(?:\+srv)?://)(\S*@)?([^/?\s'\"]*)[^\s'\"]*")

#: The server's code where a collection's validator refuses a document.
_VALIDATION = 121


class Unusable(LazymigError):
    """The command line asks for something impossible; the message says what to change. Exit code 2."""


def without_secrets(text: str) -> str:
    """Replace every connection string in the text by its hosts."""
    return _URI.sub(lambda match: f"{match[1]}{'***@' if match[2] else ''}{match[3]}", text)


def in_one_line(error: BaseException) -> str:
    """Describe an error in one line, for the user."""
    return " ".join(without_secrets(_described(error)).split())


def raised_at(error: BaseException) -> str:
    """Format the frames of the traceback, without the texts of exceptions, which may quote a document."""
    inner = raised_at(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else ""
    return without_secrets("".join(traceback.format_tb(error.__traceback__))) + inner


def _described(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return _described(error.exceptions[0])
    if isinstance(error, LazymigError):
        return str(error)
    if is_refused_by_fence(error):
        return "the database refuses this, because the migration has gone on to v2_only, or is being sealed for it"
    if isinstance(error, OperationFailure):
        # The server's own text may quote the command, and with it a document.
        name = (error.details or {}).get("codeName", type(error).__name__)
        advice = "; lazymig status says what to change in a collection's validator" if error.code == _VALIDATION else ""
        return f"the server refused: {name} (code {error.code}){advice}"
    if isinstance(error, ServerSelectionTimeoutError):
        return f"cannot reach the server: {_selection(str(error))}; check that it runs, and its address"
    if isinstance(error, AutoReconnect):
        # A server that is no longer the primary adds its whole reply.
        return f"lost the server: {_selection(str(error))}; run it again once it answers, what was done is kept"
    if isinstance(error, PyMongoError):
        return f"{type(error).__name__}: {error}"
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _selection(text: str) -> str:
    return text.partition(", Timeout:")[0].partition(" (configured")[0].partition(", full error:")[0]
