"""The comparison of the two parts of one document, and its verdict."""

from __future__ import annotations

from typing import Final, Generic, TypeVar

from attrs import evolve, frozen

from lazymig.comparing.checks import MATCH, Comparison
from lazymig.comparing.comparer import Comparer
from lazymig.comparing.failures import describe
from lazymig.comparing.signatures import sign
from lazymig.errors import ConversionError
from lazymig.protocol.in_place.composing import compose_fill
from lazymig.protocol.in_place.parts import Parts
from lazymig.stores.documents import META_FIELD, UNUSABLE
from lazymig.stores.records import StoredV1, StoredV2, StoredWhole, WholeChange
from lazymig.stores.verdicts import AGREEING, Verdict
from lazymig.stores.whole_documents import UNSET, parse_whole

V1 = TypeVar("V1")
V2 = TypeVar("V2")

_MALFORMED: Final = f"{META_FIELD} is not what lazymig stores beside both shapes; {UNSET}"


@frozen
class PartsComparer(Generic[V1, V2]):
    """Compares what one read found of both sides.

    What a fingerprint shows to be behind never answers a reader, so it is no mismatch: other programs leave it behind
    each time that they write V1's fields. Instead, what a reader would make of V1's part is put through all checks.
    """

    comparer: Comparer[V1, V2]

    async def compare(self, parts: Parts[V1, V2]) -> tuple[Comparison, WholeChange | None]:
        """Compare both parts of a document. With what is behind comes the statement that stores it."""
        comparison, late = await self._judge(parts)
        if comparison.verdict not in AGREEING:
            comparison = evolve(comparison, signature=sign_parts(parts))
        return comparison, late

    async def _judge(self, parts: Parts[V1, V2]) -> tuple[Comparison, WholeChange | None]:
        stored, ours = parts.stored, parts.place.conversions.migration.revision
        if stored.revision == UNUSABLE:
            return Comparison(Verdict.UNKNOWN, reason=_MALFORMED), None
        if parts.alone:
            return _judge_alone(parts), None
        if stored.of is not None and stored.conv > ours:
            reason = f"conversion revision {stored.conv}; this release has {ours}"
            return Comparison(Verdict.UNKNOWN, reason=reason), None
        if parts.is_current:
            return await self.comparer.compare(parts.v1, parts.v2(fits=True)), None
        return await self._judge_late(parts)

    async def _judge_late(self, parts: Parts[V1, V2]) -> tuple[Comparison, WholeChange | None]:
        """Compare with V1's part what a reader makes of it, and return the statement that stores that."""
        try:
            parts.check()
            made = await parts.made()
            change = compose_fill(parts, parts.place.conversions.v2_stored(made), "read")
        except ConversionError as error:
            verdict = Verdict.MISSING if parts.stored.of is None else Verdict.UNKNOWN
            return Comparison(verdict, reason=describe(error)), None
        filled = Parts(parts.place, _after(change))
        found = await self.comparer.compare(filled.v1, filled.v2(fits=True))
        if found.verdict in AGREEING:
            return Comparison(Verdict.BEHIND, accepted=found.accepted), change
        return found, None


def _judge_alone(parts: Parts[V1, V2]) -> Comparison:
    """Judge V2's part where nothing else is kept, so that there is nothing to compare it with."""
    try:
        parts.trusted_alone()
    except ConversionError as error:
        return Comparison(Verdict.UNKNOWN, reason=describe(error))
    return MATCH


def _after(change: WholeChange) -> StoredWhole:
    """Return the document as the statement leaves it."""
    gone = {*change.vanished, META_FIELD}
    kept = {name: value for name, value in change.seen.document.items() if name not in gone}
    return parse_whole({**kept, **change.changed, META_FIELD: change.meta})


def sign_parts(parts: Parts[V1, V2]) -> str:
    """Return the hash of both parts."""
    stored = parts.stored
    if stored.revision == UNUSABLE:
        return sign(StoredV1(stored.id, stored.revision, stored.document), None)
    v2: StoredV2 | None = parts.v2(fits=parts.fits)
    return sign(parts.v1._replace(revision=stored.revision), v2)
