"""Ids as text and back: a command line knows no types, so a text may carry one, as `int:5` or `str:5`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from bson import ObjectId, json_util

from lazymig.stores.documents import decode_id

#: The types of ids on the command line. Every other type is `json:` with extended JSON.
KINDS = ("str", "int", "oid", "uuid", "bytes", "json")


def typed(id: Any) -> str:
    """Return the id with its type, which names exactly this id: `int:5`, `str:5`, `oid:...`, `bytes:00ff`."""
    kind, text = _parts(id)
    return f"{kind}:{text}"


def id_text(id: Any) -> str:
    """Return the id without its type, such as `5`. Another id may have the same text."""
    kind, text = _parts(id)
    return f"{kind}:{text}" if kind in {"bytes", "json"} else text


class Names:
    """The texts by which commands refer to the ids of a list."""

    def __init__(self, ids: Iterable[Any]) -> None:
        self._typed: dict[str, Any] = {}
        self._loose: dict[str, list[Any]] = {}
        for id in ids:
            if typed(id) in self._typed:
                continue  # named twice, which makes no text ambiguous
            self._typed[typed(id)] = id
            own = {str(id), f"str:{id}"} if isinstance(id, str) else set()
            for text in {id_text(id), *own}:
                self._loose.setdefault(text, []).append(id)

    def reference(self, id: Any) -> str:
        """Return the text that a command takes for this id, with its type where that is needed."""
        text = id_text(id)
        return typed(id) if len(self._loose.get(text, ())) > 1 or _is_misread(id) else text

    def find(self, text: str) -> list[Any]:
        """Return the ids that a text may stand for: none, one, or several. A type in front decides."""
        for exact in (text, _normal(text)):
            if exact in self._typed:
                return [self._typed[exact]]
        if _is_typed(text):
            # Never the text "int:5" instead of the number 5, whose dead letter may be gone by now.
            return [id for id in self._loose.get(text, ()) if text == f"str:{id}"]
        return self._loose.get(text) or self._loose.get(_normal(text), [])


def _is_misread(id: Any) -> bool:
    """Whether the text alone would be read as another type, an option, or a comment."""
    text = id_text(id)
    looks_typed = isinstance(id, str) and _is_typed(text)
    return looks_typed or not text.strip() or text != text.strip() or text.startswith(("-", "#"))


def _is_typed(text: str) -> bool:
    return ":" in text and text.partition(":")[0] in KINDS


def _parts(id: Any) -> tuple[str, str]:
    id = decode_id(id)
    match id:
        case str():
            # With the escapes of Python, so that an id with a control character and one with a backslash differ.
            return "str", "".join(c if c.isprintable() and c != "\\" else _escaped(c) for c in id)
        case bool():
            return "json", _extended(id)
        case int():
            return "int", str(int(id))
        case ObjectId():
            return "oid", str(id)
        case UUID():
            return "uuid", str(id)
    return ("bytes", id.hex()) if type(id) is bytes else ("json", _extended(id))


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def _extended(id: Any) -> str:
    try:
        return json_util.dumps(id, json_options=json_util.CANONICAL_JSON_OPTIONS)
    except (TypeError, ValueError):
        return repr(id)


def _normal(text: str) -> str:
    """Return the text in the notation of `typed`."""
    kind, colon, rest = text.partition(":")
    if colon and kind in {"oid", "bytes"}:
        return f"{kind}:{rest.lower()}"
    try:
        return f"uuid:{UUID(rest)}" if kind == "uuid" else str(UUID(text)) if len(text) == 36 else text
    except ValueError:
        return text
