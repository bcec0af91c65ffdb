"""Why a comparison could not be made, in words and without contents."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import bson.errors

from lazymig.errors import ConversionError, LazymigError
from lazymig.stores.records import Unmoved
from lazymig.user_code import find_raising_line


class CheckFailed(Exception):
    """A function of the user's own raised an error or returned what it must not, or BSON cannot hold its result.

    The text contains nothing of a document.
    """


async def call_check(name: str, function: Callable[..., object], *given: object) -> object:
    """Call a check of the user's own, which may be async, and return its result."""
    try:
        result = function(*given)
        return await result if inspect.isawaitable(result) else result
    except Exception as error:
        failure = CheckFailed(f"{name} raised {_name(error)}")
    # Raised outside the handler: the cause may quote the document, and must not become the context.
    raise failure


@contextmanager
def encoding(check: str) -> Iterator[None]:
    """Report a document that BSON cannot hold, which a conversion may make."""
    failure: CheckFailed | None = None
    try:
        yield
    except (bson.errors.BSONError, OverflowError, UnicodeEncodeError) as error:
        failure = CheckFailed(f"{check}: BSON cannot hold the result ({type(error).__name__})")
    if failure is not None:
        raise failure


def describe(error: ConversionError | CheckFailed) -> str:
    """Return what failed, where, and with what kind of error."""
    if isinstance(error, CheckFailed):
        return str(error)
    where = f" at field {error.path!r}" if error.path else ""
    why = f"{type(error.cause).__name__}{f' at {error.line}' if error.line else ''}"
    if isinstance(error.cause, LazymigError) or getattr(type(error.cause), "without_contents", False) is True:
        why = str(error.cause)  # it contains nothing of the document
    what = f"{error.side or 'a'} document does not decode" if error.direction == "read" else f"{error.direction} failed"
    return f"{what}{where}: {why}"


def describe_unmoved(unmoved: Unmoved) -> str:
    """Return in words why V2 has no body of V1's entity."""
    return f"it waits for its user ({unmoved.reason})" if unmoved.why == "waiting" else "`upgrade` leaves it"


def _name(error: Exception) -> str:
    line = find_raising_line(error)
    return f"{type(error).__name__}{f' at {line}' if line else ''}"
