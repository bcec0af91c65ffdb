"""The comparison at the end of the demo: every customer in both collections, as they are stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import bson
from attrs import frozen

from lazymig.cli.demo.clients import Ledger
from lazymig.repository import Repository, calls_of
from lazymig.shapes.conversions import Conversions
from lazymig.stores.documents import REVISION_FIELD, parse_v1, parse_v2
from lazymig.stores.records import StoredV1, StoredV2
from lazymig.stores.staging import find_everything


@frozen
class Comparison:
    """What was found: customers in either collection, those that are equal in both, and the clients' changes."""

    entities: int
    equal: int
    #: How many there must be: loaded and inserted, less deleted.
    expected: int
    acknowledged: int
    #: Acknowledged changes that are there.
    kept: int
    #: One customer that no client changed, as V1 held it from the beginning and as V2 holds it now.
    before: Mapping[str, object] | None = None
    after: Mapping[str, object] | None = None

    @property
    def perfect(self) -> bool:
        """Whether no customer is missing, different or back after its delete, and no change is missing."""
        return self.equal == self.entities == self.expected and self.kept == self.acknowledged


async def compare(
    repository: Repository[Any, Any], originals: Sequence[Mapping[str, Any]], ledger: Ledger
) -> Comparison:
    """Read all of both collections, and compare each customer in V1 with the same one in V2."""
    pair = calls_of(repository).pair
    v1 = {row.id: row for row in map(parse_v1, await find_everything(pair.v1))}
    every_v2 = map(parse_v2, await find_everything(pair.bodies))
    v2 = {row.id: row for row in every_v2 if not row.gone}
    untouched = {row["_id"]: row for row in originals if row["_id"] not in ledger.touched}
    ids = v1.keys() | v2.keys()
    equal = [await _equal(pair.conversions, v1.get(id), v2.get(id), untouched.get(id)) for id in ids]
    before = _shortest([row for id, row in untouched.items() if id in v2])
    standing = {id: accounts for id, accounts in ledger.added.items() if id not in ledger.deleted}
    return Comparison(
        entities=len(ids),
        equal=sum(equal),
        expected=len(originals) + len(ledger.inserted) - len(ledger.deleted),
        acknowledged=sum(map(len, standing.values())),
        kept=sum(len(accounts & set(v1[id].document["accounts"])) for id, accounts in standing.items() if id in v1),
        before=before,
        after=v2[before["_id"]].document if before else None,
    )


def _shortest(rows: Sequence[Mapping[str, object]]) -> Mapping[str, object] | None:
    """The shortest of these customers that has each part of its shape, so that it fits on a screen."""
    complete = [row for row in rows if all(value != {} for value in row.values())]
    return min(complete, key=lambda row: len(bson.encode(row)), default=None)


async def _equal(
    conversions: Conversions[Any, Any], v1: StoredV1 | None, v2: StoredV2 | None, original: Mapping[str, Any] | None
) -> bool:
    if v1 is None or v2 is None or not v2.clean or v1.revision != v2.revision:
        return False
    if original is not None and not _same_bytes(v1.document, original):
        return False  # it differs, and no client changed it
    old, new = conversions.v1_entity(v1), conversions.v2_entity(v2)
    return bool(await conversions.upgrade(old, new) == new and await conversions.downgrade(new, old) == old)


def _same_bytes(stored: Mapping[str, Any], original: Mapping[str, Any]) -> bool:
    own = {key: value for key, value in stored.items() if key != REVISION_FIELD}
    return bson.encode(own) == bson.encode(original)
