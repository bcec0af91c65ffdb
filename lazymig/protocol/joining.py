"""The updates of several callers as one edit: one ticket, one compare-and-set and one body carry them all.

Each update starts from what the one before it would have stored, as it would be read back, so no two callers share a
part of an entity. One that raises, or whose result cannot be stored, drops out alone, and the next starts from what was
before it. Nobody gets an outcome before the compare-and-set is won, not even one that raised: it may have raised over
what others had not stored yet. After a lost race all that still wait decide again.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, Literal, TypeAlias, TypeVar, cast

import bson
from attrs import evolve

from lazymig.errors import ConversionError, NotFound
from lazymig.loop.clock import Clock
from lazymig.loop.rounds import PATIENCE_S, Again, Member
from lazymig.protocol.edits import Base, Change, ClientEdit, More, UpdateV1, UpdateV2
from lazymig.shapes.codec import Codec
from lazymig.shapes.conversions import Conversions
from lazymig.shapes.v1_changes import patched
from lazymig.stores.records import Document, Fields, StoredV2, Unmoved

V1 = TypeVar("V1")
V2 = TypeVar("V2")
S = TypeVar("S")

Update: TypeAlias = UpdateV1[V1, V2] | UpdateV2[V1, V2]
Decided: TypeAlias = Change | Literal[More.TRUTH]

#: Seconds after which a turn stores what has been decided; the rest goes on in the next one.
DECIDING_S: Final = 0.1
#: What ends the task or the program, and is no caller's outcome.
_ENDS: Final = (asyncio.CancelledError, GeneratorExit, KeyboardInterrupt, SystemExit)


def shares(edit: ClientEdit) -> type[ClientEdit] | None:
    """Return what edits must have in common to share a turn; None for one that shares none."""
    return type(edit) if isinstance(edit, UpdateV1 | UpdateV2) else None


class Single:
    """The edit of one caller in its turn. It shows for how long it has been deciding."""

    __slots__ = ("_decisions", "decision", "edit")

    def __init__(self, edit: ClientEdit) -> None:
        self.edit = edit
        self.decision: int | None = None
        self._decisions = 0

    @property
    def needs_truth(self) -> bool:
        return self.edit.needs_truth

    @property
    def needs_entity(self) -> bool:
        return self.edit.needs_entity

    async def decide(self, base: Base) -> Change | Literal[More.TRUTH] | None:
        self.decision = self._decisions = self._decisions + 1
        try:
            return await self.edit.decide(base)
        finally:
            self.decision = None

    async def decide_alone(self, seen: StoredV2) -> Change | None:
        self.decision = self._decisions = self._decisions + 1
        try:
            return await self.edit.decide_alone(seen)
        finally:
            self.decision = None

    def divide(self, error: BaseException | None) -> Sequence[object]:
        raise AssertionError("a call that has a turn for itself gets what that returns or raises")


class Joined(Generic[V1, V2]):
    """The updates of several callers through one door, as one edit. `divide` reports what came of its last decision."""

    #: Nobody needs to look how long it takes: it bounds the time of each decision.
    decision: None = None

    def __init__(self, members: Sequence[Member[Update[V1, V2]]], clock: Clock, *, patient: bool = False):
        """With `patient`, it waits for each update however long that takes."""
        self._members = members
        self._edits = [_in_context(member) for member in members]
        self._clock = clock
        self._patient = patient
        self._outcomes: list[object] = [Again.TOGETHER] * len(members)
        #: What this edit has raised because no update was left to store.
        self._raised: Exception | None = None
        self._refused = False

    @property
    def needs_truth(self) -> bool:
        return self._edits[0].needs_truth

    @property
    def needs_entity(self) -> bool:
        return self._edits[0].needs_entity

    async def decide(self, base: Base) -> Decided:
        conversions = self._edits[0].conversions
        # Without the entity, which a change may alter in place: each update decodes its own.
        return await self._decide_each(
            base._replace(entity=None),
            lambda edit, at: edit.decide(at),
            lambda total, change: add(conversions, base, total, change),
            lambda total: follow(conversions, base, total),
        )

    async def decide_alone(self, seen: StoredV2) -> Change:
        codec = self._edits[0].conversions.v2
        change = await self._decide_each(
            seen,
            lambda edit, at: edit.decide_alone(at),
            lambda _, change: change,
            lambda total: seen._replace(document=_as_stored(codec, seen.id, total.v2_body)),
        )
        assert change is not More.TRUTH  # V1 plays no part
        return change

    async def _decide_each(
        self,
        start: S,
        decide: Callable[[Update[V1, V2], S], Awaitable[Decided]],
        add_to: Callable[[Change | None, Change], Decided],
        after: Callable[[Change], S],
    ) -> Decided:
        """Return the change of all updates, one after the other, or `More.TRUTH`."""
        self._outcomes = [Again.TOGETHER] * len(self._members)
        self._raised, self._refused = None, False
        at, total = start, None
        failed: BaseException | None = None
        end_s = self._clock.monotonic() + DECIDING_S
        for place, (member, edit) in enumerate(zip(self._members, self._edits, strict=True)):
            if member.left:
                continue
            reached = total is not None or failed is not None
            if reached and self._clock.monotonic() > end_s:
                break
            try:
                change = await self._in_time(decide(edit, at))
                added = change if change is More.TRUTH else add_to(total, change)
                if added is More.TRUTH or change is More.TRUTH:
                    return More.TRUTH
                following = after(added)
            except _TooSlow:
                member.go_beside()
            except BaseException as error:
                self._outcomes[place] = failed = _outcome_of(error)
            else:
                self._outcomes[place], total, at = change, added, following
        if total is None:
            raise self._give_up(failed)
        return evolve(total, refused=self._note_refusal)

    async def _in_time(self, decision: Awaitable[Decided]) -> Decided:
        if self._patient:
            return await decision
        try:
            async with asyncio.timeout(PATIENCE_S) as bound:
                return await decision
        except TimeoutError:
            if not bound.expired():
                raise  # the user's own
            raise _TooSlow from None

    def _give_up(self, failed: BaseException | None) -> Exception:
        # A writer confirms that the entity is missing before anybody learns it.
        missing = next((outcome for outcome in self._outcomes if isinstance(outcome, NotFound)), None)
        self._raised = missing or _Nobody(failed)
        return self._raised

    def _note_refusal(self) -> None:
        self._refused = True

    def divide(self, error: BaseException | None) -> Sequence[object]:
        """Return each member's outcome: its change, its error, or an `Again`. `error` is what ended the write."""
        if error is None or error is self._raised:
            return self._outcomes
        if self._refused or isinstance(error, ConversionError):  # which is raised before anything is stored
            return [Again.BY_ITSELF] * len(self._members)
        reached = any(outcome is not Again.TOGETHER for outcome in self._outcomes)
        return [Again.TOGETHER if reached and outcome is Again.TOGETHER else error for outcome in self._outcomes]


