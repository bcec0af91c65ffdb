"""Entity to document and back: cattrs' work, the id's two names, and which fields to set and unset."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Generic, TypeVar

import attrs
import bson
from attrs import frozen
from bson import ObjectId
from bson.binary import UUID_SUBTYPE, Binary
from cattrs import Converter
from cattrs.errors import ClassValidationError, IterableValidationError

from lazymig.bson_types import holds_anything, make_converter
from lazymig.decoding import Damaged, Unreadable, UnreadableError, check_readable
from lazymig.documents import raw_id
from lazymig.records import Document

E = TypeVar("E")

_UUID_BYTES = 16


@frozen
class Codec(Generic[E]):
    """One entity class as documents of one collection."""

    cls: type[E]
    id_field: str
    fast: Converter
    #: The same converter with detailed validation: asked only after `fast` failed, for the path.
    detailed: Converter
    #: Whether an entity may hold parts of the very document that it was decoded from.
    shares: bool = True

    @property
    def fields(self) -> tuple[str, ...]:
        """Every top-level key that `encode` may produce."""
        hook = self.fast.get_unstructure_hook(self.cls)
        overrides: Mapping[str, Any] = getattr(hook, "overrides", {})
        names = [attribute.name for attribute in attrs.fields(self.cls) if attribute.name != self.id_field]  # type: ignore[arg-type]
        renamed = {name: override.rename for name, override in overrides.items() if override.rename}
        return tuple(dict.fromkeys([*names, *(renamed[name] for name in names if name in renamed)]))

    def decode(self, document: Document) -> E:
        """The entity of a document. Raises whatever cattrs raises; `failure_path` tells where."""
        named = {**document, self.id_field: document["_id"]}
        try:
            entity = self.fast.structure(named, self.cls)
        except Exception:
            # Once more, slowly, for an error that knows its path. Should it pass, so much the better.
            entity = self.detailed.structure(named, self.cls)
        if document.__class__ is Damaged:
            check_readable(self.fast.unstructure(entity, unstructure_as=self.cls))
        return entity

    def encode(self, entity: E) -> dict[str, Any]:
        """The document of an entity without `_id`, checked to be valid BSON."""
        document: dict[str, Any] = self.fast.unstructure(entity, unstructure_as=self.cls)
        document.pop(self.id_field, None)
        document.pop("_id", None)
        return document

    def id_of(self, entity: E) -> Any:
        """The entity's id, as it stands in `_id`."""
        return raw_id(getattr(entity, self.id_field))


def decode_id(raw: Any) -> Any:
    """An id as entities hold it; one that Python cannot hold as it is shown to people."""
    if isinstance(raw, Binary) and raw.subtype == UUID_SUBTYPE and len(raw) == _UUID_BYTES:
        return raw.as_uuid()
    return raw.shown if isinstance(raw, Unreadable) else raw


def codec_for(cls: type[E], id_field: str, own: Converter | None, *, tz_aware: bool) -> Codec[E]:
    """A codec with the user's converter, or with the default one for a client of this kind."""
    if own is not None:
        return Codec(cls, id_field, own, own)
    fast = make_converter(tz_aware=tz_aware, detailed_validation=False)
    return Codec(cls, id_field, fast, make_converter(tz_aware=tz_aware), holds_anything(cls))


def check_bson(document: Document) -> None:
    """Raise what the driver would raise (too large an int, a key with a NUL byte), before anything is announced."""
    bson.encode(document)


#: The fields to set, those to unset, and the sub-documents that must stand for that: each by its path.
Changes = tuple[dict[str, Any], list[str], list[str]]

_UNKNOWN: Any = object()


def changes(before: Document, after: Document, stored: Document | None = None) -> Changes:
    """What turns one document into the other: what to set, what to unset, and the sub-documents that must stand.

    Fields that did not change are not written, nor the rest of a sub-document of which a part did: V1 keeps them byte
    for byte, whether no class knows of them or the conversions lose something. `stored` is V1's own document where that
    was read; a sub-document that does not stand there (it is missing, null, or what else was converted) is set whole.
    Arrays are set whole as well: nobody can tell which of their elements became which.
    """
    found = _inside(before, after, _UNKNOWN if stored is None else stored)
    if found is not None:
        return found
    changed = {name: value for name, value in after.items() if name not in before or _differ(before[name], value)}
    return changed, [name for name in before if name not in after], []


def _inside(before: Document, after: Document, stored: Any) -> Changes | None:
    """The changes by paths from here; None where a name that changed cannot be part of a path."""
    changed: dict[str, Any] = {}
    vanished = [name for name in before if name not in after]
    within: list[str] = []
    names = list(vanished)
    for name, value in after.items():
        inner = _below(before.get(name), value, stored if stored is _UNKNOWN else stored.get(name))
        if inner is None:
            if name not in before or _differ(before[name], value):
                names.append(name)
                changed[name] = value
        elif inner[0] or inner[1]:
            names.append(name)
            # Added up, not formatted: a text that is a member of an enumeration would show its name.
            changed |= {name + "." + path: inner_value for path, inner_value in inner[0].items()}
            vanished += [name + "." + path for path in inner[1]]
            within += [name, *(name + "." + path for path in inner[2])]
    return (changed, vanished, within) if all(map(_is_step, names)) else None


def _below(before: Any, after: Any, stored: Any) -> Changes | None:
    """The changes inside one value; None where it must be compared and set whole."""
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return None
    if stored is not _UNKNOWN and not isinstance(stored, Mapping):
        return None
    # What stands in another order is another document, and no path can tell that.
    if [name for name in before if name in after] != [name for name in after if name in before]:
        return None
    return _inside(before, after, stored)


def _is_step(name: str) -> bool:
    """Whether MongoDB takes this name for one step of a path."""
    return bool(name) and name[0] != "$" and "." not in name and "\0" not in name


#: Of these, equal values of one type are the same in BSON. Not so floats (0.0 is -0.0), nor what holds other values.
_PLAIN = frozenset({str, int, bool, type(None), bytes, ObjectId, datetime})


def _differ(before: Any, after: Any) -> bool:
    # Python takes 1, 1.0 and True for equal, and dictionaries in any order; BSON does not.
    kind = type(before)
    if kind in _PLAIN and kind is type(after):
        return bool(before != after)
    return bool(before != after) or bson.encode({"": before}) != bson.encode({"": after})


def leaf_error(error: BaseException) -> BaseException:
    """The first error that is no group of others: what really went wrong."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def failure_path(error: BaseException) -> str:
    """The path of the first field that a structuring error names, as `a.b[2].c`; "" when it names none."""
    return "".join(_steps(error)).lstrip(".")


def _steps(error: BaseException) -> Iterator[str]:
    if isinstance(error, ClassValidationError):
        noted, _ = error.group_exceptions()
        for inner, note in noted[:1]:
            yield f".{note.name}"
            yield from _steps(inner)
    elif isinstance(error, IterableValidationError):
        noted_items, _ = error.group_exceptions()
        for inner, item in noted_items[:1]:
            # Positions may be shown; the key of a mapping is contents.
            yield f"[{item.index}]" if isinstance(item.index, int) else "[...]"
            yield from _steps(inner)
    elif isinstance(error, UnreadableError):
        yield error.path
