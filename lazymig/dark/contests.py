"""The two comparisons of a dark read: V1 with V2, and V1 with V1 for the noise floor. They decide; they never write."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import ClassVar, Final, Generic, Literal, Protocol, TypeAlias, TypeVar

from attrs import field, frozen

from lazymig.comparing.checks import Comparison
from lazymig.comparing.comparer import Comparer
from lazymig.comparing.signatures import sign
from lazymig.dark.notes import Notes, answer, ask_v1, ask_v2, upgrade
from lazymig.protocol.bodies import await_own_body
from lazymig.protocol.pair import Pair
from lazymig.stores.documents import decode_id
from lazymig.stores.given import RawId
from lazymig.stores.records import StoredV1, StoredV2, StoredWhole
from lazymig.stores.verdicts import AGREEING, Mismatch, Verdict

V1 = TypeVar("V1")
V2 = TypeVar("V2")

#: The side that is read behind the caller.
Side: TypeAlias = Literal["v1", "v2"]
#: What found a mismatch, in the control collection.
SOURCE: Final = "dark read"


class Outcome(enum.Enum):
    """What one look at an entity found."""

    MATCHED = enum.auto()
    #: The sides differ at one revision, or claim revisions that cannot both be right. Counts when found twice in a row.
    DIFFERS = enum.auto()
    #: A write is in flight, or was between the two reads: look again.
    MOVED = enum.auto()
    #: V2 holds no body that may answer: absent, or made by another conversion revision.
    MISSING = enum.auto()


@frozen
class Look:
    """One look at an entity. Two looks with one signature saw the same documents."""

    outcome: Outcome
    mismatch: Mismatch | None = None

    @property
    def signature(self) -> str:
        """The signature of what differs; "" where nothing does."""
        return "" if self.mismatch is None else self.mismatch.signature


@frozen
class Sides:
    """What is compared with V1's document, as both were read: V2's document, or V1's document read again."""

    truth: StoredV1 | None
    seen: StoredV2 | None = None
    again: StoredV1 | None = None
    #: One document that carries both shapes.
    whole: StoredWhole | None = None


class Contest(Protocol):
    """A comparison of two sides."""

    #: Whether one read finds both sides, so that no write can come in between.
    atomic: ClassVar[bool] = False

    async def ask(self, ids: Sequence[RawId], side: Side) -> Notes:
        """Ask the candidate."""

    async def answer(self, id: RawId, side: Side, asked: Notes, notes: Notes) -> None:
        """Make the answer that the candidate would give, for its latency."""

    async def read(self, id: RawId) -> Sides:
        """Read both sides now."""

    async def pair_up(self, ids: Sequence[RawId], asked: Notes, notes: Notes) -> dict[RawId, Sides]:
        """Put what the candidate was asked beside what the call noted, and read what the notes lack.

        An entity that cannot be compared is left out.
        """

    async def judge(self, id: RawId, sides: Sides) -> Look:
        """Compare the sides."""


