"""How one document carries both shapes: which fields belong to which, and the fingerprint of V1's part."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from types import NoneType
from typing import Final, TypeVar

import bson
from attrs import evolve, field, frozen
from bson import ObjectId

from lazymig.errors import ConfigurationError, PhaseError
from lazymig.shapes.fields import Rejected
from lazymig.stores.decoding import Damaged, Unreadable
from lazymig.stores.documents import META_FIELD, MISSING, OWN_FIELDS
from lazymig.stores.keyset import Order
from lazymig.stores.pages import join_filters
from lazymig.stores.records import Document, Fields, StoredWhole
from lazymig.stores.whole_documents import LIFTED

V1 = TypeVar("V1")
V2 = TypeVar("V2")

#: The bytes of a fingerprint.
_BYTES: Final = 16
#: Types whose equal values are stored alike. A float is none of them: 0.0 equals -0.0.
_PLAIN: Final = frozenset({str, int, bool, NoneType, ObjectId})
#: Operators whose argument is a list of filters.
_LOGICAL: Final = frozenset({"$and", "$or", "$nor"})


class Lift(enum.StrEnum):
    """How far V2 parts have been lifted out of their sub-documents. All processes follow it, one step at a time."""

    #: Not at all.
    NONE = "none"
    #: Not yet, and processes may begin: every question asks for both places.
    ASKED = "asked"
    #: New entities are stored at the top, and the others are being lifted.
    UNDER_WAY = "under way"
    #: All are at the top.
    DONE = "done"


#: Settings in the phase's record: how far V2 parts are lifted, the epoch in which that was set last, and whether V1's
#: fields are taken out of all documents, which a release that forgets V1 waits for.
LIFT: Final = "lift"
LIFTED_IN: Final = "lift_epoch"
REDUCED: Final = "reduced"


def read_lift(settings: Mapping[str, object]) -> Lift:
    """Return how far V2 parts are lifted, by the settings that all processes follow. Raises `PhaseError`."""
    try:
        return Lift(str(settings.get(LIFT, Lift.NONE)))
    except ValueError:
        raise PhaseError("the control collection records a state of lifting that this release does not know") from None


@frozen
class OneDocument:
    """Which top-level fields of a document belong to which shape.

    Attributes:
        v1: The stored names of V1's class, sorted; None where its converter does not reveal them, so that every field
            counts that is not V2's.
        v2: The stored names of V2's class, within the sub-document if there is one.
        shared: The names that both classes declare with the same type. They are stored once.
        within: The name of the sub-document that holds V2's part; None where it stands at the top.
        lift: How far retirement has lifted V2 parts out of their sub-documents.
        name: The migration's name. It is part of each fingerprint, so that no V2 part is trusted that another migration
            of this collection has left.
        v2_own: The names at the top that only V2 has.
    """

    v1: tuple[str, ...] | None
    v2: frozenset[str]
    shared: frozenset[str]
    within: str | None = None
    lift: Lift = Lift.NONE
    name: str = ""
    # Made once, because every read needs them.
    v2_own: frozenset[str] = field(init=False, eq=False, repr=False)
    _key: bytes = field(init=False, eq=False, repr=False)
    #: What is no part of V1's document.
    _hidden: frozenset[str] = field(init=False, eq=False, repr=False)
    #: What is part of V2's document, where it stands at the top.
    _lifted: tuple[str, ...] = field(init=False, eq=False, repr=False)

    def at(self, lift: Lift) -> OneDocument:
        """Return this once V2 parts have been lifted so far; the same where there is nothing to lift."""
        if self.within is None or lift is self.lift:
            return self
        if lift is Lift.DONE:
            return evolve(self, within=None, shared=self.v2, lift=lift)
        return evolve(self, lift=lift)

    @property
    def born_lifted(self) -> bool:
        """Whether a new entity's V2 part goes to the top, where others may still have theirs in a sub-document."""
        return self.lift in (Lift.UNDER_WAY, Lift.DONE)

    @_key.default
    def _make_key(self) -> bytes:
        return blake2b(self.name.encode(), digest_size=_BYTES).digest()

    @v2_own.default
    def _find_v2_own(self) -> frozenset[str]:
        return self.v2 - self.shared if self.within is None else frozenset({self.within})

    @_hidden.default
    def _find_hidden(self) -> frozenset[str]:
        return self.v2_own | {META_FIELD}

    @_lifted.default
    def _find_lifted(self) -> tuple[str, ...]:
        return ("_id", *sorted(self.v2))

    def fingerprint(self, document: Document) -> bytes:
        """Return a fingerprint of V1's fields as they are stored, in a fixed order; a missing field is not null.

        Whatever changes V1's fields changes it, also a program that has never heard of lazymig.
        """
        part = {name: document[name] for name in self.list_covered(document) if name in document}
        try:
            raw = bson.encode(part)
        except Exception:
            # Python cannot hold one of the values. Fields that no conversion reads may have one, so it counts by its
            # bytes.
            raw = bson.encode({name: _stand_in(value) for name, value in part.items()})
        return self.digest(raw)

    def digest(self, raw: bytes) -> bytes:
        """Return the fingerprint of the BSON of V1's fields."""
        return blake2b(raw, digest_size=_BYTES, key=self._key).digest()

    def list_covered(self, document: Document) -> Sequence[str]:
        """Return the names that the fingerprint covers, in its order. They need not all be in the document."""
        if self.v1 is not None:
            return self.v1
        return sorted(name for name in document if name not in self.v2_own and name not in OWN_FIELDS)

    def v1_part(self, document: Document) -> Document:
        """Return the document without V2's part: V1's fields, and those that no class knows."""
        hidden = self._hidden
        return _damaged_as(document, {name: value for name, value in document.items() if name not in hidden})

    def v2_part(self, stored: StoredWhole) -> Document:
        """Return V2's part as a document of its own, with `_id`."""
        document = stored.document
        if self.within is None or stored.lifted:
            return _damaged_as(document, {name: document[name] for name in self._lifted if name in document})
        inner = document.get(self.within)
        return _damaged_as(document, {"_id": document["_id"], **(inner if isinstance(inner, Mapping) else {})})

    def v2_as_stored(self, stored: StoredWhole) -> Document:
        """Return V2's part by the paths that it has in the document, as filters and indexes name them."""
        part = self.v2_part(stored)
        return part if self.within is None or stored.lifted else {"_id": part["_id"], self.within: part}

    def find_taken(self, document: Document) -> str | None:
        """Return a name of V2's own that a document has in which lazymig has stored no V2 part; None if it has none."""
        return min((name for name in self.v2_own if name in document), default=None)

    def place(self, body: Document, stored: StoredWhole, *, whole: bool = False) -> tuple[Fields, list[str]]:
        """Return the fields to set and to unset so that a document holds this V2 body.

        What both shapes share is left out, because V1's part sets it; unless V2's part is the `whole` truth.
        """
        if self.within is not None and not stored.lifted:
            return {self.within: body}, []
        names = self.v2 if whole or stored.lifted else self.v2_own
        changed = {name: value for name, value in body.items() if name in names}
        return changed, [name for name in names if name in stored.document and name not in body]

    def remove(self, stored: StoredWhole) -> list[str]:
        """Return the fields to unset so that a document has no V2 part."""
        return [name for name in self.v2_own if name in stored.document]

    def check_names(self, body: Document) -> None:
        """Raise `Rejected` for a V2 body with a name that the class does not declare: it could be V1's."""
        if self.within is None and (strange := next((name for name in body if name not in self.v2), None)) is not None:
            raise Rejected(
                "V2's converter stores a field that its class does not declare, which could be another program's; pass "
                "Migration(v2_within=...)", strange,
            )  # fmt: skip

    def check_lifted(self, body: Document) -> None:
        """Raise `Rejected` for a V2 body with a name that nobody would read at the top of a document."""
        if (strange := next((name for name in body if name not in self.v2), None)) is not None:
            raise Rejected(
                "V2's converter stores a field that its class does not declare, which would be lost outside of the "
                "sub-document; let the converter's hook store the class's names, or generate it with cattrs.gen, which "
                "reveals what it renames", strange,
            )  # fmt: skip

    def find_disputed(
        self, document: Document, body: Document, own: Document, reread: Callable[[Document], Document]
    ) -> str | None:
        """Return a shared name whose value V2 would read back as another one than its `body` has; None if it has none.

        `document` has V1's part, which sets what is shared, `own` V2's own fields, and `reread` decodes V2's part and
        encodes it again, since two stored values may be the same entity.
        """
        shared = self.shared
        if _are_same(shared, document, body):
            return None
        try:
            read = reread({**{name: document[name] for name in shared if name in document}, **own})
        except Exception:
            read = document  # V2 cannot read what V1 stores, or leaves out
        return next(
            (name for name in sorted(shared) if not is_same(read.get(name, MISSING), body.get(name, MISSING))), None
        )

    def translate(self, criteria: Document) -> Document:
        """Return a filter of V2 as it is asked in this layout. Raises `ConfigurationError` where that is impossible."""
        if self.within is None or not criteria:
            return criteria
        inside = self._translate_all(criteria)
        if self.lift is Lift.NONE:
            return inside
        return {
            "$or": [join_filters({LIFTED: {"$ne": True}}, inside), join_filters({LIFTED: True}, dict(criteria))]
        }  # fmt: skip

    def _translate_all(self, criteria: Document) -> Document:
        return {name: value for given, found in criteria.items() for name, value in self._translate(given, found)}

    def _translate(self, name: str, value: object) -> Iterable[tuple[str, object]]:
        if name in _LOGICAL and isinstance(value, list | tuple):
            return [(name, [self._translate_all(each) if isinstance(each, Mapping) else each for each in value])]
        if name == "$comment":
            return [(name, value)]
        if name.startswith("$"):
            raise ConfigurationError(
                f"criteria: {name} cannot be asked of V2's part in the sub-document {self.within!r}; name the fields"
            )
        return [(self._path(name), value)]

    def translate_order(self, order: Order) -> Order:
        """Return an order by a field of V2 in this layout.

        Raises `PhaseError` while V2 parts are being lifted: no index holds both places in one order.
        """
        if self.within is not None and self.lift is not Lift.NONE and order.field != "_id":
            raise PhaseError(
                f"sort: V2 parts are being lifted out of {self.within!r}, and until that is done the server cannot "
                "sort by a field that is in two places; list in the order of ids, or wait for lazymig retire reduce"
            )
        return Order(self._path(order.field), order.direction)

    def _path(self, name: str) -> str:
        return name if self.within is None or name.split(".")[0] == "_id" else f"{self.within}.{name}"


