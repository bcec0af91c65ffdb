"""Entity to document and back: cattrs' work, the id's two names, and which fields to set and unset."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Generic, TypeVar

import bson
import bson.errors
from attrs import frozen
from bson import CodecOptions, ObjectId
from cattrs import Converter
from cattrs.errors import ClassValidationError, IterableValidationError

from lazymig.shapes.annotations import holds_anything
from lazymig.shapes.bson_types import make_converter
from lazymig.shapes.equality import first_difference, tells_apart
from lazymig.shapes.fields import Rejected
from lazymig.shapes.stored_names import TopNames, is_free, is_step, top_names
from lazymig.stores.decoding import Damaged, UnreadableError, check_readable
from lazymig.stores.documents import META_FIELD, REVISION_FIELD, decode_id, raw_id
from lazymig.stores.records import Document

E = TypeVar("E")


class NotExact(ValueError):
    """What would be read back is not what was written."""

    #: A `ConversionError` shows the text of such a cause.
    without_contents = True

    def __init__(self, path: str) -> None:
        super().__init__("it would be read back as another value; give the value in the type that the class declares")
        self.path = path


@frozen
class Codec(Generic[E]):
    """One entity class as documents of one collection."""

    cls: type[E]
    id_field: str
    fast: Converter
    #: The same converter with detailed validation: asked only after `fast` failed, for the path.
    detailed: Converter
    #: How the client returns documents.
    options: CodecOptions[Any]
    names: TopNames
    #: Whether `==` of entities compares all that is in them.
    comparable: bool
    #: Whether an entity may hold parts of the very document that it was decoded from.
    shares: bool = True

    @property
    def fields(self) -> tuple[str, ...]:
        """Every top-level key that `encode` may produce, as far as the converter lets it be known."""
        return self.names.fields

    def decode(self, document: Document) -> E:
        """The entity of a document. Raises what cattrs raises; `failure_path` says where."""
        named = self._named(document)
        try:
            entity = self.fast.structure(named, self.cls)
        except Exception:
            # Once more, slowly, for an error that knows its path. If it passes, its result is as good.
            entity = self.detailed.structure(named, self.cls)
        if document.__class__ is Damaged:
            check_readable(self.fast.unstructure(entity, unstructure_as=self.cls))
        return entity

    def _named(self, document: Document) -> dict[str, Any]:
        """The document as the converter knows it: the id by its name there, and without lazymig's own fields."""
        named = dict(document)
        named.pop(REVISION_FIELD, None)
        named.pop(META_FIELD, None)
        if self.names.opaque:
            # A hook of the user's own may look for the id under either name.
            if self.id_field != "_id" and named.get(self.id_field, named["_id"]) != named["_id"]:
                raise ValueError(
                    f"the document has a field {self.id_field!r} beside _id, and only the class's own hook knows which "
                    "of them it wants; generate the hook with cattrs.gen.make_dict_structure_fn"
                )
            named[self.id_field] = decode_id(named["_id"])
        else:
            named[self.names.id or self.id_field] = decode_id(named.pop("_id"))
        return named

    def encode(self, entity: E) -> dict[str, Any]:
        """The document of an entity without `_id`."""
        document: dict[str, Any] = self.fast.unstructure(entity, unstructure_as=self.cls)
        document.pop(self.names.id or self.id_field, None)
        document.pop("_id", None)
        if not document.keys() <= self.names.checked:
            _check_names(document)
        return document

    def encode_exactly(self, entity: E) -> dict[str, Any]:
        """The document of an entity without `_id`: valid BSON, and read back as the same entity.

        Raises `NotExact` for a value that would come back as another, and what the encoder or the converter raises.
        """
        document = self.encode(entity)
        raw = bson.encode({"_id": self.id_of(entity), **document})
        self.check_read(entity, bson.decode(raw, self.options))
        return document

    def check_read(self, entity: E, document: Document) -> None:
        """Raise unless a document is read as this entity."""
        read = self.decode(document)
        if not self.comparable or read != entity:
            # In Python NaN differs from itself, and a class's own equality may compare the id alone.
            path = first_difference(entity, read)
            if path is not None:
                raise NotExact(path.lstrip("."))

    def id_of(self, entity: E) -> Any:
        """The entity's id, as it stands in `_id`."""
        return raw_id(getattr(entity, self.id_field))


