"""What V2's documents become, as aggregation pipelines that one update statement runs on the server.

A pipeline writes the whole document from a literal body, so that no key of an earlier body remains, no matter which
class, hook or release wrote it. It computes `_lazymig` from what stands, so that no rival's announcement is lost.

`evaluated` runs the few operators used here in Python, for in-memory collections.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from lazymig.stores.documents import META_FIELD
from lazymig.stores.records import Document

Pipeline = Sequence[Document]
#: A moment: the server's own, or one that the caller's clock gave.
Moment = datetime | str
#: The server's own time, in a pipeline.
SERVER_NOW: Final = "$$NOW"

_REV, _INTENT, _AT = (f"${META_FIELD}.{name}" for name in ("rev", "intent", "at"))
_BY, _CONV, _GONE, _RAISED = (f"${META_FIELD}.{name}" for name in ("by", "conv", "gone", "raised"))
_INSERTS = f"${META_FIELD}.inserts"
_ID = {"_id": "$_id"}
_KEPT = {"by": _BY, "conv": _CONV, "raised": _RAISED}


def _unless(closed: Any, value: Any) -> dict[str, Any]:
    return {"$cond": [closed, "$$REMOVE", value]}


def _inserts(operator: str, ticket: int) -> dict[str, Any]:
    """The remembered inserts that are `operator` this ticket; no field where there are none."""
    found = {"$filter": {"input": {"$ifNull": [_INSERTS, []]}, "cond": {operator: ["$$this", ticket]}}}
    return _unless({"$eq": [found, []]}, found)


def applied(body: Document, revision: int, since: int, conv: int) -> Pipeline:
    """The body at this revision, of the entity that V1 held at `since`.

    The intent is never lowered; the mark goes only with the last open announcement. Inserts that were announced after
    `since` stay remembered: this may be the body of the entity before them.
    """
    closed = {"$lte": [_INTENT, revision]}
    meta: dict[str, Any] = {
        "rev": revision, "intent": {"$max": [_INTENT, revision]}, "by": _BY,
        # Were the mark of a later ticket taken off, and that writer to die, nothing would find the document again.
        "at": _unless(closed, _AT), "raised": _unless(closed, _RAISED),
        "inserts": _inserts("$gt", since),
    }  # fmt: skip
    if conv != 1:
        meta["conv"] = conv
    return [{"$replaceWith": {"$mergeObjects": [_ID, {"$literal": body}, {META_FIELD: meta}]}}]


def buried(revision: int, since: int, now: Moment) -> Pipeline:
    """The tombstone of a delete at this revision, of the entity that V1 held at `since`: no body."""
    meta = {
        "rev": revision, "intent": {"$max": [_INTENT, revision]}, "by": _BY, "gone": True, "at": now,
        "raised": _unless({"$lte": [_INTENT, revision]}, _RAISED), "inserts": _inserts("$gt", since),
    }  # fmt: skip
    return [{"$replaceWith": {**_ID, META_FIELD: meta}}]


def announced(placeholder: int, step: int, now: Moment) -> Pipeline:
    """What is gone, with an insert announced above all that was announced before, and remembered."""
    ticket = {"$add": [{"$ifNull": [_INTENT, 0]}, step]}
    made = {"$eq": [{"$ifNull": [_REV, "none"]}, "none"]}
    meta = {
        **_KEPT, "rev": {"$ifNull": [_REV, placeholder]}, "intent": ticket, "by": {"$cond": [made, "write", _BY]},
        "gone": True, "at": now, "inserts": {"$concatArrays": [{"$ifNull": [_INSERTS, []]}, [ticket]]},
    }  # fmt: skip
    return [{"$replaceWith": {**_ID, META_FIELD: meta}}]


def vacated(revision: int, ticket: int, now: Moment) -> Pipeline:
    """No body, at this revision, with an insert announced at this ticket, and remembered."""
    inserts = {"$concatArrays": [{"$ifNull": [_INSERTS, []]}, [ticket]]}
    meta = {"rev": revision, "intent": ticket, "by": _BY, "gone": True, "at": now, "inserts": inserts}
    return [{"$replaceWith": {**_ID, META_FIELD: meta}}]


def withdrawn(ticket: int, before: int) -> Pipeline:
    """What stands, without the announcement of this ticket, the last one: announced up to `before` only.

    Without the mark, too, where no announcement is open any more.
    """
    meta = {
        # A reader may have brought V1's body at a revision that nobody announced, such as one from before V2 was made.
        **_KEPT, "rev": _REV, "intent": {"$max": [before, _REV]}, "gone": _GONE,
        "at": {"$cond": [{"$gt": [before, _REV]}, _AT, {"$cond": [_GONE, _AT, "$$REMOVE"]}]},
        "inserts": _inserts("$ne", ticket),
    }  # fmt: skip
    return [{"$replaceWith": {"$mergeObjects": ["$$ROOT", {META_FIELD: meta}]}}]


def forgotten(ticket: int) -> Pipeline:
    """What stands, without the memory of the insert that was announced at this ticket."""
    meta = {**_KEPT, "rev": _REV, "intent": _INTENT, "gone": _GONE, "at": _AT, "inserts": _inserts("$ne", ticket)}
    return [{"$replaceWith": {"$mergeObjects": ["$$ROOT", {META_FIELD: meta}]}}]


_MISSING: Any = object()


def evaluated(pipeline: Pipeline, document: Document) -> dict[str, Any]:
    """The document after these stages; the given one is left alone.

    Raises `NotImplementedError` for operators that the pipelines of this module do not use.
    """
    for stage in pipeline:
        if list(stage) != ["$replaceWith"]:
            raise NotImplementedError(f"in-memory pipelines know $replaceWith only, not {', '.join(stage)}")
        document = _value(stage["$replaceWith"], document)
    return dict(document)


def _value(expression: Any, document: Document) -> Any:
    if isinstance(expression, str) and expression.startswith("$"):
        return _VARIABLES[expression](document) if expression in _VARIABLES else _at_path(document, expression[1:])
    if isinstance(expression, list):
        return [_value(one, document) for one in expression]
    if not isinstance(expression, Mapping):
        return expression
    operator = next(iter(expression), "")
    if not operator.startswith("$"):
        made = {name: _value(inner, document) for name, inner in expression.items()}
        return {name: value for name, value in made.items() if value is not _MISSING}
    operand = expression[operator]
    if operator == "$literal":
        return operand
    if operator == "$filter":
        items = _value(operand["input"], document)
        return [item for item in items if _value(operand["cond"], {"$this": item})]
    if operator not in _OPERATORS:
        raise NotImplementedError(f"in-memory pipelines do not know {operator}")
    # One operand that is no list is a list itself, of which a `$max` is asked.
    values = [_value(one, document) for one in operand] if isinstance(operand, list) else _value(operand, document)
    return _OPERATORS[operator](values if isinstance(values, list) else [values])


def _at_path(document: Any, path: str) -> Any:
    for name in path.split("."):
        document = document.get(name, _MISSING) if isinstance(document, Mapping) else _MISSING
    return document


def _rank(value: Any) -> Any:
    """What is missing sorts before every number."""
    return -math.inf if value is _MISSING or value is None else value


def _merged(parts: Sequence[Document]) -> dict[str, Any]:
    return {name: value for part in parts for name, value in part.items()}


_OPERATORS: Final[Mapping[str, Callable[[Sequence[Any]], Any]]] = {
    "$add": sum,
    "$concatArrays": lambda values: [item for value in values for item in value],
    "$cond": lambda values: values[1] if values[0] is not _MISSING and values[0] else values[2],
    "$eq": lambda values: values[0] == values[1],
    "$gt": lambda values: _rank(values[0]) > _rank(values[1]),
    "$ifNull": lambda values: next(value for value in values if _rank(value) != -math.inf),
    "$lte": lambda values: _rank(values[0]) <= _rank(values[1]),
    "$max": lambda values: max(values, key=_rank),
    "$mergeObjects": _merged,
    "$ne": lambda values: values[0] != values[1],
}
_VARIABLES: Final[Mapping[str, Callable[[Document], Any]]] = {
    "$$REMOVE": lambda _: _MISSING,
    "$$ROOT": lambda document: document,
}
