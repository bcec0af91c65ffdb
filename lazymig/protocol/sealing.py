"""The seal: from `v2_primary` to `v2_only`, safe without any clock.

The point where writes are ordered moves from V1 to V2. A process that was paused in `v2_primary` may wake up at any
time, and no lease that it read before can stop it. So the database refuses what it would do:

1. Writes are held, and those in flight end. That is the fleet's part (`Fleet`).
2. Every open mark is healed. V1 moves, so a writer that took its ticket before must announce itself again.
3. V2 gets a fence: a validator that refuses announcements.
4. V1 gets a fence: a validator that refuses inserts and updates. MongoDB does not validate deletes; a late one has to
   announce itself again, because of 2, and is refused by 3. Where entities are parts of documents, other programs go on
   writing V1, and no validator can distinguish a late write from theirs. There each open mark is barred in V1 instead:
   the document gets a revision that refuses the insert of that mark. Late updates are refused by 3, like deletes.
5. Marks that were opened between 2 and 3 are looked for. Where V1 holds the entity, its write may have been
   acknowledged, or may be: the fences are lifted and nothing has changed. Where V1 lacks it, no write can succeed any
   more, and V2's document is buried.
6. The phase is switched, and writes go on.

Whatever fails before the switch lifts the fences. A crash leaves them: writes fail until the next attempt or `lift`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Generic, TypeVar

from attrs import evolve
from pymongo.errors import NetworkTimeout, PyMongoError

from lazymig.errors import Contention, ConversionError, LazymigError
from lazymig.loop.deadline import Deadline
from lazymig.protocol import bodies
from lazymig.protocol.pair import Pair
from lazymig.protocol.seals import Fences, Fleet, Seal, Terms
from lazymig.protocol.writing import heal
from lazymig.stores.documents import decode_id
from lazymig.stores.fences import MongoFence
from lazymig.stores.fencing import Ability, Barrier
from lazymig.stores.raw import keys_of
from lazymig.stores.records import StoredV2

V1 = TypeVar("V1")
V2 = TypeVar("V2")

_PAGE = 1000
#: How often open marks are looked for once the fences stand. Nobody can open another one, so twice would do.
_LOOKS = 5


class _Lifted(LazymigError):
    """The seal was given up, and nothing has changed."""


def fences_of(pair: Pair[V1, V2]) -> Fences:
    """Return the fences of a migration's two collections. Nothing is sent."""
    part = pair.conversions.carried.is_part
    return Fences(None if part else MongoFence(pair.v1, "v1"), MongoFence(pair.ledger, "v2"))


async def rehearse(fences: Fences, *, within_s: float = 0.5, look_s: float = 30.0) -> tuple[Barrier, ...]:
    """Return whether V1 and V2 can be fenced, in this order. Changes nothing.

    `within_s`: as long a collection waits for open transactions, and other statements behind it. `look_s` bounds a look
    at all of V2, where its validator is of validationLevel "moderate".
    """
    return tuple([await fence.rehearse(within_s, look_s) for fence in fences])


async def look(fences: Fences) -> tuple[Barrier, ...]:
    """Return whether the fences of V1 and V2 stand, in this order."""
    return tuple([await fence.look() for fence in fences])


async def lift(fences: Fences, *, within_s: float = 5.0, key: str | None = None) -> tuple[Barrier, ...]:
    """Restore both collections' own validators; return how V1 and V2 stand then.

    Only for a seal that has not switched the phase: in `v2_only`, a process that wakes up late would overwrite what V2
    alone holds. With `key`, only the fences of that attempt are lifted. Lifting what does not stand is harmless.
    """
    return tuple([await fence.take_down(within_s, key) for fence in fences])


async def seal(pair: Pair[V1, V2], fences: Fences, fleet: Fleet, terms: Terms) -> Seal:
    """Make the seal; return what became of it. Only for a fleet in `v2_primary`.

    Driver errors before writes are held pass through, and what the fleet's callables raise. Where `switch` raises or is
    cancelled, nobody knows whether the phase was switched: both fences stay, and if it was not, writes fail until the
    next attempt or `lift`.
    """
    work = _Work(pair, fences, terms)
    refused = await work.prepare()
    if refused:
        return evolve(work.result, why=refused)
    waited_s = await fleet.hold()
    began_s = pair.clock.monotonic() - waited_s
    try:
        made = await _close_and_switch(work, fleet, terms)
    finally:
        await fleet.release()
    return evolve(made, held_s=pair.clock.monotonic() - began_s)


