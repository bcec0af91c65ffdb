"""Aggregation pipelines that update V2's documents, each in one statement on the server.

A pipeline writes the whole document from a literal body, so that no key of an earlier body remains, also one that
another class, hook or release wrote. It computes `_lazymig` from the stored one, so that no other writer's announcement
is dropped.

`evaluate` runs the operators that are used here in Python, for in-memory collections.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from lazymig.stores.documents import META_FIELD, spell_unmoved
from lazymig.stores.records import Body, Document, Fields, StoredV2, Unmoved

Pipeline = Sequence[Document]
#: A moment: the server's (`SERVER_NOW`), or one of the caller's clock.
Moment = datetime | str
#: The server's time, in a pipeline.
SERVER_NOW: Final = "$$NOW"

_REV, _INTENT, _AT = (f"${META_FIELD}.{name}" for name in ("rev", "intent", "at"))
_BY, _CONV, _GONE, _RAISED = (f"${META_FIELD}.{name}" for name in ("by", "conv", "gone", "raised"))
_INSERTS = f"${META_FIELD}.inserts"
_UNMOVED, _REASON, _KEPT_BODY = (f"${META_FIELD}.{name}" for name in ("unmoved", "reason", "kept"))
_ID = {"_id": "$_id"}
#: What an announcement inserts, where the caller of a shared one knows no more of the document.
_PLACED: Final[Document] = {"by": "write"}
_KEPT = {"by": _BY, "conv": _CONV, "raised": _RAISED}


def _remove_if(closed: Any, value: Any) -> dict[str, Any]:
    return {"$cond": [closed, "$$REMOVE", value]}


def _keep_inserts(operator: str, ticket: int) -> dict[str, Any]:
    """Return the remembered inserts that are `operator` this ticket; the field is removed if none are left."""
    found = {"$filter": {"input": {"$ifNull": [_INSERTS, []]}, "cond": {operator: ["$$this", ticket]}}}
    return _remove_if({"$eq": [found, []]}, found)


def build_apply(body: Body, revision: int, since: int, conv: int) -> Pipeline:
    """Return the pipeline that stores a body, or why there is none, at this revision, of what V1 held at `since`.

    The intent is never lowered, and the mark is removed only with the last open announcement. Inserts that were
    announced after `since` stay remembered: this may be the body of the entity before them.
    """
    closed = {"$lte": [_INTENT, revision]}
    meta: dict[str, Any] = {
        "rev": revision, "intent": {"$max": [_INTENT, revision]}, "by": _BY,
        # Only if no later ticket is open: if its writer dies, only the mark finds the document again.
        "at": _remove_if(closed, _AT), "raised": _remove_if(closed, _RAISED),
        "inserts": _keep_inserts("$gt", since),
    }  # fmt: skip
    if conv != 1:
        meta["conv"] = conv
    if isinstance(body, Unmoved):
        meta |= {name: {"$literal": value} for name, value in spell_unmoved(body).items()}
        return [{"$replaceWith": {**_ID, META_FIELD: meta}}]
    return [{"$replaceWith": {"$mergeObjects": [_ID, {"$literal": body}, {META_FIELD: meta}]}}]


def build_replacement(body: Body, revision: int, conv: int, announced: StoredV2) -> Pipeline | None:
    """Return the pipeline that does what `build_apply` does to a document that is as its writer knows it.

    To any other document, it does nothing. None: the writer does not know enough. Its filter is `_id` alone, the only
    one that the server need not plan, and of a document that is known there is nothing to compute. `announced` is what
    the writer's announcement has made.
    """
    if announced.intent != revision or announced.inserts or isinstance(body, Unmoved):
        return None
    by = announced.document.get(META_FIELD, _PLACED).get("by")
    known: Fields = {"intent": revision} if by is None else {"intent": revision, "by": by}
    meta = {"rev": revision, **known}
    if conv != 1:
        meta["conv"] = conv
    # No revision is above its intent. Nor is an insert remembered since: it was announced above this intent, and taken
    # back with its announcement.
    standing = {"intent": _INTENT, "by": _BY}
    return _replace_if({"$eq": [standing, {"$literal": known}]}, {"$literal": {**body, META_FIELD: meta}})


def build_known_tombstone(revision: int, since: int, now: Moment, announced: StoredV2) -> Pipeline | None:
    """Return the pipeline that does what `build_tombstone` does, as `build_replacement` does for a body."""
    if announced.intent != revision or announced.inserts or announced.revision > since:
        return None
    # Not what has been stored meanwhile, which may be of the next entity. What is remembered is as it is for a body.
    standing, known = [_REV, _INTENT], [announced.revision, revision]
    meta = {"rev": revision, "intent": revision, "by": _BY, "gone": True, "at": now}
    return _replace_if({"$eq": [standing, {"$literal": known}]}, {META_FIELD: meta})


def _replace_if(condition: Document, made: Document) -> Pipeline:
    """Return the pipeline that puts another document in place of one that meets a condition. The server keeps `_id`."""
    return [{"$replaceWith": {"$cond": [condition, made, "$$ROOT"]}}]


def build_tombstone(revision: int, since: int, now: Moment) -> Pipeline:
    """Return the pipeline that stores a delete's tombstone at this revision, of the entity that V1 held at `since`."""
    meta = {
        "rev": revision, "intent": {"$max": [_INTENT, revision]}, "by": _BY, "gone": True, "at": now,
        "raised": _remove_if({"$lte": [_INTENT, revision]}, _RAISED), "inserts": _keep_inserts("$gt", since),
    }  # fmt: skip
    return [{"$replaceWith": {**_ID, META_FIELD: meta}}]