class _Nobody(Exception):
    """No member has anything to store."""


class _TooSlow(Exception):
    """An update takes longer to decide than others wait."""


class _CodeCancelled(Exception):
    """The user's code was cancelled, by itself or with its caller."""


def _outcome_of(error: BaseException) -> BaseException:
    """Return what a caller gets whose code has raised this, which need not be an `Exception`."""
    if isinstance(error, _CodeCancelled):
        return asyncio.CancelledError()
    if isinstance(error, _ENDS):
        raise error
    return error


def _in_context(member: Member[Update[V1, V2]]) -> Update[V1, V2]:
    """Return the member's edit, whose change is called in the context of its caller."""
    change = cast("Callable[[object], object]", member.work.change)

    def call(entity: object) -> object:
        try:
            result = member.context.run(change, entity)
        except asyncio.CancelledError:
            raise _CodeCancelled from None
        return _finish(member, result) if inspect.isawaitable(result) else result

    return evolve(member.work, change=call)


async def _finish(member: Member[Update[V1, V2]], result: Awaitable[object]) -> object:
    """Return what the user's code returns, which runs in a task of its own: only so it has its caller's context."""
    task = member.task = asyncio.get_running_loop().create_task(_wait_for(result), context=member.context)
    try:
        await asyncio.wait({task})
    except asyncio.CancelledError:
        task.cancel()  # its caller waits for its end
        raise
    if task.cancelled():
        raise _CodeCancelled
    return task.result()


async def _wait_for(result: Awaitable[object]) -> object:
    return await result


def add(conversions: Conversions[V1, V2], base: Base, total: Change | None, change: Change) -> Decided:
    """Return the change of `base` that makes both changes, the second on top of the first, or `More.TRUTH`."""
    before = change.v1_before if total is None else total.v1_before
    after = change.v1_after
    assert before is not None  # updates give both
    assert after is not None
    found = conversions.v1_changes(before, after, base.truth)
    if found is None:
        return More.TRUTH
    both = Change.of(found, change.v2_body, change.entity, before, after)
    if base.check is not None:
        base.check(both)
    return both


def follow(conversions: Conversions[V1, V2], base: Base, total: Change) -> Base:
    """Return what a write starts from once this change of `base` is stored."""
    truth, seen, body = base.truth, base.seen, total.v2_body
    if truth is not None:
        changed = bson.decode(bson.encode(total.v1_set), conversions.v1.options)
        truth = truth._replace(document=patched(truth.document, (changed, total.v1_unset, [])))
    if base.keeps_v2:
        unmoved = body if isinstance(body, Unmoved) else None
        document = {"_id": base.id} if isinstance(body, Unmoved) else _as_stored(conversions.v2, base.id, body)
        seen = StoredV2(
            base.id, base.revision, base.revision, unmoved is not None, None, document,
            total.conv or conversions.migration.revision, (), unmoved,
        )  # fmt: skip
    return base._replace(seen=seen, truth=truth, entity=None)


def _as_stored(codec: Codec[S], id: object, body: Document | Unmoved) -> Fields:
    """Return the body as it would be read back. It shares nothing with the one that is given."""
    assert not isinstance(body, Unmoved)
    return bson.decode(bson.encode({"_id": id, **body}), codec.options)
