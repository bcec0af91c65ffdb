"""lazymig's own field in documents that carry both shapes: only this module knows how it is spelled.

`_lazymig` is {rev, of?, conv?, by?, alone?, lifted?, unmoved?, reason?, kept?}; `records.StoredWhole` explains them.
"""

from __future__ import annotations

from collections.abc import Sequence

from lazymig.errors import ConfigurationError, ConversionError
from lazymig.stores.documents import (
    META_FIELD,
    MISSING,
    UNUSABLE,
    decode_id,
    hold,
    parse_unmoved,
    raw_id,
    spell_unmoved,
)
from lazymig.stores.records import Document, Fields, StoredWhole, Unmoved, WholeChange

#: The paths of single values.
REV, OF, CONV, BY, ALONE, LIFTED, UNMOVED = (
    f"{META_FIELD}.{name}" for name in ("rev", "of", "conv", "by", "alone", "lifted", "unmoved")
)
#: What to do about meta data that lazymig cannot have stored. V2's fields alone would be taken for another program's.
UNSET = "unset it, and the fields that only V2 has"
#: What V2 may know: entities with a V2 part, and those that lazymig has not seen.
MOVED: Document = {UNMOVED: {"$exists": False}}


def spell_whole(
    revision: int,
    of: bytes | None = None,
    *,
    conv: int = 1,
    by: str | None = None,
    alone: str | None = None,
    lifted: bool = False,
    unmoved: Unmoved | None = None,
) -> Fields:
    """Return the meta data of a document that carries both shapes; `records.StoredWhole` explains them."""
    meta: Fields = {"rev": revision}
    if of is not None:
        meta["of"] = of
    if conv != 1:  # missing means 1
        meta["conv"] = conv
    if by is not None:
        meta["by"] = by
    if alone is not None:
        meta["alone"] = alone
    if lifted:
        meta["lifted"] = True
    if unmoved is not None:
        meta |= {name: value for name, value in spell_unmoved(unmoved).items() if name != "gone"}
    return meta


def read_alone(meta: Document) -> str | None:
    """Return the migration whose V2 part is the only truth; None where V1's part is kept."""
    alone = meta.get("alone")
    return alone if isinstance(alone, str) else None


def get_reason_kind(meta: Document) -> str | None:
    """Return "waiting" or "left" where this meta data says why there is no V2 part; None where there is one."""
    return meta.get("unmoved")


def parse_whole(document: Document) -> StoredWhole:
    """Return a document that carries both shapes, with its meta data; those that lazymig cannot have stored are odd."""
    id, meta = raw_id(document["_id"]), document.get(META_FIELD, MISSING)
    if meta is MISSING:
        return StoredWhole(id, 0, document, known=False)
    if not isinstance(meta, dict) or "gone" in meta:
        return StoredWhole(id, UNUSABLE, document)
    revision, conv, of = read_number(meta.get("rev")), read_number(meta.get("conv", 1)), meta.get("of")
    if revision is None or conv is None:
        return StoredWhole(id, UNUSABLE, document)
    return StoredWhole(
        id, revision, document, of if isinstance(of, bytes) else None, conv, meta.get("by"),
        read_alone(meta), meta.get("lifted") is True, parse_unmoved(meta) if "unmoved" in meta else None,
    )  # fmt: skip


def read_number(value: object) -> int | None:
    """Return a revision as a number; None for what lazymig cannot have stored.

    Programs in languages without integers store them as doubles when they write a document back. To the server, both
    are equal.
    """
    if value.__class__ is int:  # nearly always
        return value if value >= 0 else None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and value >= 0 else None


def check_whole(stored: StoredWhole) -> StoredWhole:
    """Return the document. Raises `ConversionError` for meta data that lazymig cannot have stored in this layout."""
    if stored.revision == UNUSABLE:
        wrong = ConfigurationError(f"{META_FIELD} is not what lazymig stores beside both shapes; {UNSET}")
        raise ConversionError(decode_id(stored.id), "read", wrong, META_FIELD, side="V1")
    return stored


def make_setting(change: WholeChange) -> Fields:
    """Return what a statement sets."""
    return {**change.changed, META_FIELD: change.meta}


def make_whole_filter(seen: StoredWhole, held: Document | None = None, within: Sequence[str] = ()) -> Fields:
    """Return a filter for a document that carries both shapes and that no writer of lazymig has changed since.

    With `held`, the value at each of its paths must also be the one given: other programs change no revision.
    """
    where: Fields = {"_id": seen.id}
    if not seen.known:
        where[META_FIELD] = {"$exists": False}
    else:
        where[f"{META_FIELD}.rev"] = seen.revision
        where[f"{META_FIELD}.of"] = {"$exists": False} if seen.of is None else seen.of
    return hold(where, within, held)
