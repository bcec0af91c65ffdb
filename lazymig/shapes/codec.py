"""The codec between entities and documents, with the id's two names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Generic, TypeVar, cast

import bson
from attrs import evolve, frozen
from bson import CodecOptions
from cattrs import Converter
from cattrs.errors import ClassValidationError, IterableValidationError

from lazymig.shapes.annotations import holds_anything
from lazymig.shapes.assured import make_assurance
from lazymig.shapes.bson_types import make_converter
from lazymig.shapes.equality import distinguishes, first_difference
from lazymig.shapes.fields import Rejected
from lazymig.shapes.reading import make_reader
from lazymig.shapes.stored_names import TopNames, is_free, top_names
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
    #: Makes an entity of a plain dict as `fast` does, only sooner; None where only the converter reads.
    read: Callable[[Fields], E] | None = None
    #: Returns whether an entity that was encoded surely comes back as it is; None where that is never certain.
    assured: Callable[[E], object] | None = None

    @property
    def fields(self) -> tuple[str, ...]:
        """The top-level keys that `encode` may produce, as far as the converter reveals them."""
        return self.names.fields

    def decode(self, document: Document) -> E:
        """Return the entity of a document. Raises cattrs' errors, whose path `failure_path` finds."""
        if self.read is not None and document.__class__ is dict:
            try:
                return self.read(document)
            except Exception:
                return self.detailed.structure(self._named(document), self.cls)
        named = self._named(self.bring_up(document))
        try:
            entity = self.fast.structure(named, self.cls)
        except Exception:
            # Decode again with the slow converter, whose error knows its path. If it succeeds, use its result.
            entity = self.detailed.structure(named, self.cls)
        if isinstance(document, Damaged):
            check_readable(self.fast.unstructure(entity, unstructure_as=self.cls))
        return entity

    def decode_among(self, document: Document) -> E | None:
        """Return the entity whose fields are among others at the top of a document.

        None where only a document with no other fields shows whether there is one.
        """
        if self.read is None or document.__class__ is not dict:
            return None
        try:
            return self.read(document)
        except Exception:
            return None

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
        """Return the document of an entity, without `_id`, where it is read back as the same entity.

        That is checked by reading it, unless the types of its values show it.

        Raises `NotExact` for a value that would come back as another, and the errors of the BSON encoder and of the
        converter.
        """
        document = self.encode(entity)
        if self.assured is not None and self.assured(entity):
            return document
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


def codec_for(
    cls: type[E], id_field: str, own: Converter | None, *, tz_aware: bool, upcasters: Upcasters | None = None
) -> Codec[E]:
    """Make a codec with the user's converter, or with the default one for a client with this `tz_aware` option."""
    if own is None:
        kind: type = cls  # mypy takes no `type[E]` for hashable
        made = cast(Codec[E], _make_default(kind, id_field, tz_aware))
        # An older document is brought up before it is read, and a version is stamped on what is written.
        return made if upcasters is None else evolve(made, upcasters=upcasters, read=None, assured=None)
    detailed = own if own.detailed_validation else own.copy(detailed_validation=True)
    options: CodecOptions[Fields] = CodecOptions(tz_aware=tz_aware)
    return Codec(
        cls, id_field, own, detailed, options, top_names(own, cls, id_field), distinguishes(cls), upcasters=upcasters
    )  # fmt: skip


@lru_cache(maxsize=64)
def _make_default(cls: type[object], id_field: str, tz_aware: bool) -> Codec[object]:
    """Return the codec of a class with the default converters, which nobody registers hooks on.

    It is kept, since making it takes longer than all else when a repository is opened; not for more classes than
    programs have, since converters keep the classes alive.
    """
    fast = make_converter(tz_aware=tz_aware, detailed_validation=False)
    detailed = make_converter(tz_aware=tz_aware)
    options: CodecOptions[Fields] = CodecOptions(tz_aware=tz_aware)
    names = top_names(fast, cls, id_field)
    made: Codec[object] = Codec(cls, id_field, fast, detailed, options, names, distinguishes(cls), holds_anything(cls))
    if names.opaque:
        return made
    return evolve(made, read=make_reader(cls, fast, id_field), assured=make_assurance(cls, fast, options))


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
