"""The follower where entities are parts of documents: V1 keeps the events that the stages of its stream pass on."""

from contextlib import ExitStack, contextmanager
from unittest import mock

from lazymig.stores.events import Event, Operation
from lazymig.testing.memory_collection import MemoryCollection
from tests.interleaving import following, parts, repairs
from tests.interleaving.parts import NAMES, PARTS, REST, Parts
from tests.interleaving.subject import CLOCK, ID, MIGRATION


class ReportingParts(Parts, following.Reporting):
    """V1 as parts, which reports as `stores.relevance` selects."""

    def _put(self, document):
        before = self.real() if self._documents else None
        MemoryCollection._put(self, document)
        self._note(before, document)

    def _note(self, before, after):
        if before is None:
            if any(name in after for name in NAMES):
                self._add(Operation.INSERT, _revision(after))
            return
        was, now = _revision(before), _revision(after)
        ended = after.get(PARTS, {}).get(MIGRATION.name, "") in ("", None) and before.get(PARTS) != after.get(PARTS)
        written = [name for name in NAMES if name in after and after[name] != before.get(name)]
        removed = [name for name in NAMES if name in before and name not in after]
        if ended and not written:
            self._add(Operation.DELETE, None)
        elif written or removed or was != now:
            self._add(Operation.UPDATE, now if now != was else None)

    def _add(self, operation, revision):
        self.events = [*self.events, Event(ID, operation, revision, CLOCK.now(), {"after": len(self.events) + 1})]


def _revision(document):
    return document.get(PARTS, {}).get(MIGRATION.name)


HELD = {"$or": [{name: {"$exists": True}} for name in NAMES]}
WHOLE = {"name": "Out Side", "count": {"tally": 8}}


async def set_outside(s):
    """A program gives the document an entity, where it has none."""
    await s.v1.update_one({"_id": ID, "$nor": HELD["$or"]}, {"$set": WHOLE})


async def create_outside(s):
    """A program inserts the document with an entity, where there is none."""
    if s.v1.real() is None:
        await s.v1.update_one({"_id": ID}, {"$setOnInsert": {**WHOLE, **REST}}, upsert=True)


async def remove_and_set_outside(s):
    """A program removes the entity from the document, and gives it another one."""
    await parts.remove_outside(s)
    await set_outside(s)


async def replace_outside(s):
    """A program stores all that it knows of the document; the revision is dropped."""
    change = {"$set": {**WHOLE, f"{PARTS}.another": 7}, "$unset": {f"{PARTS}.{MIGRATION.name}": ""}}
    await s.v1.update_one({"_id": ID}, change)


OUTSIDE = {
    "outside": lambda s: s.v1.update_one({"_id": ID, **HELD}, {"$inc": {"count.tally": 1000}}),
    "outside rename": lambda s: s.v1.update_one({"_id": ID, **HELD}, {"$set": {"name": "Out Side"}}),
    "outside remove": parts.remove_outside,
    "outside set": set_outside,
    "outside another": remove_and_set_outside,
    "outside delete": parts.delete_outside,
    "outside create": create_outside,
    "outside replace": replace_outside,
    "outside other": parts.write_other,
}


def crossed(s, event):
    """Whether a delete drew the higher ticket, and V1 took the insert after it, which is an update here."""
    meta = s.v2.stored(ID)["_lazymig"]
    return event.operation is Operation.UPDATE and meta.get("gone", False) and event.revision < meta["rev"]


@contextmanager
def as_parts():
    """Within this, worlds are made whose V1 holds entities as parts, and reports them."""
    with ExitStack() as stack:
        for name, value in (("Reporting", ReportingParts), ("opened", parts.opened), ("crossed", crossed)):
            stack.enter_context(mock.patch.object(following, name, value))
        stack.enter_context(mock.patch.dict(repairs.OUTSIDE, OUTSIDE, clear=True))
        yield


def scenario(state, clients, *, strict=False):
    """Clients by lists of call names, and the follower at last, even if clients died."""
    with as_parts():
        return parts.guarded(following.scenario(state, clients, strict=strict), parts.rest_stays_if_any)