@frozen
class TwoSides(Contest, Generic[V1, V2]):
    """V1 with V2. With `expects_all`, an entity that V2 lacks is a mismatch."""

    pair: Pair[V1, V2]
    comparer: Comparer[V1, V2]
    expects_all: bool = field(default=False, kw_only=True)

    async def ask(self, ids: Sequence[RawId], side: Side) -> Notes:
        return await (ask_v1 if side == "v1" else ask_v2)(self.pair, ids)

    async def answer(self, id: RawId, side: Side, asked: Notes, notes: Notes) -> None:
        await answer(self.pair, id, asked, notes)

    async def read(self, id: RawId) -> Sides:
        await await_own_body(self.pair, id)
        # V2 first: where V2 is clean, V1 cannot have moved past it before. A second look relies on this order.
        seen = await self.pair.bodies.find(id)
        return Sides(await self.pair.v1.find(id), seen)

    async def pair_up(self, ids: Sequence[RawId], asked: Notes, notes: Notes) -> dict[RawId, Sides]:
        if asked.v1:
            # Where V2 could not answer the call, it may hold what the call stored.
            fresh = await ask_v2(self.pair, [id for id in ids if notes.find_clean(id) is None])
            v2 = {id: seen for id in ids if (seen := notes.find_clean(id)) is not None} | fresh.v2
            return {id: Sides(asked.v1[id], v2[id]) for id in ids if id in v2}
        v1 = (await ask_v1(self.pair, [id for id in ids if id not in notes.v1])).v1 | notes.v1
        return {id: Sides(v1[id], asked.v2[id]) for id in ids if id in asked.v2}

    async def judge(self, id: RawId, sides: Sides) -> Look:
        truth, seen = sides.truth, sides.seen
        comparison = await self.comparer.compare(truth, seen)
        outcome = self._decide(comparison.verdict, sides)
        if outcome is not Outcome.DIFFERS:
            return Look(outcome)
        v2_revision = None if seen is None else seen.revision
        return Look(outcome, make_mismatch(id, comparison, None if truth is None else truth.revision, v2_revision))

    def _decide(self, verdict: Verdict, sides: Sides) -> Outcome:
        if verdict in AGREEING:
            return Outcome.MATCHED
        if verdict is Verdict.DIRTY:
            return Outcome.MOVED
        if verdict is Verdict.MISSING:
            return Outcome.DIFFERS if self.expects_all else Outcome.MISSING
        truth, seen, ours = sides.truth, sides.seen, self.pair.conversions.migration.revision
        if truth is not None and seen is not None and seen.revision == truth.revision and seen.conv != ours:
            # Only a newer release can judge what it made.
            return Outcome.DIFFERS if self.expects_all and seen.conv < ours else Outcome.MISSING
        return Outcome.DIFFERS


@frozen
class Twice(Contest, Generic[V1, V2]):
    """V1 with V1: what differs when it is read and converted twice. V2 is not read; only `upgrade` can be at fault."""

    pair: Pair[V1, V2]

    async def ask(self, ids: Sequence[RawId], side: Side) -> Notes:
        return await ask_v1(self.pair, ids)

    async def answer(self, id: RawId, side: Side, asked: Notes, notes: Notes) -> None:
        await answer(self.pair, id, asked, notes)

    async def read(self, id: RawId) -> Sides:
        first = await self.pair.v1.find(id)
        return Sides(first, again=await self.pair.v1.find(id))

    async def pair_up(self, ids: Sequence[RawId], asked: Notes, notes: Notes) -> dict[RawId, Sides]:
        return {id: Sides(notes.v1[id], again=asked.v1[id]) for id in ids if id in notes.v1}

    async def judge(self, id: RawId, sides: Sides) -> Look:
        truth, again = sides.truth, sides.again
        if truth is None and again is None:
            return Look(Outcome.MATCHED)
        signature = sign(truth, None)
        if truth is None or again is None or signature != sign(again, None):
            return Look(Outcome.MOVED)
        one, other = await upgrade(self.pair, truth, None), await upgrade(self.pair, again, None)
        if one is None and other is None:
            return Look(Outcome.MATCHED)  # both fail
        if one is not None and other is not None and self.pair.conversions.is_same_v2(one, other):
            return Look(Outcome.MATCHED)
        reason = "`upgrade` made two different entities of one V1 document: make it pure"
        comparison = Comparison(Verdict.DIFFERENT, "a/a", (), reason, signature)
        return Look(Outcome.DIFFERS, make_mismatch(id, comparison, truth.revision, None))


def make_mismatch(id: RawId, found: Comparison, revision: int | None, v2_revision: int | None) -> Mismatch:
    """Return what a dark read records."""
    return Mismatch(
        decode_id(id), found.verdict, found.check, found.differences, found.reason, revision, v2_revision,
        found.signature, SOURCE,
    )  # fmt: skip
