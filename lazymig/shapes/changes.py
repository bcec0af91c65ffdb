"""The fields that an update sets and unsets: what turns one document into another, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import bson
import bson.errors
from bson import ObjectId

from lazymig.shapes.stored_names import is_step
from lazymig.stores.records import Document, Fields

#: The fields to set, the fields to unset, and the sub-documents that must exist for that, each by its path.
Changes = tuple[Fields, list[str], list[str]]

_UNKNOWN: Any = object()
#: Types whose equal values have the same BSON, and of which two never have a value in common. Floats do not (0.0 equals
#: -0.0), nor do containers.
_PLAIN = frozenset({str, int, bool, type(None), bytes, ObjectId, datetime})


def changes(before: Document, after: Document, stored: Document | None = None) -> Changes:
    """Return the changes that turn one document into the other.

    Only what changed is written, inside sub-documents as well. V1 keeps everything else byte for byte: fields that no
    class knows, and values that the conversions would change. `stored` is V1's own document, if it was read. A
    sub-document that does not exist there (it is missing, null or a value of another type) is set whole. Arrays are
    also set whole, because nothing shows which old element became which new one.
    """
    found = _inside(before, after, _UNKNOWN if stored is None else stored)
    if found is not None:
        return found
    changed = {name: value for name, value in after.items() if name not in before or _differ(before[name], value)}
    return changed, [name for name in before if name not in after], []


def _inside(before: Document, after: Document, stored: Any) -> Changes | None:
    """Return the changes by their paths below this level; None if a changed name cannot be part of a path."""
    changed: dict[str, Any] = {}
    vanished = [name for name in before if name not in after]
    within: list[str] = []
    names = list(vanished)
    for name, value in after.items():
        old = before.get(name, _UNKNOWN)
        if value.__class__ in _PLAIN and old.__class__ in _PLAIN:  # nearly always
            if old.__class__ is not value.__class__ or old != value:
                names.append(name)
                changed[name] = value
            continue
        inner = _below(before.get(name), value, stored if stored is _UNKNOWN else stored.get(name))
        if inner is None:
            if name not in before or _differ(before[name], value):
                names.append(name)
                changed[name] = value
        elif inner[0] or inner[1]:
            names.append(name)
            # Concatenated, not formatted: an f-string would show the member's name for a string enum.
            changed |= {name + "." + path: inner_value for path, inner_value in inner[0].items()}
            vanished += [name + "." + path for path in inner[1]]
            within += [name, *(name + "." + path for path in inner[2])]
    return (changed, vanished, within) if all(map(is_step, names)) else None


def _below(before: Any, after: Any, stored: Any) -> Changes | None:
    """Return the changes inside one value; None if it must be compared and set whole."""
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return None
    if stored is not _UNKNOWN and not isinstance(stored, Mapping):
        return None
    # Documents whose fields are in another order differ, and no path can express that.
    if [name for name in before if name in after] != [name for name in after if name in before]:
        return None
    if stored is not _UNKNOWN and not _appends(before, after) and stored.keys() <= before.keys() | after.keys():
        return None  # set it whole to keep the order; unknown fields in V1 would matter more than order
    return _inside(before, after, stored)


def _appends(before: Document, after: Document) -> bool:
    """Return whether setting each new name by its path keeps their order. The server appends new names, sorted."""
    new = [name for name in after if name not in before]
    if not new:
        return True
    if list(after)[-len(new) :] != new:
        return False
    # The server sorts names of digits as numbers.
    return len(new) == 1 or (new == sorted(new) and not any(name.isdigit() for name in new))


def needs_stored(before: Document, after: Document) -> bool:
    """Return whether V1's document must be read before the update.

    It must if setting new names by path would change their order in some sub-document. Such a sub-document may be set
    whole only if V1 holds no other fields there.
    """
    return any(isinstance(value, dict) and _reorders(before.get(name), value) for name, value in after.items())


def _reorders(before: object, after: Document) -> bool:
    if not isinstance(before, dict):
        return False
    return not _appends(before, after) or needs_stored(before, after)


def _differ(before: Any, after: Any) -> bool:
    kind = type(before)
    if kind in _PLAIN and kind is type(after):
        return bool(before != after)
    # In Python, unlike BSON, 1, 1.0 and True are equal, as are dictionaries in any order, and NaN differs from itself.
    try:
        return bson.encode({"": before}) != bson.encode({"": after})
    except (bson.errors.BSONError, OverflowError, UnicodeEncodeError):
        return True  # a value that BSON cannot hold differs from every stored value
