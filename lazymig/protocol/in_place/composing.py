"""What a statement stores of a decided change: both parts, the fingerprint, and the guards. Nothing is sent here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from lazymig.errors import ConversionError
from lazymig.loop.clock import pick_step
from lazymig.protocol.edits import Change
from lazymig.protocol.in_place.parts import Parts
from lazymig.protocol.in_place.place import Place
from lazymig.shapes.attempts import attempt
from lazymig.shapes.changes import Changes, changes
from lazymig.shapes.fields import Rejected
from lazymig.shapes.migration import get_upgrading
from lazymig.shapes.one_document import is_same
from lazymig.shapes.stored_names import is_step
from lazymig.shapes.v1_changes import is_small, patched
from lazymig.stores.documents import MISSING, decode_id, get_at
from lazymig.stores.given import RawId
from lazymig.stores.records import Body, Document, Fields, StoredWhole, Unmoved, WholeChange
from lazymig.stores.whole_documents import spell_whole

V1 = TypeVar("V1")
V2 = TypeVar("V2")


def compose_fill(parts: Parts[V1, V2], body: Body, by: str) -> WholeChange:
    """Return the statement that stores a conversion of V1's part as it stands: V1's fields and `rev` stay.

    Raises `ConversionError` where what both shapes share would be read back as another value.
    """
    place, stored = parts.place, parts.stored
    changed, vanished = _place_v2(place, stored, body, stored.document)
    meta = spell_whole(
        stored.revision, parts.fingerprint, conv=place.conversions.migration.revision,
        by=stored.by or by, unmoved=body if isinstance(body, Unmoved) else None,
    )  # fmt: skip
    return WholeChange(stored, meta, changed, vanished, identify(place, stored))


def compose_write(parts: Parts[V1, V2], change: Change) -> WholeChange:
    """Return the statement of a write that keeps both parts. Raises `ConversionError`, as `compose_fill`."""
    parts.check()
    place, stored = parts.place, parts.stored
    after = patched(stored.document, (change.v1_set, change.v1_unset, []))
    changed, vanished = _place_v2(place, stored, change.v2_body, after)
    meta = spell_whole(
        raise_revision(place, stored), place.shape.fingerprint(after),
        conv=change.conv or place.conversions.migration.revision,
        by=stored.by or "write", unmoved=change.v2_body if isinstance(change.v2_body, Unmoved) else None,
    )  # fmt: skip
    return WholeChange(
        stored, meta, {**changed, **change.v1_set}, [*vanished, *change.v1_unset],
        {**identify(place, stored), **_held(stored, change)}, change.v1_within,
    )  # fmt: skip


def compose_v1(parts: Parts[V1, V2], change: Change) -> WholeChange:
    """Return the statement of a write of V1's part alone. Where that changes, V2's part is not trusted any more."""
    stored = parts.stored
    meta = spell_whole(
        raise_revision(parts.place, stored), stored.of, conv=stored.conv, by=stored.by, lifted=stored.lifted,
        unmoved=stored.unmoved,
    )  # fmt: skip
    held = _held(stored, change)
    return WholeChange(stored, meta, change.v1_set, change.v1_unset, held, change.v1_within)


def compose_alone(parts: Parts[V1, V2], body: Document) -> WholeChange:
    """Return the statement of a write of V2's part alone; from now on it is the truth.

    The first such write counts V1's part out. Other programs may have changed it since it was read, so it must stand
    as it was. Raises `ConversionError` for a field that is not V2's.
    """
    place, stored = parts.place, parts.stored
    parts.check()
    changed, vanished, within = place_whole(place, stored, body)
    meta = spell_whole(
        raise_revision(place, stored), stored.of, conv=place.conversions.migration.revision, by=stored.by or "write",
        alone=place.conversions.migration.name, lifted=stored.lifted,
    )  # fmt: skip
    held = None if parts.alone else {**identify(place, stored), **hold_v1(place, stored)}
    return WholeChange(stored, meta, changed, vanished, held, within)


def place_whole(place: Place[V1, V2], stored: StoredWhole, body: Document) -> Changes:
    """Return the changes that make this body the whole truth of a document.

    Of what both shapes share, only what differs is set. Inside, it may have fields that no class knows.
    Raises `ConversionError` where a field of V2 would be lost.
    """
    _check_lifted(place, stored, body)
    changed, vanished = place.shape.place(body, stored, whole=True)
    shared = {name: body[name] for name in place.shape.shared if name in changed and name in stored.document}
    own = {name: value for name, value in changed.items() if name not in shared}
    standing = {name: stored.document[name] for name in shared}
    codec = place.conversions.v2
    try:
        if all(is_same(standing[name], value) for name, value in shared.items()):
            return own, vanished, []
        # As the class stores what stands there, which leaves out the fields that it does not know.
        read = codec.encode(codec.decode({"_id": stored.id, **own, **standing}))
        before = {name: read[name] for name in shared if name in read}
        found, gone, within = changes(before, shared, standing)
    except Exception:
        return changed, vanished, []  # what stands there is none of V2's, and is replaced
    return {**own, **found}, [*vanished, *gone], within


def _check_lifted(place: Place[V1, V2], stored: StoredWhole, body: Document) -> None:
    if place.conversions.v2.names.opaque and (stored.lifted or place.shape.within is None):
        attempt(decode_id(stored.id), "upgrade", place.shape.check_lifted, body)


def hold_v1(place: Place[V1, V2], stored: StoredWhole) -> Document:
    """Return the values of V1's part, as a guard against programs that change no revision."""
    names: Iterable[str] | None = place.shape.v1
    if names is None:
        # What the class declares may be missing, and set meanwhile. Other names may be none that a filter can have.
        names = filter(is_step, {*place.shape.list_covered(stored.document), *place.conversions.v1.fields})
    return {name: stored.document.get(name, MISSING) for name in names}


