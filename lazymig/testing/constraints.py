"""Strategies for types such as `Annotated[int, Gt(0)]`, with the constraints of annotated-types and pydantic.

Constraints limit the drawn values. Other values that a class refuses are discarded when the instance is made.
"""

from __future__ import annotations

import datetime as dt
import math
import operator
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import partial
from typing import Annotated, Any, get_args, get_origin

import attrs
from attrs import frozen
from bson import Int64

from lazymig.testing.extras import SearchStrategy, st

Anything = SearchStrategy[Any]

_INT64 = 2**63
_COMPARED: dict[str, Callable[[Any, Any], bool]] = {
    "gt": operator.lt,  # with the bound first
    "ge": operator.le,
    "lt": operator.gt,
    "le": operator.ge,
}


@frozen
class Limits:
    """The constraints in the annotation of one type."""

    gt: Any = None
    ge: Any = None
    lt: Any = None
    le: Any = None
    multiple_of: Any = None
    min_length: int = 0
    max_length: int | None = None
    pattern: Any = None
    uuid_version: int | None = None
    func: Any = None

    @property
    def is_bounded(self) -> bool:
        """Whether there are bounds of numbers or dates."""
        return any(bound is not None for bound in (self.gt, self.ge, self.lt, self.le, self.multiple_of))

    def holds(self, value: Any) -> bool:
        """Return whether a value lies within the bounds."""
        return all(
            bound is None or compare(bound, value)
            for bound, compare in ((getattr(self, name), compare) for name, compare in _COMPARED.items())
        )


def limits_of(kind: Any) -> Limits:
    """Return the constraints of an `Annotated` type; empty for any other type."""
    if get_origin(kind) is not Annotated:
        return Limits()
    found: dict[str, Any] = {}
    names = [one.name for one in attrs.fields(Limits)]
    for item in _flat(get_args(kind)[1:]):
        found |= {name: value for name in names if (value := getattr(item, name, None)) is not None}
    return Limits(**found)


def _flat(items: Any) -> Iterator[Any]:
    for item in items:
        if isinstance(metadata := getattr(item, "metadata", None), list):
            yield from _flat(metadata)  # pydantic's Field(...)
        elif getattr(item, "__is_annotated_types_grouped_metadata__", False):
            yield from _flat(item)
        else:
            yield item


def narrowed(kind: Any, limits: Limits, usual: Anything) -> Anything:
    """Return a strategy for a plain type within the limits."""
    strategy = usual
    if limits.pattern is not None and kind is str and _is_of_python(limits.pattern):
        strategy = st.from_regex(limits.pattern)
    elif limits.uuid_version is not None:
        strategy = st.uuids(version=limits.uuid_version)  # type: ignore[arg-type]
    elif limits.is_bounded and kind in _BOUNDED:
        strategy = _BOUNDED[kind](limits).filter(limits.holds)
    if limits.func is not None:
        strategy = strategy.filter(limits.func)
    return strategy


def _is_of_python(pattern: Any) -> bool:
    try:
        re.compile(pattern)
    except re.error:
        return False  # pydantic's patterns have Rust's syntax; values that do not match are discarded later
    return True


def sizes(limits: Limits, most: int | None = None) -> dict[str, Any]:
    """Return the lengths as keywords of Hypothesis' strategies. Without a maximum, `most` is the default."""
    longest = limits.max_length
    if longest is None and most is not None:
        longest = max(most, limits.min_length + most)
    return {"min_size": limits.min_length, "max_size": longest}


def _low(limits: Limits) -> Any:
    bounds = [bound for bound in (limits.gt, limits.ge) if bound is not None]
    return max(bounds) if bounds else None


def _high(limits: Limits) -> Any:
    bounds = [bound for bound in (limits.lt, limits.le) if bound is not None]
    return min(bounds) if bounds else None


def _ints(limits: Limits) -> Anything:
    low, high = _low(limits), _high(limits)
    step = limits.multiple_of or 1
    least = -_INT64 if low is None else max(-_INT64, math.ceil(low))
    most = _INT64 - 1 if high is None else min(_INT64 - 1, math.floor(high))
    whole = st.integers(math.ceil(least / step), most // step) if step != 1 else st.integers(least, most)
    values = whole.map(lambda number: int(number * step))
    return values | values.map(Int64)


def _floats(limits: Limits) -> Anything:
    if limits.multiple_of is not None:
        return st.integers(-(10**6), 10**6).map(lambda number: float(number * limits.multiple_of))
    return st.floats(
        min_value=_low(limits),
        max_value=_high(limits),
        exclude_min=limits.gt is not None,
        exclude_max=limits.lt is not None,
        allow_nan=False,
    )


def _decimals(limits: Limits) -> Anything:
    if limits.multiple_of is not None:
        return st.integers(-(10**6), 10**6).map(lambda number: number * Decimal(str(limits.multiple_of)))
    low, high = _low(limits), _high(limits)
    least = -(10**9) if low is None else low
    return st.decimals(least, max(10**9, least + 10**9) if high is None else high, places=2)


def _days(limits: Limits) -> Anything:
    return st.dates(_low(limits) or dt.date.min, _high(limits) or dt.date.max)


_BOUNDED: dict[Any, Callable[[Limits], Anything]] = {
    int: _ints,
    float: _floats,
    Decimal: _decimals,
    dt.date: _days,
}

#: Strategies for pydantic's stand-in classes. Past and future dates are far from now.
STAND_INS: dict[str, Callable[[], Anything]] = {
    "EmailStr": st.emails,
    "PastDate": partial(st.dates, max_value=dt.date(1999, 12, 31)),
    "FutureDate": partial(st.dates, min_value=dt.date(2200, 1, 1)),
}
