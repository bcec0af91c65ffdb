"""Matching of documents by MongoDB filters, with the operators that the stores need. Others are refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from lazymig.testing.exploration.values import ATOMS, MISSING, look_up, order, rank, same, type_name


def matches(document: Mapping[str, Any], criteria: Mapping[str, Any]) -> bool:
    """Return whether the document satisfies every part of the filter.

    Raises `NotImplementedError` for an operator that this collection does not know.
    """
    for path, condition in criteria.items():
        if path[:1] == "$":
            if not _known(_LOGICAL, path)(document, condition):
                return False
        elif not _satisfies(look_up(document, path), condition):
            return False
    return True


def equalities(criteria: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the (path, value) pairs of a filter that an upsert stores in its new document."""
    for path, condition in criteria.items():
        if path == "$and":
            for part in condition:
                yield from equalities(part)
        elif path == "$nor" or (path == "$or" and len(condition) > 1):
            continue
        elif path[:1] == "$":
            raise NotImplementedError(f"MemoryCollection does not upsert with {path}")
        elif not has_operators(condition):
            yield path, condition
        elif "$eq" in condition:
            yield path, condition["$eq"]
        elif len(condition.get("$in", (1, 2))) < 2:
            raise NotImplementedError("MemoryCollection upserts only with an $in of several values")


def has_operators(condition: Any) -> bool:
    """Return whether a condition is a document of operators rather than a value to compare with."""
    kind = type(condition)
    if kind in ATOMS or not (kind is dict or isinstance(condition, Mapping)) or not condition:
        return False
    dollars = [key[:1] == "$" for key in condition]
    if any(dollars) != all(dollars):
        raise NotImplementedError("MemoryCollection does not mix operators and fields in one condition")
    return all(dollars)


def _satisfies(value: Any, condition: Any) -> bool:
    if not has_operators(condition):
        return _equal(value, condition)
    return all(_known(_COMPARISONS, operator)(value, operand) for operator, operand in condition.items())


def _known(operators: Mapping[str, Callable[[Any, Any], bool]], name: str) -> Callable[[Any, Any], bool]:
    try:
        return operators[name]
    except KeyError:
        raise NotImplementedError(f"MemoryCollection does not know the filter operator {name}") from None


def _equal(value: Any, operand: Any) -> bool:
    if value is MISSING:
        return operand is None
    if same(value, operand):
        return True
    return isinstance(value, list) and any(same(inner, operand) for inner in value)


def _comparison(accepts: Callable[[Any, Any], bool], *, equal: bool) -> Callable[[Any, Any], bool]:
    def compare(value: Any, operand: Any) -> bool:
        if isinstance(value, list):
            raise NotImplementedError("MemoryCollection does not compare arrays by order")
        if operand is None:
            return equal and (value is MISSING or value is None)
        # MongoDB compares only values of the same type: a string is neither less nor greater than a number.
        if value is MISSING or rank(value) != rank(operand):
            return False
        return accepts(order(value), order(operand))

    return compare


def _has_type(value: Any, name: str) -> bool:
    if isinstance(value, list):
        return name == "array" or any(type_name(inner) == name for inner in value)
    return value is not MISSING and type_name(value) == name


def _has_element(value: Any, condition: Any) -> bool:
    """Return whether an array has this very element. An array in it does not count for its elements here."""
    if not isinstance(condition, Mapping) or list(condition) != ["$eq"]:
        raise NotImplementedError("MemoryCollection knows $elemMatch with $eq only")
    return isinstance(value, list) and any(same(inner, condition["$eq"]) for inner in value)


def _holds(document: Mapping[str, Any], expression: Mapping[str, Any]) -> bool:
    """Return the value of an expression that compares two fields. Unlike a filter, it compares values of any types."""
    (operator, paths), *others = expression.items()
    if operator != "$lte" or others or any(not isinstance(path, str) or path[:1] != "$" for path in paths):
        raise NotImplementedError("MemoryCollection knows the expression $lte of two fields only")
    left, right = (_place(look_up(document, path[1:])) for path in paths)
    return left <= right


def _place(value: Any) -> tuple[int, Any]:
    return (-1, 0) if value is MISSING else order(value)


_COMPARISONS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "$eq": _equal,
    "$ne": lambda value, operand: not _equal(value, operand),
    "$in": lambda value, operands: any(_equal(value, operand) for operand in operands),
    "$nin": lambda value, operands: not any(_equal(value, operand) for operand in operands),
    "$not": lambda value, condition: not _satisfies(value, condition),
    "$exists": lambda value, expected: (value is not MISSING) == bool(expected),
    "$type": _has_type,
    "$elemMatch": _has_element,
    "$lt": _comparison(lambda value, operand: value < operand, equal=False),
    "$lte": _comparison(lambda value, operand: value <= operand, equal=True),
    "$gt": _comparison(lambda value, operand: value > operand, equal=False),
    "$gte": _comparison(lambda value, operand: value >= operand, equal=True),
}
_LOGICAL: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "$expr": lambda document, expression: _holds(document, expression),
    "$and": lambda document, parts: all(matches(document, part) for part in parts),
    "$or": lambda document, parts: any(matches(document, part) for part in parts),
    "$nor": lambda document, parts: not any(matches(document, part) for part in parts),
}