def hold_decided(parts: Parts[V1, V2]) -> Document | None:
    """Return the values about which `upgrade` decided that V2's door knows the entity, for its delete."""
    if parts.alone:
        return None
    standing = hold_v1(parts.place, parts.stored)
    return standing if is_small(standing) else None


def identify(place: Place[V1, V2], stored: StoredWhole) -> Document:
    """Return the values by which a document is recognised as the one that was read, where no revision shows that.

    Since then another program may have stored a field of its own under a name of V2's, or deleted the document and
    inserted another. What `upgrade` keeps of the previous entity would pass from one to the other.
    """
    if stored.of is not None:
        return {}
    untaken: Document = dict.fromkeys(place.shape.v2_own, MISSING)
    if stored.known or not get_upgrading(place.conversions.migration).takes_other:
        return untaken
    standing = hold_v1(place, stored)
    return {**standing, **untaken} if is_small(standing) else untaken


def raise_revision(place: Place[V1, V2], stored: StoredWhole) -> int:
    """Return the revision after a write."""
    return stored.revision + pick_step(place.clock)


def compose_birth(place: Place[V1, V2], id: RawId, change: Change, revision: int) -> tuple[Fields, Fields]:
    """Return the fields and the meta data of a new document with both parts."""
    new = StoredWhole(id, revision, {"_id": id, **change.v1_set}, known=False)
    changed, _ = _place_v2(place, new, change.v2_body, new.document)
    document = {**change.v1_set, **changed}
    meta = spell_whole(
        revision, place.shape.fingerprint(document), conv=place.conversions.migration.revision, by="write",
        unmoved=change.v2_body if isinstance(change.v2_body, Unmoved) else None,
    )  # fmt: skip
    return document, meta


def compose_birth_alone(place: Place[V1, V2], id: RawId, body: Document, revision: int) -> tuple[Fields, Fields]:
    """Return the fields and the meta data of a new document with V2's part only."""
    # A release that no longer knows V1 does not know the sub-document either, and others must find its entities.
    lifted = place.shape.born_lifted or place.finished
    new = StoredWhole(id, revision, {"_id": id}, lifted=lifted, known=False)
    _check_lifted(place, new, body)
    changed, _ = place.shape.place(body, new, whole=True)
    conv = place.conversions.migration.revision
    return changed, spell_whole(revision, conv=conv, by="write", alone=place.conversions.migration.name, lifted=lifted)


def _held(stored: StoredWhole, change: Change) -> Document:
    """Return the old value of every field of V1 that is set or unset: other programs change no revision."""
    standing = {path: get_at(stored.document, path) for path in (*change.v1_set, *change.v1_unset)}
    return {**standing, **(change.v1_held or {})}


def _place_v2(place: Place[V1, V2], stored: StoredWhole, body: Body, after: Document) -> tuple[Fields, list[str]]:
    """Return the fields to set and unset for V2's part beside V1's part as it will be."""
    if isinstance(body, Unmoved):
        return {}, place.shape.remove(stored)
    attempt(decode_id(stored.id), "upgrade", place.shape.check_names, body)
    changed, vanished = place.shape.place(body, stored)
    _check_shared(place, stored._replace(document=after), body, changed)
    return changed, vanished


def _check_shared(place: Place[V1, V2], after: StoredWhole, body: Document, changed: Document) -> None:
    """Raise `ConversionError` where V2's entity would be read back as another one, since V1's part sets what is shared.

    `after` has V1's part as it will be, and `changed` what is set of V2's.
    """
    codec = place.conversions.v2
    final = {"_id": after.id, **changed}
    name = place.shape.find_disputed(after.document, body, final, lambda part: codec.encode(codec.decode(part)))
    if name is not None:
        wrong = Rejected(
            "both shapes share this field, and V2 would read another value than the conversion gives; let both classes "
            "have the same default, pass Migration(v2_within=...), or store V2's field under another name", name,
        )  # fmt: skip
        raise ConversionError(decode_id(after.id), "upgrade", wrong, name)
