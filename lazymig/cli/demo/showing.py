"""One document of a collection as text, much as the MongoDB shell prints it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime

from bson import ObjectId

from lazymig.cli.output import plain, width_of_text
from lazymig.status.ids import typed

_INDENT = 2


def pretty(document: Mapping[str, object], width: int | None = None) -> list[str]:
    """Format a document as lines of plain text: characters that a terminal would obey are shown as escapes.

    Args:
        document: As the driver returned it.
        width: Columns at most, but for a part that is longer by itself. By default those of the terminal.

    Returns:
        The lines.
    """
    return _lines("", document, "", width or width_of_text())


def _lines(head: str, value: object, tail: str, width: int) -> list[str]:
    whole = f"{head}{_inline(value)}{tail}"
    if len(whole) <= width or not isinstance(value, Mapping | list) or not value:
        return [whole]
    indent = " " * (len(head) - len(head.lstrip()) + _INDENT)
    if isinstance(value, Mapping):
        opened, closed = "{", "}"
        inner = [
            line for index, (key, one) in enumerate(value.items())
            for line in _lines(f"{indent}{_key(key)}: ", one, "," * (index < len(value) - 1), width)
        ]  # fmt: skip
    else:
        opened, closed = "[", "]"
        inner = _elements(value, indent, width)
    return [f"{head}{opened}", *inner, f"{indent[_INDENT:]}{closed}{tail}"]


def _elements(values: Sequence[object], indent: str, width: int) -> list[str]:
    """Elements that are documents each on lines of their own, all others as many on a line as fit."""
    lines: list[str] = []
    for index, value in enumerate(values):
        comma = "," * (index < len(values) - 1)
        if isinstance(value, Mapping | list):
            lines += _lines(indent, value, comma, width)
            continue
        text = f"{_inline(value)}{comma}"
        if lines and not isinstance(values[index - 1], Mapping | list) and len(lines[-1]) + 1 + len(text) <= width:
            lines[-1] += f" {text}"
        else:
            lines.append(f"{indent}{text}")
    return lines


def _inline(value: object) -> str:
    match value:
        case Mapping():
            inner = ", ".join(f"{_key(key)}: {_inline(one)}" for key, one in value.items())
            return f"{{ {inner} }}" if inner else "{}"
        case list():
            return f"[{', '.join(map(_inline, value))}]"
        case str():
            return plain(json.dumps(value, ensure_ascii=False))
        case ObjectId():
            return f'ObjectId("{value}")'
        case datetime():
            return f'ISODate("{value.replace(tzinfo=None).isoformat(timespec="milliseconds")}Z")'
        case None | bool():
            return json.dumps(value)
    return plain(value if isinstance(value, int | float) else typed(value))


def _key(key: str) -> str:
    return key if key.isidentifier() else _inline(key)
