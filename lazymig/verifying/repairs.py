"""Repairing what a verification confirmed: V2 is brought to what V1 holds, through the protocol."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from typing import Final, Generic, TypeVar

from attrs import evolve

from lazymig.comparing.checks import UPGRADE
from lazymig.control.dead_letters import DeadLetters
from lazymig.control.mismatches import Mismatches
from lazymig.errors import ConfigurationError, Contention, ConversionError
from lazymig.passes.shedding import as_patient_as
from lazymig.passes.throttle import Throttle
from lazymig.protocol.pair import Pair
from lazymig.shapes.migration import Migration
from lazymig.stores.counts import Counts
from lazymig.stores.documents import decode_id
from lazymig.stores.given import RawId
from lazymig.stores.raw import keys_of
from lazymig.stores.scans import Scan
from lazymig.stores.verdicts import Mismatch, Verdict

V1 = TypeVar("V1")
V2 = TypeVar("V2")

#: Verdicts that a repair may settle.
_REPAIRABLE: Final = frozenset({Verdict.MISSING, Verdict.STALE, Verdict.DIFFERENT, Verdict.DIRTY, Verdict.ORPHAN})
#: Repairs at a time. Their statements share round trips.
_AT_ONCE = 32
#: After this many repairs that settled nothing, the rest are left: each writes V1, and the conversions are at fault.
UNSETTLED_MAX: Final = 1000
_IN_VAIN = "V2 is what upgrade makes of V1, so no repair can settle it: look at the conversions and checks"
_UNSETTLED = "a repair did not settle it: look at the conversions and checks, or at what refuses V2's body"
_UNTAKEN = "not repaired, because the repository takes no id of this type; remove the document yourself"
_GIVEN_UP = "not repaired, because too many repairs settled nothing: look at the conversions and checks first"


async def refuse_empty_v1(pair: Pair[V1, V2]) -> None:
    """Raise `ConfigurationError` where V1 holds nothing and V2 holds entities.

    To V1 as the truth, all of V2 is orphans. But a V1 that was dropped, renamed or never the right one looks the same,
    and what a repair would remove may be the last copy.
    """
    if await as_patient_as(pair.v1, Scan(pair.v1, majority=True)).find_ids({}, 1):
        return
    live = await as_patient_as(pair.bodies, Counts(pair.bodies)).count_live()
    if live:
        raise ConfigurationError(
            f"v1 holds no document and V2 holds {live:,} entities, which a repair would remove; restore V1, or pass "
            "the right collection. If V1 was emptied on purpose, delete V2's documents yourself"
        )


def is_repairable(found: Mismatch) -> bool:
    """Return whether a repair may settle it. If only checks beside `upgrade` fail, V2 is as a repair would make it."""
    return found.verdict in _REPAIRABLE and not _is_in_vain(found)


def _is_in_vain(found: Mismatch) -> bool:
    return found.verdict is Verdict.DIFFERENT and found.check != UPGRADE


class Repairs(Generic[V1, V2]):
    """The repairs of one run."""

    def __init__(
        self,
        migration: Migration[V1, V2],
        bring_up: Callable[[RawId], Awaitable[None]],
        table: Mismatches,
        letters: DeadLetters,
        throttle: Throttle,
    ) -> None:
        """`bring_up` brings V2 to what V1 holds. Raises `ConversionError` and `Contention`."""
        self._migration = migration
        self._bring_up = bring_up
        self._table = table
        self._letters = letters
        self._throttle = throttle
        #: Entities whose repair settled nothing. Bounded, because nothing is repaired once there are too many.
        self._unsettled: set[object] = set()

    def note_unsettled(self, keys: Iterable[object]) -> None:
        """Note entities that did not agree after their repair."""
        self._unsettled.update(keys)

    def forget_settled(self, ids: Sequence[RawId]) -> int:
        """Forget those of these entities that did not agree right after their repair, and now do; return how many."""
        settled = self._unsettled.intersection(keys_of(ids)) if self._unsettled else set()
        self._unsettled -= settled
        return len(settled)

    async def remove_letters(self, ids: Sequence[RawId]) -> None:
        """Remove the dead letters of entities that agree after their repair: they need no person any more."""
        await self._letters.remove(self._migration.name, ids)

    def explained(self, found: Mismatch) -> Mismatch:
        """Return the mismatch with the reason why it is not repaired; unchanged if it will be."""
        if found.verdict not in _REPAIRABLE:
            return found
        if _is_in_vain(found):
            return evolve(found, reason="; ".join(filter(None, (found.reason, _IN_VAIN))))
        why = _UNSETTLED if self._is_unsettled(found) else _GIVEN_UP if self._has_given_up else ""
        return evolve(found, reason="; ".join(filter(None, (found.reason, why))))

    @property
    def _has_given_up(self) -> bool:
        return len(self._unsettled) >= UNSETTLED_MAX

    def _is_unsettled(self, found: Mismatch) -> bool:
        return bool(self._unsettled) and keys_of([found.id])[0] in self._unsettled

    async def repair(self, confirmed: Sequence[Mismatch]) -> AsyncGenerator[list[Mismatch]]:
        """Repair mismatches that this run has not tried yet, a few at a time; yield each part, to be compared again.

        Those that cannot be repaired are recorded with the reason: as unknown where a document does not convert.
        """
        todo = [one for one in confirmed if not self._is_unsettled(one)]
        for start in range(0, len(todo), _AT_ONCE):
            part = todo[start : start + _AT_ONCE]
            if self._has_given_up:
                left = [self.explained(one) for one in todo[start:]]
                await self._table.record(self._migration.name, left)
                return
            if not (await self._throttle.wait_for_page() and await self._throttle.wait_for_documents(len(part))):
                return
            results = await asyncio.gather(*map(self._repair, part))
            failed = [failure for failure in results if failure is not None]
            await self._table.record(self._migration.name, failed)
            yield [one for one, failure in zip(part, results, strict=True) if failure is None]

    async def _repair(self, one: Mismatch) -> Mismatch | None:
        """Repair one entity. Return it with the reason where it cannot be repaired."""
        try:
            hash(one.id)  # calls share round trips by their ids
            if not isinstance(one.id, float):  # to MongoDB, 5.0 is 5
                self._migration.check_id(decode_id(one.id))
        except TypeError:
            return evolve(one, reason="; ".join(filter(None, (one.reason, _UNTAKEN))), confirmed=True)
        try:
            await self._bring_up(one.id)
        except Contention:
            pass  # its clients are alive, and the next look will show what they did
        except ConversionError as error:
            reason = one.reason or f"{error.direction} failed at field {error.path!r}: {type(error.cause).__name__}"
            return evolve(one, verdict=Verdict.UNKNOWN, reason=reason, confirmed=True)
        return None
