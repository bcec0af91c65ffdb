"""Validators that refuse what lazymig must store: documents without a body, and lazymig's own fields."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from lazymig.stores.documents import META_FIELD, REVISION_FIELD
from lazymig.stores.fencing import Own, find_fencing
from lazymig.stores.records import Document
from lazymig.surroundings.looking import Seen

_GONE = f"{META_FIELD}.gone"
#: The fields that V2's own field may have beside a body.
_META_PARTS = ("rev", "intent", "by", "conv", "at", "raised", "inserts")
_KINDS = {REVISION_FIELD: "an int or a long"}


def find_enforced_rule(seen: Seen) -> Document:
    """Return the user's rule that every new document must satisfy; an empty one where the server only warns.

    lazymig's own fence is no part of it: it refuses nothing of what its phase stores.
    """
    own = Own.of(seen.options)
    return {} if own.is_loose else own.validator


def is_fenced(seen: Seen | None) -> bool:
    """Whether the collection has the fence of the seal, which only `v2_only` can work with."""
    return seen is not None and find_fencing(seen.options) is not None


def describe_gone(seen: Seen) -> str:
    """Return what to change where a document without a body is refused."""
    return (
        f"{seen.side}: the validator of {seen.name} refuses announcements of writes and marks of deletes, which have "
        f"no body; make it {{$or: [{{'{_GONE}': true}}, <the present validator>]}} with collMod"
    )


def find_refused_field(seen: Seen, field: str) -> str | None:
    """Return what to change if lazymig's own field is refused in documents with a body, else None."""
    return describe_field(seen, field) if _forbids(find_enforced_rule(seen), field) else None


def describe_field(seen: Seen, field: str) -> str:
    """Return what to change in a validator for lazymig's own field."""
    return (
        f"{seen.side}: the validator of {seen.name} does not allow lazymig's own field; add {field!r} to "
        f"what it allows ({_KINDS.get(field, 'an object with any fields')})"
    )


def _forbids(rule: Any, name: str) -> bool:
    """Whether no document with this top-level field satisfies the rule, as far as its `$jsonSchema` shows."""
    if not isinstance(rule, Mapping):
        return False
    return (
        _schema_forbids(rule.get("$jsonSchema"), name)
        or any(_forbids(part, name) for part in _list_parts(rule.get("$and")))
        or _each_forbids([part for part in _list_parts(rule.get("$or")) if _GONE not in part], name)
    )


def _list_parts(parts: Any) -> Sequence[Any]:
    return parts if isinstance(parts, Sequence) and not isinstance(parts, str) else ()


def _each_forbids(parts: Sequence[Any], name: str) -> bool:
    return bool(parts) and all(_forbids(part, name) for part in parts)


def _schema_forbids(schema: Any, name: str) -> bool:
    if not isinstance(schema, Mapping):
        return False
    named = name in schema.get("properties", {}) or any(
        re.search(pattern, name) for pattern in schema.get("patternProperties", {})
    )
    return (
        (schema.get("additionalProperties") is False and not named)
        or (
            name == META_FIELD
            and any(_schema_forbids(schema.get("properties", {}).get(name), part) for part in _META_PARTS)
        )
        or any(_schema_forbids(part, name) for part in _list_parts(schema.get("allOf")))
        or (bool(every := _list_parts(schema.get("anyOf"))) and all(_schema_forbids(part, name) for part in every))
    )
