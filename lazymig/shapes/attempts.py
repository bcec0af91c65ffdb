"""Calls of conversions and codecs. Each failure is a `ConversionError` with the id and the field."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from lazymig.errors import ConversionError, Direction, LazymigError, Side
from lazymig.shapes.annotations import fields_of
from lazymig.shapes.codec import failure_path, leaf_error
from lazymig.shapes.entities import refused_path
from lazymig.shapes.signatures import Conversion
from lazymig.user_code import find_raising_line

T = TypeVar("T")


def _explain(error: ConversionError, entity: object, cls: type) -> ConversionError:
    """Return a clearer error if a conversion reads an attribute that only the other class has, else the given one."""
    cause = error.cause
    if not isinstance(cause, AttributeError) or cause.obj is not entity or cause.name not in fields_of(cls):
        return error
    given = type(entity).__name__
    text = (
        f"it was given {given} and reads {cause.name!r}, which {cls.__name__} has: are upgrade and downgrade swapped?"
    )
    return ConversionError(error.id, error.direction, TypeError(text).with_traceback(cause.__traceback__), error.path)


def call(conversion: Conversion, id: Any, direction: Direction, given: tuple[Any, Any], cls: type) -> Any:
    """Call a conversion. Return its result, or an awaitable of it if the conversion is async."""
    try:
        result = conversion.function(*given) if conversion.takes_other else conversion.function(given[0])
    except Exception as error:
        failure = _explain(make_failure(id, direction, error, cls=cls), given[0], cls)
    else:
        return _await(result, id, direction, given[0], cls) if conversion.is_async else result
    raise failure


async def _await(result: Awaitable[Any], id: Any, direction: Direction, entity: object, cls: type) -> Any:
    try:
        return await result
    except Exception as error:
        failure = _explain(make_failure(id, direction, error, cls=cls), entity, cls)
    raise failure


def attempt(id: Any, direction: Direction, function: Callable[[Any], T], value: Any, side: Side = "") -> T:
    """Call a function on a value."""
    try:
        return function(value)
    except Exception as error:
        failure = make_failure(id, direction, error, side)
    # Raised outside the handler, so that the cause does not become its context. The cause may quote the document, and a
    # logged traceback or a pickled error would show it.
    raise failure


def make_failure(
    id: Any, direction: Direction, error: Exception, side: Side = "", cls: type | None = None
) -> ConversionError:
    """Make the `ConversionError` of a cause. `cls` is the class that a conversion should have returned."""
    path = failure_path(error) or (refused_path(error, cls) if cls is not None else "")
    # Find the line from the whole group: the traceback of its first error may contain only library code.
    return ConversionError(id, direction, leaf_error(error), path, find_raising_line(error), side)


def make_unreadable(conv: int) -> LazymigError:
    """Make the error of a V2 body that does not decode, where only it holds what `upgrade` needs."""
    return LazymigError(
        f"V2's stored body of conversion revision {conv} does not decode, and `upgrade` needs what only it holds: "
        f"pass Migration(revision=..., reshape={{{conv}: f}})"
    )
