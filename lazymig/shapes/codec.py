"""The codec between entities and documents, with the id's two names, and the fields that an update sets and unsets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import lru_cache
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
from lazymig.shapes.upcasting import Upcasters, bring_up, stamp
from lazymig.stores.decoding import Damaged, UnreadableError, check_readable, copied
from lazymig.stores.documents import META_FIELD, PART_FIELD, REVISION_FIELD, decode_id, raw_id
from lazymig.stores.records import Document, Fields

E = TypeVar("E")


class NotExact(ValueError):
    """An error for a value that would be read back as another value than was written."""

    #: A `ConversionError` shows the text of such a cause.
    without_contents = True

    def __init__(self, path: str) -> None:
        super().__init__("it would be read back as another value; give the value in the type that the class declares")
        self.path = path


@frozen
class Codec(Generic[E]):
    """The conversion between one entity class and the documents of one collection."""

    cls: type[E]
    id_field: str
    fast: Converter
    #: The same converter with detailed validation. It runs only after `fast` failed, to find the path.
    detailed: Converter
    #: How the client returns documents.
    options: CodecOptions[Any]
    names: TopNames
    #: Whether `==` of entities compares everything in them.
    comparable: bool
    #: Whether an entity may share objects with the document that it was decoded from.
    shares: bool = True
    #: What brings documents of older versions up to the class.
    upcasters: Upcasters | None = None

    @property
    def fields(self) -> tuple[str, ...]:
        """The top-level keys that `encode` may produce, as far as the converter reveals them."""
        return self.names.fields

    def decode(self, document: Document) -> E:
        """Return the entity of a document. Raises cattrs' errors, whose path `failure_path` finds."""
        named = self._named(self.bring_up(document))
        try:
            entity = self.fast.structure(named, self.cls)
        except Exception:
            # Decode again with the slow converter, whose error knows its path. If it succeeds, use its result.
            entity = self.detailed.structure(named, self.cls)
        if isinstance(document, Damaged):
            check_readable(self.fast.unstructure(entity, unstructure_as=self.cls))
        return entity

    def decode_apart(self, document: Document) -> E:
        """Return the entity of a document, which shares nothing with it: a conversion may change what it is given."""
        return self.decode(copied(document) if self.shares else document)

    def bring_up(self, document: Document) -> Document:
        """Return a stored document in the newest version, the one that the class describes."""
        return document if self.upcasters is None else bring_up(self.upcasters, document, self.options)

    def _named(self, document: Document) -> Fields:
        """Return the document as the converter expects it: the id under its name there, without lazymig's fields."""
        named = dict(document)
        named.pop(REVISION_FIELD, None)
        named.pop(PART_FIELD, None)
        named.pop(META_FIELD, None)
        if self.upcasters is not None and not self.names.opaque and self.upcasters.field not in self.fields:
            named.pop(self.upcasters.field, None)  # a class that forbids unknown fields need not declare it
        if self.names.opaque:
            # A user's own hook may look for the id under either name.
            if self.id_field != "_id" and named.get(self.id_field, named["_id"]) != named["_id"]:
                raise ValueError(
                    f"the document has a field {self.id_field!r} beside _id, and only the class's own hook knows which "
                    "of the two it reads; generate the hook with cattrs.gen.make_dict_structure_fn"
                )
            named[self.id_field] = decode_id(named["_id"])
        else:
            named[self.names.id or self.id_field] = decode_id(named.pop("_id"))
        return named

    def encode(self, entity: E) -> Fields:
        """Return the document of an entity, without `_id`."""
        document: Fields = self.fast.unstructure(entity, unstructure_as=self.cls)
        document.pop(self.names.id or self.id_field, None)
        document.pop("_id", None)
        if not document.keys() <= self.names.checked:
            _check_names(document)
        if self.upcasters is not None:
            stamp(self.upcasters, document)
        return document

    def encode_exactly(self, entity: E) -> Fields:
        """Return the document of an entity, without `_id`, after checking that it is read back as the same entity.

        Raises `NotExact` for a value that would come back as another, and the errors of the BSON encoder and of the
        converter.
        """
        document = self.encode(entity)
        raw = bson.encode({"_id": self.id_of(entity), **document})
        self.check_read(entity, bson.decode(raw, self.options))
        return document

    def check_read(self, entity: E, document: Document) -> None:
        """Raise `NotExact` unless the document decodes to this entity."""
        read = self.decode(document)
        if not self.comparable or read != entity:
            # In Python NaN differs from itself, and a class's own equality may compare only the id.
            path = first_difference(entity, read)
            if path is not None:
                raise NotExact(path.lstrip("."))

    def id_of(self, entity: E) -> Any:
        """Return the entity's id in the form that is stored in `_id`."""
        return raw_id(getattr(entity, self.id_field))