def build_insert_announcement(placeholder: int, step: int, now: Moment) -> Pipeline:
    """Return the pipeline that announces and remembers an insert above every earlier announcement, without a body."""
    ticket = {"$add": [{"$ifNull": [_INTENT, 0]}, step]}
    made = {"$eq": [{"$ifNull": [_REV, "none"]}, "none"]}
    meta = {
        **_KEPT, "rev": {"$ifNull": [_REV, placeholder]}, "intent": ticket, "by": {"$cond": [made, "write", _BY]},
        "gone": True, "at": now, "inserts": {"$concatArrays": [{"$ifNull": [_INSERTS, []]}, [ticket]]},
    }  # fmt: skip
    return [{"$replaceWith": {**_ID, META_FIELD: meta}}]


def build_vacancy(revision: int, ticket: int, now: Moment) -> Pipeline:
    """Return the pipeline that removes the body and announces and remembers an insert at this ticket."""
    inserts = {"$concatArrays": [{"$ifNull": [_INSERTS, []]}, [ticket]]}
    meta = {"rev": revision, "intent": ticket, "by": _BY, "gone": True, "at": now, "inserts": inserts}
    return [{"$replaceWith": {**_ID, META_FIELD: meta}}]


def build_withdrawal(ticket: int, before: int) -> Pipeline:
    """Return the pipeline that takes back the announcement of this ticket, the last one: the intent becomes `before`.

    It also removes the mark where no announcement is open any more.
    """
    buried = {"$cond": [{"$eq": [{"$ifNull": [_UNMOVED, "none"]}, "none"]}, _GONE, False]}
    meta = {
        # Not below the body: a reader may have stored V1's body at a revision that was never announced, such as one
        # from before V2 existed.
        **_KEPT, "rev": _REV, "intent": {"$max": [before, _REV]}, "gone": _GONE,
        # A tombstone keeps its mark, by which it is purged. What has no body by V1's revision is no tombstone.
        "at": {"$cond": [{"$gt": [before, _REV]}, _AT, {"$cond": [buried, _AT, "$$REMOVE"]}]},
        "inserts": _keep_inserts("$ne", ticket), "unmoved": _UNMOVED, "reason": _REASON, "kept": _KEPT_BODY,
    }  # fmt: skip
    return [{"$replaceWith": {"$mergeObjects": ["$$ROOT", {META_FIELD: meta}]}}]


