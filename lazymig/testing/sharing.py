"""The laws of a migration whose shapes share their documents."""

from __future__ import annotations

from typing import Any, Final, Generic, TypeVar

import bson
from attrs import frozen
from bson import Int64

from lazymig.shapes.conversions import Conversions
from lazymig.shapes.one_document import OneDocument
from lazymig.shapes.sharing import share_document
from lazymig.stores.documents import DOCUMENT_BYTES_MAX, META_FIELD
from lazymig.stores.records import StoredWhole
from lazymig.stores.whole_documents import spell_whole
from lazymig.testing.law import SHARED, SIZE_OF_BOTH, LawBroken

V1 = TypeVar("V1")
V2 = TypeVar("V2")

_META: Final = {META_FIELD: spell_whole(Int64(1), bytes(16), conv=2, by="sweep")}


@frozen
class Sharing(Generic[V1, V2]):
    """How one document carries both shapes of a migration."""

    conversions: Conversions[V1, V2]
    shape: OneDocument

    @classmethod
    def of(cls, conversions: Conversions[V1, V2]) -> Sharing[V1, V2]:
        """Return it for these conversions. Raises `ConfigurationError` for a name that means two things."""
        return cls(conversions, share_document(conversions.migration, conversions.v1, conversions.v2))

    def check(self, v1: dict[str, Any], v2: dict[str, Any]) -> None:
        """Raise `LawBroken` unless one document can carry these two, which a conversion made of each other."""
        body = {name: value for name, value in v2.items() if name != "_id"}
        own, _ = self.shape.place(body, StoredWhole(v2["_id"], 0, v1))
        name = self.shape.find_disputed(v1, body, {"_id": v2["_id"], **own}, self._reread)
        if name is not None:
            found = " and ".join(
                f"{side} has {of.get(name, 'no such field')!r}" for side, of in (("V1", v1), ("V2", v2))
            )
            raise LawBroken(
                SHARED,
                name,
                f"{found}; let both classes have the same default, pass Migration(v2_within=...), or store V2's field "
                "under another name",
            )
        size = len(bson.encode({**v1, **own, **_META}))
        if size > DOCUMENT_BYTES_MAX:
            raise LawBroken(SIZE_OF_BOTH, "", f"{size} bytes")

    def _reread(self, part: Any) -> Any:
        codec = self.conversions.v2
        return codec.encode(codec.decode(part))
