"""The end of V1's part: V2's part becomes the truth of its document, and V1's own fields go. Nothing is sent here."""

from __future__ import annotations

from typing import TypeVar

from lazymig.errors import ConversionError
from lazymig.protocol.in_place.composing import compose_fill, hold_v1, place_whole
from lazymig.protocol.in_place.parts import Parts
from lazymig.shapes.attempts import attempt
from lazymig.shapes.fields import Rejected
from lazymig.shapes.stored_names import is_step
from lazymig.stores.documents import META_FIELD, MISSING, OWN_FIELDS, decode_id
from lazymig.stores.records import Document, Fields, StoredWhole, Unmoved, WholeChange
from lazymig.stores.whole_documents import check_whole, spell_whole

V1 = TypeVar("V1")
V2 = TypeVar("V2")


async def decide_reduced(parts: Parts[V1, V2]) -> WholeChange | Unmoved | None:
    """Return the statement that leaves a document V2's part alone; None where nothing is left to do.

    What other programs have written into V1's fields until now still counts: it is converted first. An entity that
    `upgrade` leaves stays as it is, once that is recorded.
    Raises `ConversionError` for a document that does not convert, or where V2's part cannot be lifted.
    """
    check_whole(parts.stored)
    if parts.alone:
        return _compose(parts, _without_id(parts), converted=False)
    if parts.trusted() is not None:
        return _compose(parts, _without_id(parts), converted=False)
    parts.check()
    if (decided := parts.decided) is not None:
        return decided
    made = await parts.made()
    body = parts.place.conversions.v2_stored(made)
    if isinstance(body, Unmoved):
        return compose_fill(parts, body, "reduce")
    attempt(decode_id(parts.stored.id), "upgrade", parts.place.shape.check_names, body)
    return _compose(parts, body, converted=True)


def _without_id(parts: Parts[V1, V2]) -> Document:
    part = parts.place.shape.v2_part(parts.stored)
    return {name: value for name, value in part.items() if name != "_id"}


def _compose(parts: Parts[V1, V2], body: Document, *, converted: bool) -> WholeChange | None:
    """Return the statement, or None where the document is as it would be.

    V1's part must stand as it was read, unless it counts no more. The revision is raised, so that a write which was
    decided before is decided again.
    """
    place, stored = parts.place, parts.stored
    lifting = place.shape.within is not None and not stored.lifted
    if lifting:
        _check_free(parts)
    after = stored._replace(lifted=stored.lifted or lifting)
    changed, gone, within = place_whole(place, after, body) if lifting or converted else ({}, [], [])
    if lifting and place.shape.within is not None and place.shape.within not in changed:
        gone = [*gone, place.shape.within]
    gone += [name for name in find_v1_names(parts) if name not in body and name not in gone]
    gone = [path for path in gone if path.partition(".")[0] in stored.document]
    meta = spell_whole(stored.revision + 1, alone=place.conversions.migration.name, lifted=after.lifted)
    if not changed and not gone and _is_minimal(stored, meta):
        return None
    held: Fields = {} if parts.alone else dict(hold_v1(place, stored))
    if lifting:
        held |= {name: stored.document.get(name, MISSING) for name in place.shape.v2}
    return WholeChange(stored, meta, changed, gone, held or None, within)


def find_v1_names(parts: Parts[V1, V2]) -> list[str]:
    """Return the names of V1's own fields in a document: not those that V2 has as well, nor those of no class.

    Where V1's converter does not reveal its names, all fields count that are not V2's, as in the fingerprint.
    """
    shape, stored = parts.place.shape, parts.stored
    not_v1 = OWN_FIELDS | shape.v2_own | shape.shared
    if shape.within is not None and stored.lifted:
        not_v1 |= shape.v2
    names = stored.document if shape.v1 is None else shape.v1
    # A name that is no step of a path cannot be unset, and would unset what stands at that path.
    return [name for name in names if name in stored.document and name not in not_v1 and is_step(name)]


def _check_free(parts: Parts[V1, V2]) -> None:
    """Raise `ConversionError` where a field stands that no class knows, in the place of one that would be lifted."""
    shape, document = parts.place.shape, parts.stored.document
    if shape.v1 is None:
        return
    known = {*shape.v1, *OWN_FIELDS, shape.within}
    taken = next((name for name in sorted(shape.v2) if name in document and name not in known), None)
    if taken is not None:
        wrong = Rejected(
            "the document has this field already, which no class declares, and V2's would be lifted over it; rename "
            "or unset it, and reduce again", taken,
        )  # fmt: skip
        raise ConversionError(decode_id(parts.stored.id), "upgrade", wrong, taken, side="V1")


def _is_minimal(stored: StoredWhole, meta: Fields) -> bool:
    known = stored.document.get(META_FIELD)
    return isinstance(known, dict) and known.keys() == meta.keys() and known.get("alone") == meta["alone"]