def build_forgetting(ticket: int) -> Pipeline:
    """Return the pipeline that forgets the insert announced at this ticket."""
    meta = {**_KEPT, "rev": _REV, "intent": _INTENT, "gone": _GONE, "at": _AT, "inserts": _keep_inserts("$ne", ticket)}
    return [{"$replaceWith": {"$mergeObjects": ["$$ROOT", {META_FIELD: meta}]}}]


_MISSING: Any = object()


def evaluate(pipeline: Pipeline, document: Document) -> dict[str, Any]:
    """Return the document after these stages; the given one is not changed.

    Raises `NotImplementedError` for operators that the pipelines of this module do not use.
    """
    for stage in pipeline:
        if list(stage) != ["$replaceWith"]:
            raise NotImplementedError(f"in-memory pipelines know $replaceWith only, not {', '.join(stage)}")
        document = _evaluate_part(stage["$replaceWith"], document)
    return dict(document)


def _evaluate_part(expression: Any, document: Document) -> Any:
    if isinstance(expression, str):
        return _look_up(expression, document) if expression[:1] == "$" else expression
    if isinstance(expression, list):
        return [_evaluate_part(one, document) for one in expression]
    if not isinstance(expression, (dict, Mapping)):  # asked first: quick
        return expression
    operator = next(iter(expression), "")
    if operator[:1] != "$":
        made = {name: _evaluate_part(inner, document) for name, inner in expression.items()}
        return {name: value for name, value in made.items() if value is not _MISSING}
    operand = expression[operator]
    if operator == "$literal":
        return operand
    if operator == "$filter":
        items = _evaluate_part(operand["input"], document)
        return [item for item in items if _evaluate_part(operand["cond"], {"$this": item})]
    if operator not in _OPERATORS:
        raise NotImplementedError(f"in-memory pipelines do not know {operator}")
    # A single operand that evaluates to a list is the list of values, as for `$max`.
    values = (
        [_evaluate_part(one, document) for one in operand]
        if isinstance(operand, list)
        else _evaluate_part(operand, document)
    )
    return _OPERATORS[operator](values if isinstance(values, list) else [values])


def _look_up(expression: str, document: Any) -> Any:
    if expression in _VARIABLES:
        return _VARIABLES[expression](document)
    for name in expression[1:].split("."):
        document = document.get(name, _MISSING) if isinstance(document, (dict, Mapping)) else _MISSING
    return document


def _rank_value(value: Any) -> Any:
    """Return a value to sort by: missing and null sort before every number."""
    return -math.inf if value is _MISSING or value is None else value


def _merge(parts: Sequence[Document]) -> dict[str, Any]:
    return {name: value for part in parts for name, value in part.items()}


_OPERATORS: Final[Mapping[str, Callable[[Sequence[Any]], Any]]] = {
    "$add": sum,
    "$concatArrays": lambda values: [item for value in values for item in value],
    "$cond": lambda values: values[1] if values[0] is not _MISSING and values[0] else values[2],
    "$eq": lambda values: values[0] == values[1],
    "$gt": lambda values: _rank_value(values[0]) > _rank_value(values[1]),
    "$ifNull": lambda values: next(value for value in values if _rank_value(value) != -math.inf),
    "$lte": lambda values: _rank_value(values[0]) <= _rank_value(values[1]),
    "$max": lambda values: max(values, key=_rank_value),
    "$mergeObjects": _merge,
    "$ne": lambda values: values[0] != values[1],
}
_VARIABLES: Final[Mapping[str, Callable[[Document], Any]]] = {
    "$$REMOVE": lambda _: _MISSING,
    "$$ROOT": lambda document: document,
}