def _check_names(document: Document) -> None:
    for name in document:
        if not isinstance(name, str) or not is_free(name):
            raise ValueError(
                "a field at the top of a document has a reserved name or no plain one (empty, a dot, a leading dollar, "
                "NUL); let the converter's hook write another name"
            )


def codec_for(cls: type[E], id_field: str, own: Converter | None, *, tz_aware: bool) -> Codec[E]:
    """A codec with the user's converter, or with the default one for a client of this kind."""
    if own is None:
        fast = make_converter(tz_aware=tz_aware, detailed_validation=False)
        detailed = make_converter(tz_aware=tz_aware)
    else:
        fast, detailed = own, own if own.detailed_validation else own.copy(detailed_validation=True)
    options: CodecOptions[Any] = CodecOptions(tz_aware=tz_aware)
    shares = own is not None or holds_anything(cls)
    names = top_names(fast, cls, id_field)
    return Codec(cls, id_field, fast, detailed, options, names, tells_apart(cls), shares)


#: The fields to set, those to unset, and the sub-documents that must stand for that: each by its path.
Changes = tuple[dict[str, Any], list[str], list[str]]

_UNKNOWN: Any = object()


def changes(before: Document, after: Document, stored: Document | None = None) -> Changes:
    """What turns one document into the other: what to set, what to unset, and the sub-documents that must stand.

    Fields that did not change are not written, nor the rest of a sub-document of which a part did: V1 keeps them byte
    for byte, whether no class knows of them or the conversions lose something. `stored` is V1's own document where that
    was read; a sub-document that does not stand there (it is missing, null, or what else was converted) is set whole.
    Arrays are set whole as well: nothing shows which of their elements became which.
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
    return (changed, vanished, within) if all(map(is_step, names)) else None


def _below(before: Any, after: Any, stored: Any) -> Changes | None:
    """The changes inside one value; None where it must be compared and set whole."""
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return None
    if stored is not _UNKNOWN and not isinstance(stored, Mapping):
        return None
    # What stands in another order is another document, and no path can express that.
    if [name for name in before if name in after] != [name for name in after if name in before]:
        return None
    if stored is not _UNKNOWN and not _appends(before, after) and stored.keys() <= before.keys() | after.keys():
        return None  # whole, for its order; names that no class knows count for more
    return _inside(before, after, stored)


def _appends(before: Document, after: Document) -> bool:
    """Whether the new names come out in their order where each is set by its path: at the end, sorted by the server."""
    new = [name for name in after if name not in before]
    if not new:
        return True
    if list(after)[-len(new) :] != new:
        return False
    # The server sorts names that are numbers as such.
    return len(new) == 1 or (new == sorted(new) and not any(name.isdigit() for name in new))


def needs_stored(before: Document, after: Document) -> bool:
    """Whether V1's document must be read: paths would not set the new names of some sub-document in their order.

    Whether it may be set whole instead depends on what else V1 holds there.
    """
    return any(_reorders(before.get(name), value) for name, value in after.items())


def _reorders(before: object, after: object) -> bool:
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return False
    return not _appends(before, after) or needs_stored(before, after)


#: Of these, equal values of one type are the same in BSON. Not so floats (0.0 is -0.0), nor what holds other values.
_PLAIN = frozenset({str, int, bool, type(None), bytes, ObjectId, datetime})


def _differ(before: Any, after: Any) -> bool:
    kind = type(before)
    if kind in _PLAIN and kind is type(after):
        return bool(before != after)
    # Python takes 1, 1.0 and True for equal, and dictionaries in any order, but NaN for different; BSON does not.
    try:
        return bson.encode({"": before}) != bson.encode({"": after})
    except (bson.errors.BSONError, OverflowError, UnicodeEncodeError):
        return True  # no stored value is like what BSON cannot hold


def leaf_error(error: BaseException) -> BaseException:
    """The first error that is no group of others: what really went wrong."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def failure_path(error: BaseException) -> str:
    """The path of the first field that an error names, as `a.b[2].c`; "" when it names none."""
    if isinstance(error, NotExact):
        return error.path
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
    elif isinstance(error, UnreadableError | Rejected):
        yield error.path
