"""The arguments of listings and of reads of many, and the handling of documents that do not convert."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, TypeVar

from attrs import field, frozen

from lazymig.errors import ConfigurationError, ConversionError
from lazymig.stores.given import Id, RawId
from lazymig.stores.keyset import Order

E = TypeVar("E")

#: What happens at a document that does not convert: "raise" its error, "skip" it, or call a function with the error.
OnError: TypeAlias = Literal["raise", "skip"] | Callable[[ConversionError], Awaitable[object] | object]
#: A sort: a field that both shapes have, or a pair (V1's field, V2's field); "-" in front means descending.
Sort: TypeAlias = str | tuple[str, str]


def _check_filter(_: Any, attribute: Any, value: Any) -> None:
    if not isinstance(value, Mapping):
        raise TypeError(f"Criteria.{attribute.name}: pass a MongoDB filter (a mapping), {{}} for all")


@frozen(kw_only=True)
class Criteria:
    """One question in both shapes: a MongoDB filter for V1's documents, and the same question for V2's.

    Both are required, because the phase decides which is sent. Build them from validated values only: they are sent to
    the server as they are.

    Args:
        v1: The filter in the stored names of V1.
        v2: The filter in the stored names of V2.

    Raises:
        TypeError: If one of them is no mapping.
    """

    v1: Mapping[str, Any] = field(validator=_check_filter)
    v2: Mapping[str, Any] = field(validator=_check_filter)


@frozen(kw_only=True)
class Listing:
    """The arguments of a listing as they were given. They are checked when it starts."""

    criteria: Criteria | None
    sort: Sort | None
    limit: int | None
    after: Id | None
    on_error: OnError


@frozen(kw_only=True)
class Span:
    """A checked listing: what matches, in which order, after which id, and how many at most."""

    criteria: Criteria
    #: The order by V1's field and by V2's.
    orders: tuple[Order, Order]
    limit: int | None
    #: The `_id` after which the listing starts; None for the beginning.
    after: RawId
    timeout_s: float | None


def check_criteria(criteria: Any) -> Criteria:
    """Return the criteria; for None, those that match all. Raises `TypeError` for anything else."""
    if criteria is None:
        return Criteria(v1={}, v2={})
    if not isinstance(criteria, Criteria):
        raise TypeError("criteria: pass lazymig.Criteria(v1={...}, v2={...}), the question in both shapes")
    return criteria


def check_limit(limit: Any) -> int | None:
    """Return the limit. Raises `TypeError` for anything but a number of entities or None."""
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 0):
        raise TypeError("limit: pass a number of entities, or None")
    return limit


def orders_of(
    sort: str | Sequence[str] | None, v1: Sequence[str], v2: Sequence[str], id_field: str
) -> tuple[Order, Order]:
    """Return the orders for a `sort` argument, by V1's field and by V2's.

    Raises `ConfigurationError` for a name that a shape does not have.
    """
    if sort is None:
        return Order("_id", 1), Order("_id", 1)
    names = (sort, sort) if isinstance(sort, str) else tuple(sort)
    if len(names) != 2 or not all(isinstance(name, str) and name.lstrip("-") for name in names):
        raise ConfigurationError("sort: pass one field name, or a pair (V1's name, V2's name)")
    for name, known, side in zip(names, (v1, v2), ("V1", "V2"), strict=True):
        if name.lstrip("-").split(".")[0] not in (*known, id_field, "_id"):
            raise ConfigurationError(
                f"sort: {side} has no field {name.lstrip('-')!r}; pass a pair of stored names, one per shape"
            )
    if names[0].startswith("-") != names[1].startswith("-"):
        raise ConfigurationError("sort: both names of a pair must go in the same direction")
    direction = -1 if names[0].startswith("-") else 1
    bare = (name.lstrip("-") for name in names)
    one, other = (Order("_id" if name == id_field else name, direction) for name in bare)
    return one, other


def make_reporter(on_error: OnError) -> Callable[[ConversionError], Awaitable[None]]:
    """Return the function that handles an error as `on_error` says. Raises `TypeError` for an invalid `on_error`."""
    if on_error not in ("raise", "skip") and not callable(on_error):
        raise TypeError('on_error: pass "raise", "skip", or a function that takes a ConversionError')

    async def report(error: ConversionError) -> None:
        if on_error == "raise":
            raise error
        if callable(on_error):
            result = on_error(error)
            if inspect.isawaitable(result):
                await result

    return report


def check_on_error(on_error: OnError | Literal["return"]) -> None:
    """Raise `TypeError` for what `get_many` cannot do with an error."""
    if on_error not in ("return", "raise", "skip") and not callable(on_error):
        raise TypeError('on_error: pass "raise", "skip", "return", or a function that takes a ConversionError')


async def sift(
    answers: Mapping[Any, E | ConversionError], on_error: OnError | Literal["return"]
) -> dict[RawId, E | ConversionError]:
    """Return the answers by id. Errors are handled as `on_error` says, and included only with "return".

    Raises:
        ExceptionGroup: With "raise", all the errors together.
    """
    failed = [answer for answer in answers.values() if isinstance(answer, ConversionError)]
    if on_error == "return" or not failed:
        return dict(answers)
    if on_error == "raise":
        raise ExceptionGroup(f"{len(failed)} of {len(answers)} documents cannot be converted", failed)
    report = make_reporter(on_error)
    for error in failed:
        await report(error)
    return {id: answer for id, answer in answers.items() if not isinstance(answer, ConversionError)}