def _check_names(document: Document) -> None:
    for name in document:
        if not isinstance(name, str) or not is_free(name):
            raise ValueError(
                "a field at the top of a document has a reserved name, or one that is not plain (empty, a dot, a "
                "leading dollar, NUL); let the converter's hook write another name"
            )


@lru_cache(maxsize=64)
def _default_converters(cls: type, tz_aware: bool) -> tuple[Converter, Converter]:
    """Return the fast and the detailed converter of a class, which nobody registers hooks on.

    They are kept, since making them takes longer than all else when a repository is opened; not for more classes than
    programs have, since converters keep the classes alive.
    """
    return make_converter(tz_aware=tz_aware, detailed_validation=False), make_converter(tz_aware=tz_aware)


def codec_for(
    cls: type[E], id_field: str, own: Converter | None, *, tz_aware: bool, upcasters: Upcasters | None = None
) -> Codec[E]:
    """Make a codec with the user's converter, or with the default one for a client with this `tz_aware` option."""
    if own is None:
        kind: type = cls  # mypy takes no `type[E]` for hashable
        fast, detailed = _default_converters(kind, tz_aware)
    else:
        fast, detailed = own, own if own.detailed_validation else own.copy(detailed_validation=True)
    options: CodecOptions[Any] = CodecOptions(tz_aware=tz_aware)
    shares = own is not None or holds_anything(cls)
    names = top_names(fast, cls, id_field)
    return Codec(cls, id_field, fast, detailed, options, names, tells_apart(cls), shares, upcasters)


#: The fields to set, the fields to unset, and the sub-documents that must exist for that, each by its path.
Changes = tuple[Fields, list[str], list[str]]

_UNKNOWN: Any = object()


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
    return any(_reorders(before.get(name), value) for name, value in after.items())


def _reorders(before: object, after: object) -> bool:
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return False
    return not _appends(before, after) or needs_stored(before, after)


#: Types whose equal values have the same BSON. Floats do not (0.0 equals -0.0), nor do containers.
_PLAIN = frozenset({str, int, bool, type(None), bytes, ObjectId, datetime})


def _differ(before: Any, after: Any) -> bool:
    kind = type(before)
    if kind in _PLAIN and kind is type(after):
        return bool(before != after)
    # In Python, unlike BSON, 1, 1.0 and True are equal, as are dictionaries in any order, and NaN differs from itself.
    try:
        return bson.encode({"": before}) != bson.encode({"": after})
    except (bson.errors.BSONError, OverflowError, UnicodeEncodeError):
        return True  # a value that BSON cannot hold differs from every stored value


def leaf_error(error: BaseException) -> BaseException:
    """Return the first error inside nested exception groups: the actual cause."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def failure_path(error: BaseException) -> str:
    """Return the path of the first field that an error names, such as `a.b[2].c`; "" if it names none."""
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
            # Positions may be shown, but the key of a mapping is document contents.
            yield f"[{item.index}]" if isinstance(item.index, int) else "[...]"
            yield from _steps(inner)
    elif isinstance(error, UnreadableError | Rejected):
        yield error.path
