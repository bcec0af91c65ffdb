"""What V2's documents become, as aggregation pipelines that one update statement runs on the server.

A pipeline writes the whole document from a literal body, so that no key of an earlier body remains, whichever class,
hook or release wrote it. It computes `_lazymig` from what stands, so that no rival's announcement is lost.

`evaluated` runs the few operators used here in Python, for in-memory collections.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from lazymig.documents import META_FIELD
from lazymig.records import Document

Pipeline = Sequence[Mapping[str, Any]]
#: A moment: the server's own, or one that the caller's clock gave.
Moment = datetime | str
#: The server's own time, in a pipeline.
SERVER_NOW: Final = "$$NOW"

_REV, _INTENT, _AT = (f"${META_FIELD}.{name}" for name in ("rev", "intent", "at"))
_BY, _CONV, _GONE, _RAISED = (f"${META_FIELD}.{name}" for name in ("by", "conv", "gone", "raised"))
_ID = {"_id": "$_id"}


def applied(body: Document, revision: int, conv: int) -> Pipeline:
    """The body at this revision. The intent is never lowered; the mark goes only with the last open announcement."""
    meta: dict[str, Any] = {"rev": revision, "intent": {"$max": [_INTENT, revision]}, "by": _BY}
    if conv != 1:
        meta["conv"] = conv
    # Were the mark of a later ticket taken off, and that writer to die, nothing would find the document again.
    for name, value in (("at", _AT), ("raised", _RAISED)):
        meta[name] = {"$cond": [{"$gt": [_INTENT, revision]}, value, "$$REMOVE"]}
    return [{"$replaceWith": {"$mergeObjects": [_ID, {"$literal": body}, {META_FIELD: meta}]}}]


def buried(revision: int, now: Moment) -> Pipeline:
    """The tombstone of a delete at this revision: no body."""
    meta = {"rev": revision, "intent": {"$max": [_INTENT, revision]}, "by": _BY, "gone": True, "at": now}
    return [{"$replaceWith": {**_ID, META_FIELD: meta}}]


def vacated(revision: int, intent: int, now: Moment) -> Pipeline:
    """No body, at this revision, with an announcement at this intent."""
    meta = {"rev": revision, "intent": intent, "by": _BY, "gone": True, "at": now}
    return [{"$replaceWith": {**_ID, META_FIELD: meta}}]


def withdrawn(intent: int) -> Pipeline:
    """The same, announced up to this intent only; without the mark where no announcement is open any more."""
    marked = {"$cond": [_GONE, _AT, "$$REMOVE"]}
    meta = {
        "rev": _REV, "intent": intent, "by": _BY, "conv": _CONV, "gone": _GONE,
        "at": {"$cond": [{"$gt": [intent, _REV]}, _AT, marked]},
    }  # fmt: skip
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
    if not isinstance(expression, Mapping):
        return expression
    operator = next(iter(expression), "")
    if not operator.startswith("$"):
        made = {name: _value(inner, document) for name, inner in expression.items()}
        return {name: value for name, value in made.items() if value is not _MISSING}
    if operator == "$literal":
        return expression[operator]
    if operator not in _OPERATORS:
        raise NotImplementedError(f"in-memory pipelines do not know {operator}")
    return _OPERATORS[operator]([_value(operand, document) for operand in expression[operator]])


def _at_path(document: Any, path: str) -> Any:
    for name in path.split("."):
        document = document.get(name, _MISSING) if isinstance(document, Mapping) else _MISSING
    return document


def _rank(value: Any) -> Any:
    """What is missing sorts before every number."""
    return -math.inf if value is _MISSING or value is None else value


def _merged(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {name: value for part in parts for name, value in part.items()}


_OPERATORS: Final[Mapping[str, Callable[[Sequence[Any]], Any]]] = {
    "$mergeObjects": _merged,
    "$max": lambda values: max(values, key=_rank),
    "$gt": lambda values: _rank(values[0]) > _rank(values[1]),
    "$cond": lambda values: values[1] if values[0] is not _MISSING and values[0] else values[2],
}
_VARIABLES: Final[Mapping[str, Callable[[Document], Any]]] = {
    "$$ROOT": lambda document: document,
    "$$REMOVE": lambda _: _MISSING,
}