async def _close_and_switch(work: _Work[V1, V2], fleet: Fleet, terms: Terms) -> Seal:
    try:
        async with Deadline(terms.within_s):
            await work.close()
    except (PyMongoError, LazymigError) as error:
        return await work.give_up(_describe(error))
    except BaseException:
        await work.give_up("")
        raise
    # From here on an error leaves open whether the phase was switched, so it lifts nothing.
    try:
        switched = await fleet.switch()
    except Exception as error:
        error.add_note(
            "Whether the phase is v2_only now is not known, so the fences of V1 and V2 stay: look at the phase that is "
            "recorded. If it is still v2_primary, make the seal again, or lift the fences"
        )
        raise
    if not switched:
        return await work.give_up("the record of the phase was changed meanwhile; look at it, and try again")
    return evolve(work.result, sealed=True)


def _describe(error: BaseException) -> str:
    """Describe an error without what the server says of documents."""
    if isinstance(error, LazymigError):
        return str(error)
    if isinstance(error, NetworkTimeout):
        return "a statement got no answer in time, or the time for the whole seal was over; try again"
    code = getattr(error, "code", None)
    return f"a statement failed with {type(error).__name__}" + (f" (server error code {code})" if code else "")


class _Work(Generic[V1, V2]):
    """A seal at work, and what it has done so far."""

    def __init__(self, pair: Pair[V1, V2], fences: Fences, terms: Terms) -> None:
        self.result = Seal()
        self._pair = pair
        self._fences = fences
        self._terms = terms
        self._reasons: dict[str, str] = {}

    async def prepare(self) -> str:
        """Do what can be done while writes go on; return why the seal cannot be made, "" if it can."""
        found = await rehearse(self._fences, within_s=self._terms.change_s)
        barred = [barrier for barrier in found if barrier.ability not in (Ability.OPEN, Ability.STANDS)]
        why = tuple(barrier.why for barrier in barred)
        if barred and not (self._terms.leases_only and all(barrier.lasting for barrier in barred)):
            return "; ".join(why)
        self.result = evolve(self.result, unfenced=why)
        if not any(barrier.stands for barrier in found):  # what an earlier attempt has left refuses to heal
            await self._heal_all(old=True)
        return ""

    async def close(self) -> None:
        """Heal all marks, put up both fences, and see to it that no mark is open. Raises `_Lifted`."""
        # An attempt that crashed has left them. Nobody else is sealing, since the hold excludes that.
        for barrier in await lift(self._fences, within_s=self._terms.change_s):
            self._expect(barrier, barrier.ability is Ability.OPEN or barrier.lasting)
        await self._heal_all(old=False)
        await self._put_up()
        await self._close_marks()
        # Another operator may have lifted them, who took this attempt for one that had crashed.
        for barrier in await look(self._fences):
            self._expect(barrier, (barrier.stands and barrier.key == self._terms.key) or self._may_lack(barrier))
        self.result = evolve(self.result, fenced=not self.result.unfenced)

    async def _put_up(self) -> None:
        # V2's first: what V1's fence refuses has a ticket already, and would leave it behind.
        for fence in reversed([*self._fences]):
            barrier = await fence.put_up(self._terms.key, self._terms.change_s)
            self._expect(barrier, barrier.stands or self._may_lack(barrier))

    def _may_lack(self, barrier: Barrier) -> bool:
        return any(why.startswith(f"{barrier.side}: ") for why in self.result.unfenced)

    @staticmethod
    def _expect(barrier: Barrier, as_wanted: bool) -> None:
        if not as_wanted:
            raise _Lifted(barrier.why)

    async def give_up(self, why: str) -> Seal:
        """Lift this attempt's fences; return what became of the seal."""
        try:
            barriers = await lift(self._fences, key=self._terms.key)
        except PyMongoError as error:
            left: tuple[str, ...] = (f"whether the fences are lifted is not known: {_describe(error)}",)
        else:
            left = tuple(barrier.why for barrier in barriers if barrier.stands or barrier.ability is Ability.BUSY)
        return evolve(self.result, why=why, fenced=bool(left), unfenced=left)

    async def _heal_all(self, *, old: bool) -> None:
        """Heal every open mark, or every old one: the writer of a young one is probably alive.

        Marks over what V1 lacks are buried later, without any step on V1.
        """
        before = await self._pair.ledger.now() - bodies.HEAL_AFTER if old else None
        async for page in self._page_open_marks():
            marks = [seen for seen in page if before is None or (seen.at is not None and seen.at < before)]
            held = await self._keep_held(marks)
            for start in range(0, len(held), self._terms.at_once):
                await self._heal_some(held[start : start + self._terms.at_once])

    async def _heal_some(self, marks: Sequence[StoredV2]) -> None:
        if len(marks) == 1:
            answers: list[bool | BaseException] = [await self._heal(marks[0])]
        else:
            answers = await asyncio.gather(*map(self._heal, marks), return_exceptions=True)
        # All of them have ended before one's error is raised: no step may still run once the fences are lifted.
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        self.result = evolve(self.result, healed=self.result.healed + sum(map(bool, answers)))

    async def _heal(self, seen: StoredV2) -> bool:
        try:
            return await heal(self._pair, seen.id)
        except (Contention, ConversionError) as error:
            self._reasons[repr(seen.id)] = str(error)  # the look decides whether it matters
            return False

    async def _page_open_marks(self) -> AsyncIterator[list[StoredV2]]:
        after = None
        while page := await self._pair.ledger.open_marks(_PAGE, after):
            yield page
            if len(page) < _PAGE:
                return
            after = page[-1]

    async def _keep_held(self, marks: Sequence[StoredV2]) -> list[StoredV2]:
        """Return those whose entities V1 holds."""
        ids = [seen.id for seen in marks]
        # By majority, like V1's fence: what came before it is in what is read, and nothing comes after it.
        held = set((await self._pair.v1.find_each(ids)).keys) if ids else set()
        return [seen for seen, key in zip(marks, keys_of(ids), strict=True) if key in held]

    async def _close_marks(self) -> None:
        """Bury what V1 lacks of the open marks. Raises `_Lifted` where V1 holds the entity of one."""
        for _ in range(_LOOKS):
            marks = [seen async for page in self._page_open_marks() for seen in page]
            if not marks:
                return
            # Before the look at what V1 holds: what gets in before it is seen, and nothing does after it.
            await self._bar(marks)
            if late := await self._keep_held(marks):
                raise self._explain_late(late)
            buried = await self._pair.alone.bury_each(marks)
            self.result = evolve(self.result, buried=self.result.buried + buried)
        raise _Lifted("V2's open marks go on changing although V2 is fenced; look for programs that write V2")

    async def _bar(self, marks: Sequence[StoredV2]) -> None:
        """Bar the inserts of these marks from V1, where no fence does. Raises `_Lifted` where that cannot be done."""
        if self._fences.v1 is not None:
            return
        free = await self._pair.v1.bar({seen.id: seen.intent for seen in marks})
        if free:
            # A program may insert the document at any time, and then a late insert would get in.
            shown = ", ".join(repr(decode_id(id)) for id in free[:20])
            raise _Lifted(
                f"a write is open on entities for which V1 has no document, with the ids {shown}: run lazymig sweep "
                "once the grace period is over, which removes what is left of them, and try again"
            )

    def _explain_late(self, late: Sequence[StoredV2]) -> _Lifted:
        ids = tuple(decode_id(seen.id) for seen in late[:20])
        self.result = evolve(self.result, late=ids)
        shown = ", ".join(map(repr, ids)) + (", …" if len(late) > len(ids) else "")
        reasons = [self._reasons[repr(seen.id)] for seen in late if repr(seen.id) in self._reasons]
        guess = "a process wrote although writes were held, or V2 refuses the body; try again"
        return _Lifted(f"a write is open on entities that V1 holds, with the ids {shown}: {(reasons or [guess])[0]}")
