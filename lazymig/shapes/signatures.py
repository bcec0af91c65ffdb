"""Signatures of conversions: recognised once, and refused if their annotations show that two are swapped."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, get_args, get_origin

from attrs import define

from lazymig.errors import ConfigurationError
from lazymig.shapes.annotations import is_union, members, stripped


@define
class Conversion:
    """The conversion in one direction, with its recognised signature."""

    function: Callable[..., Any]
    #: Whether it takes the other side's entity as a second argument.
    takes_other: bool
    is_async: bool


def recognised(name: str, function: Any) -> Conversion:
    """Recognise how to call a conversion. Raises `ConfigurationError` if it cannot be one."""
    if not callable(function):
        raise ConfigurationError(f"{name}: pass a function")
    positional = _positional(function)
    required = [p for p in positional if p.default is p.empty and p.kind is not p.VAR_POSITIONAL]
    if not positional or len(required) > 2:
        raise ConfigurationError(f"{name}: pass a function of one argument, or of two (the second is the other side)")
    is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(_routine(function))
    return Conversion(function, len(required) == 2 or _optional_second(positional), is_async)


def _routine(function: Any) -> Any:
    return function if inspect.isroutine(function) else getattr(function, "__call__", function)  # noqa: B004 - its signature is needed


def _positional(function: Any) -> list[inspect.Parameter]:
    return [
        parameter
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD, parameter.VAR_POSITIONAL)
    ]


def _optional_second(positional: list[inspect.Parameter]) -> bool:
    return len(positional) == 2 and positional[1].default is None


def check_annotations(name: str, function: Any, given: type, other: type) -> None:
    """Raise `ConfigurationError` if annotations exclude a conversion's argument or the result that it must return."""
    try:
        hints = typing.get_type_hints(_routine(function))
    except Exception:
        return  # unresolvable annotations prove nothing; a wrong result is refused when it is returned
    first, *rest = [hints.get(parameter.name, Any) for parameter in _positional(function)]
    result = _awaited(hints.get("return", Any))
    if _excludes(first, given) or _excludes(result, other) or (rest and _excludes(rest[0], other)):
        raise ConfigurationError(
            f"{name}: its annotations do not fit; pass a function of {given.__name__} that returns {other.__name__} "
            f"(a second argument is {other.__name__} or None). Are upgrade and downgrade swapped?"
        )


def _awaited(annotation: Any) -> Any:
    return get_args(annotation)[-1] if get_origin(annotation) in (Awaitable, Coroutine) else annotation


def _excludes(annotation: Any, cls: type) -> bool:
    """Return whether the annotation excludes every instance of the class."""
    annotation = stripped(annotation)
    if is_union(annotation):
        return all(_excludes(member, cls) for member in members(annotation))
    kind = get_origin(annotation) or annotation
    if kind is Any or not isinstance(kind, type) or getattr(kind, "_is_protocol", False):
        return False
    return not (issubclass(cls, kind) or issubclass(kind, cls))
