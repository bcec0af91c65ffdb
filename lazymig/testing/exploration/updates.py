"""MongoDB updates of documents.

Supported are plain update operators, and the pipelines that lazymig's own stores send. Others are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from pymongo.errors import WriteError

from lazymig.stores.pipelines import evaluate
from lazymig.testing.exploration.filters import equalities
from lazymig.testing.exploration.values import MISSING, fresh, look_up, order, same

Document = dict[str, Any]


Update = Mapping[str, Any] | Sequence[Mapping[str, Any]]


def updated(document: Mapping[str, Any], update: Update, *, inserting: bool = False) -> Document:
    """Return a new document with the update applied. `document` itself does not change.

    Raises `WriteError` where the server does, and `NotImplementedError` for unknown operators.
    """
    result: Document
    if not isinstance(update, Mapping):
        result = fresh(evaluate(update, document))
        if "_id" in document and "_id" not in result:
            result = {"_id": document["_id"], **result}  # a pipeline that leaves it out keeps it
        _refuse_other_id(document, result)
        return result
    _refuse_bad(update)
    result = fresh(document)
    asked = [
        (path, _OPERATORS[operator], operand)
        for operator, changes in update.items()
        if operator != "$setOnInsert" or inserting
        for path, operand in changes.items()
    ]
    # The `_id` first: where another field cannot be changed either, the server reports the `_id`.
    for path, change, operand in sorted(asked, key=lambda one: one[0] != "_id"):
        change(result, path, operand)
        _refuse_other_id(document, result)
    return result


def replaced(document: Mapping[str, Any], replacement: Mapping[str, Any]) -> Document:
    """Return the replacement, with the document's `_id` unless it has an equal one.

    Raises `WriteError` for another `_id`, as the server does, and `ValueError` for an update, as the driver does.
    """
    if next(iter(replacement), "")[:1] == "$":
        raise ValueError("replacement can not include $ operators")
    result: Document = {"_id": document["_id"], **fresh(replacement)}
    _refuse_other_id(document, result)
    return result


def _refuse_other_id(before: Mapping[str, Any], after: Document) -> None:
    if "_id" in before and not same(after.get("_id", MISSING), before["_id"]):
        raise WriteError("the immutable field '_id' would change", 66)


def upserted(criteria: Mapping[str, Any], update: Update) -> Document:
    """Return the document that an upsert inserts: the filter's equalities with the update applied."""
    seed: Document = {}
    for path, value in equalities(criteria):
        if look_up(seed, path) is not MISSING:
            raise NotImplementedError(f"MemoryCollection does not upsert with two equalities on {path}")
        _set(seed, path, value)
    result = updated(seed, update, inserting=True)
    if "_id" not in result:
        raise NotImplementedError("MemoryCollection does not generate ids; set the _id in the filter or the update")
    return result


def _refuse_bad(update: Mapping[str, Any]) -> None:
    if not update or not next(iter(update)).startswith("$"):
        raise ValueError("update only works with $ operators")
    for operator in update:
        if operator not in _OPERATORS:
            raise NotImplementedError(f"MemoryCollection does not know the update operator {operator}")
    _refuse_conflicts([path for changes in update.values() for path in changes])


def _refuse_conflicts(paths: list[str]) -> None:
    distinct = set(paths)
    conflict = len(distinct) != len(paths)
    for path in distinct:
        parent = path.rpartition(".")[0]
        while parent and not conflict:
            conflict = parent in distinct
            parent = parent.rpartition(".")[0]
    if conflict:
        raise WriteError("updating a path would create a conflict with another operator", 40)


def _parent(document: Document, path: str) -> tuple[Document, str]:
    """Return the sub-document that holds the last name of `path`, and that name. Missing sub-documents are created."""
    if "." not in path:
        return document, path
    parent: Any = document
    *names, last = path.split(".")
    for name in names:
        parent = parent.setdefault(name, {})
        if isinstance(parent, list):
            raise NotImplementedError(f"MemoryCollection does not follow paths into arrays: {path}")
        if not isinstance(parent, dict):
            raise WriteError(f"cannot create a field in an element that is not a document: {path}", 28)
    return parent, last


def _set(document: Document, path: str, operand: Any) -> None:
    parent, name = _parent(document, path)
    parent[name] = fresh(operand)


def _unset(document: Document, path: str, _operand: Any) -> None:
    if look_up(document, path) is not MISSING:
        parent, name = _parent(document, path)
        del parent[name]


def _inc(document: Document, path: str, operand: Any) -> None:
    parent, name = _parent(document, path)
    value = parent.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise WriteError(f"cannot apply $inc to a value of a type that is not a number: {path}", 14)
    parent[name] = value + operand


def _max(document: Document, path: str, operand: Any) -> None:
    parent, name = _parent(document, path)
    if name not in parent or order(operand) > order(parent[name]):
        parent[name] = operand


_OPERATORS: Final[Mapping[str, Callable[[Document, str, Any], None]]] = {
    "$set": _set,
    "$unset": _unset,
    "$inc": _inc,
    "$max": _max,
    "$setOnInsert": _set,
}
