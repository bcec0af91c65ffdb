"""Documents of V1 that no write of lazymig can give a revision, and what to do about them."""

from __future__ import annotations

from lazymig.errors import ConversionError
from lazymig.stores.documents import PART_FIELD, REVISION_FIELD, UNUSABLE, decode_id
from lazymig.stores.given import RawId
from lazymig.stores.records import StoredV1


def check_revision(stored: StoredV1, path: str = REVISION_FIELD) -> None:
    """Raise `ConversionError` for a V1 document whose revision is unusable: no write can compare or increment it."""
    if stored.revision != UNUSABLE:
        return
    if path != REVISION_FIELD and isinstance(stored.document.get(PART_FIELD), list):
        raise make_part_error(stored.id)
    wrong = TypeError(f"{path} is no whole number; unset it in V1")
    raise ConversionError(decode_id(stored.id), "read", wrong, path, side="V1")


def make_part_error(id: RawId) -> ConversionError:
    """Return the error for a document that cannot hold the revision of a part of it."""
    wrong = TypeError(f"{PART_FIELD} is no document; unset it in V1")
    return ConversionError(decode_id(id), "read", wrong, PART_FIELD, side="V1")
