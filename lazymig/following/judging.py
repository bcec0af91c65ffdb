"""Judging events: which changes of V1 were not announced. Nothing here sends a statement.

Every write of lazymig announces itself in V2, durably, before it touches V1. It is an insert, a delete, or an update
that stores a revision; never a replace. Within one life of an entity its revisions only rise, in the order of events.

An event is seen after later writes have moved both sides on, so most are judged by the sides' present state: whatever
happened since, the invariant holds now, or it does not. Where it does not, the entity is healed, and if the event was
lazymig's own after all, this heal stores what V1 holds anyway.
"""

from __future__ import annotations

import enum
from collections import OrderedDict
from collections.abc import Sequence

from attrs import frozen

from lazymig.stores.events import Event, Operation
from lazymig.stores.given import RawId
from lazymig.stores.records import StoredV2

#: Entities whose last revision is remembered.
_REMEMBERED = 100_000


class Finding(enum.Enum):
    """What an event turned out to be."""

    #: Announced, or overtaken by a later event, which is judged by itself.
    OURS = enum.auto()
    #: Not announced.
    ROGUE = enum.auto()
    #: Deleted, and V2 has no tombstone: not announced, unless the tombstone was purged since.
    VANISHED = enum.auto()
    #: V1's present revision is needed to decide.
    ASK = enum.auto()
    #: A write of lazymig is under way: look again later.
    OPEN = enum.auto()


@frozen
class Sight:
    """Both sides of one entity: V2, then V1's revision, then V2 again.

    Where both looks at V2 found the same document, V2 was like that at the moment when V1 was read: intents never
    return to an earlier value, except by a withdrawal, whose writer wrote nothing.
    """

    before: StoredV2 | None
    v1_revision: int | None
    after: StoredV2 | None

    @property
    def stands(self) -> bool:
        """Whether V2 stayed the same."""
        return _state_of(self.before) == _state_of(self.after)


def _state_of(seen: StoredV2 | None) -> tuple[int, int, bool] | None:
    return None if seen is None else (seen.revision, seen.intent, seen.gone)


def judge_at_once(event: Event, seen: StoredV2 | None, last: int | None) -> Finding:
    """Judge an event by V2 alone. `last` is the revision of the event before it in this life, where that is known."""
    revision = event.revision
    if event.operation is Operation.DELETE:
        # A tombstone without an open write: a delete of lazymig leaves it, and it does not answer. Whether a write is
        # open counts, because a body may still follow (see `judge`).
        return Finding.OURS if seen is not None and _is_buried(seen) else Finding.ASK
    if event.operation is Operation.REPLACE or revision is None:
        # Also a replace that carries the revision along, as "read, change, save" does: lazymig never replaces.
        return Finding.ROGUE
    if last is not None and revision <= last:
        # Set back, such as by a program that stores all fields of what it read a while ago. This must not wait for the
        # sides' state: between a writer's compare-and-set and its apply V2 is dirty and shows nothing wrong yet.
        return Finding.ROGUE
    if seen is not None and seen.revision <= revision <= seen.intent:
        return Finding.OURS  # announced, and V2 has not moved on since
    return Finding.ASK


def judge(event: Event, sight: Sight) -> Finding:
    """Judge an event that V2 alone did not decide."""
    if not sight.stands:
        return Finding.OPEN
    seen, v1_revision = sight.before, sight.v1_revision
    if v1_revision is not None:
        if event.operation is Operation.DELETE and v1_revision == 0 and seen is not None and seen.revision == 0:
            # V1 has the entity again, and V2 holds no trace of a delete, such as a tombstone at a higher revision.
            return Finding.VANISHED
        # Also for a delete: an insert by lazymig has brought V2 along.
        return Finding.ROGUE if _is_broken(event, seen, v1_revision) else Finding.OURS
    if event.operation is not Operation.DELETE:
        return Finding.OURS  # deleted since, and that event decides
    if seen is None:
        return Finding.VANISHED
    if seen.settled:
        return Finding.ROGUE  # no delete of lazymig leaves a live document, or the reason why V1's entity has no body
    # Dirty: a delete of lazymig whose tombstone is yet to come. Or a delete from outside in the middle of a write of
    # lazymig, whose body is yet to come and will look clean. The last announcement decides.
    return Finding.OURS if _is_buried(seen) else Finding.OPEN


def _is_buried(seen: StoredV2) -> bool:
    return seen.gone and seen.intent == seen.revision and seen.unmoved is None


def _is_broken(event: Event, seen: StoredV2 | None, v1_revision: int) -> bool:
    """Whether the two sides contradict each other, while V1 holds the entity."""
    if seen is None:
        # A write of lazymig leaves a document in V2 before V1 has it. Only for the event that V1's revision is from: an
        # earlier life of the entity may have been purged.
        return event.operation is not Operation.DELETE and event.revision == v1_revision
    if v1_revision > seen.intent:
        return True
    if seen.gone and seen.unmoved is None:
        # An entity that was deleted and came back as it was, from a backup say. An insert by lazymig is above the
        # tombstone, unless it was announced before a delete, and V1 took it after: its last step heals V2, and if it
        # died before that, the follower does, and counts it as another program's. Both look alike. Not for earlier
        # events: they were announced, whatever was inserted since.
        return event.revision == v1_revision < seen.revision
    return v1_revision < seen.revision


class Memory:
    """The last revision of entities that events were seen of, to find revisions that were set back.

    It only holds what is certain: events that are seen once. Forget it where the stream is opened again.
    """

    def __init__(self) -> None:
        self._last: OrderedDict[RawId, int] = OrderedDict()

    def trace(self, events: Sequence[Event]) -> list[int | None]:
        """Return for each event the revision before it, where it is known, and remember the last ones."""
        return [self._step(event) for event in events]

    def _step(self, event: Event) -> int | None:
        last = self._last.pop(event.id, None)
        if event.operation is Operation.DELETE:
            return None  # the next life may begin lower, where V2 has forgotten this one
        revision = event.revision if event.revision is not None else last
        if event.operation is Operation.REPLACE:
            revision = event.revision
        if revision is not None:
            self._last[event.id] = revision
            if len(self._last) > _REMEMBERED:
                self._last.popitem(last=False)
        return None if event.operation is Operation.INSERT else last

    def forget(self) -> None:
        """Forget everything."""
        self._last.clear()