def _are_same(names: Iterable[str], one: Document, other: Document) -> bool:
    """Return whether two documents have the same BSON under these names."""
    # Most values are of a type whose equal values have the same BSON, which spares encoding them.
    left = [name for name in names if not _is_plainly_same(one.get(name, MISSING), other.get(name, MISSING))]
    return not left or (
        bson.encode({name: one[name] for name in left if name in one})
        == bson.encode({name: other[name] for name in left if name in other})
    )


def _is_plainly_same(one: object, other: object) -> bool:
    kind = type(one)
    return kind is type(other) and kind in _PLAIN and one == other


def is_same(one: object, other: object) -> bool:
    """Return whether two values have the same BSON, or are both missing."""
    if one is MISSING or other is MISSING:
        return one is other
    if isinstance(one, str | None) and isinstance(other, str | None):
        return one == other
    if isinstance(one, Mapping) is not isinstance(other, Mapping):
        return False
    return bson.encode({"": one}) == bson.encode({"": other})


def _stand_in(value: object) -> object:
    """Return a value that BSON can hold, and that differs wherever two stored values do."""
    if isinstance(value, Unreadable):
        return {"$unreadable": value.kind, "raw": value.raw}
    if isinstance(value, Mapping):
        return {_spell_name(name): _stand_in(inner) for name, inner in value.items()}
    return [_stand_in(inner) for inner in value] if isinstance(value, list) else value


def _spell_name(name: str) -> str:
    return name if name.isascii() else f"$bytes {name.encode('utf-8', 'surrogateescape').hex()}"


def _damaged_as(document: Document, part: Fields) -> Document:
    return Damaged(part) if isinstance(document, Damaged) else part
