"""The comparison of a dark read where one document carries both shapes: the caller's own read found both sides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Generic, TypeVar

from attrs import evolve, field, frozen

from lazymig.comparing.in_place import PartsComparer, sign_parts
from lazymig.dark.contests import Contest, Look, Outcome, Side, Sides, make_mismatch
from lazymig.dark.notes import Notes
from lazymig.errors import ConversionError
from lazymig.protocol.in_place.parts import Parts
from lazymig.protocol.in_place.place import Place
from lazymig.stores.given import RawId
from lazymig.stores.verdicts import AGREEING, Verdict

V1 = TypeVar("V1")
V2 = TypeVar("V2")


@frozen
class InOne(Contest, Generic[V1, V2]):
    """V1's part with V2's part, where V2's may answer. With `expects_all`, a document without one is a mismatch."""

    place: Place[V1, V2]
    comparer: PartsComparer[V1, V2]
    expects_all: bool = field(default=False, kw_only=True)
    atomic: ClassVar[bool] = True

    async def ask(self, ids: Sequence[RawId], side: Side) -> Notes:
        return Notes()  # the call has read both sides

    async def answer(self, id: RawId, side: Side, asked: Notes, notes: Notes) -> None:
        stored = notes.wholes.get(id)
        if stored is None:
            return
        parts = Parts(self.place, stored)
        try:
            if side == "v2":
                parts.trusted()
            else:
                await parts.made()
        except ConversionError:
            pass  # the comparison says so

    async def read(self, id: RawId) -> Sides:
        return Sides(None, whole=await self.place.store.find(id))

    async def pair_up(self, ids: Sequence[RawId], asked: Notes, notes: Notes) -> dict[RawId, Sides]:
        return {id: Sides(None, whole=notes.wholes[id]) for id in ids if id in notes.wholes}

    async def judge(self, id: RawId, sides: Sides) -> Look:
        stored, ours = sides.whole, self.place.conversions.migration.revision
        if stored is None:
            return Look(Outcome.MATCHED)
        parts = Parts(self.place, stored)
        if parts.alone or (stored.of is not None and stored.conv > ours):
            return Look(Outcome.MISSING)  # there is no other side, or only a newer release can judge what it made
        comparison, _ = await self.comparer.compare(parts)
        if comparison.verdict is Verdict.BEHIND:
            # Other programs leave V2's part behind at any time. One of an older conversion, or none, waits for a sweep.
            if not self.expects_all or (stored.of is not None and stored.conv == ours):
                return Look(Outcome.MISSING)
            verdict = Verdict.MISSING if stored.of is None else Verdict.STALE
            comparison = evolve(comparison, verdict=verdict, signature=sign_parts(parts))
        elif comparison.verdict in AGREEING:
            return Look(Outcome.MATCHED)
        elif comparison.verdict is Verdict.MISSING and not self.expects_all:
            return Look(Outcome.MISSING)
        v2_revision = None if stored.of is None else stored.revision
        return Look(Outcome.DIFFERS, make_mismatch(id, comparison, stored.revision, v2_revision))
