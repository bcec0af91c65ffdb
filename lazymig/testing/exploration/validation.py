"""Validators of the explorer's collections, and the two commands that read and change them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pymongo.errors import OperationFailure, WriteError

from lazymig.testing.exploration.filters import matches
from lazymig.testing.exploration.statement import Statement

if TYPE_CHECKING:
    from lazymig.testing.memory_collection import MemoryCollection

Document = Mapping[str, Any]
_INVALID = 121
_DEFAULTS = {"validationLevel": "strict", "validationAction": "error"}


def check_valid(document: Document, options: Document) -> None:
    """Raise `WriteError`, as the server does, for a document that the collection's validator refuses.

    Only validators that refuse every document that does not match are known here.
    """
    rule: Document = options.get("validator", {})
    if not matches(document, rule):
        details = {"operatorName": "$and", "clausesNotSatisfied": list(_explain(document, rule))}
        reason = {"failingDocumentId": document["_id"], "details": details}
        text = "Document failed validation"
        raise WriteError(text, _INVALID, {"index": 0, "code": _INVALID, "errmsg": text, "errInfo": reason})


def _explain(document: Document, rule: Document) -> list[dict[str, Any]]:
    parts = rule.get("$and", [rule])
    return [
        {"index": index, "details": {"specifiedAs": part}}
        for index, part in enumerate(parts)
        if not matches(document, part)
    ]


class MemoryDatabase:
    """The database of one collection, for commands about its options."""

    def __init__(self, collection: MemoryCollection) -> None:
        self._collection = collection

    def command(self, name: str, value: Any, **arguments: Any) -> Statement:
        """Run `listCollections` or `collMod`; `NotImplementedError` for any other command."""
        collection = self._collection
        effect = {"listCollections": self._list, "collMod": self._modify}.get(name)
        if effect is None:
            raise NotImplementedError(f"MemoryCollection does not know the command {name}")
        # Only a change of the validator is a scheduling point: clients never read options.
        gate = collection.gate if "validator" in arguments else None
        shown = {key: given for key, given in arguments.items() if key in ("filter", "validator")}
        return Statement(gate, collection.name, name, lambda _: effect(arguments), shown)

    def _list(self, arguments: Document) -> dict[str, Any]:
        options = dict(self._collection.options)
        found = {"name": self._collection.name, "type": "collection", "options": options}
        return {"cursor": {"firstBatch": [found] if arguments["filter"] == {"name": found["name"]} else []}}

    def _modify(self, arguments: Document) -> dict[str, Any]:
        changed = {key: given for key, given in arguments.items() if key.startswith("valid")}
        options = {**_DEFAULTS, **self._collection.options, **changed} if changed else self._collection.options
        if {key: options[key] for key in _DEFAULTS if options} != (_DEFAULTS if options else {}):
            raise OperationFailure("MemoryCollection knows strict validators only", 72)
        # As on the server, an empty validator is none.
        self._collection.options = {key: given for key, given in options.items() if given != {}}
        return {"ok": 1.0}
