"""The same explorations where V1's entities are parts of documents that belong to others as well.

V1's collection holds the documents of the other explorations as parts: beside a field that lazymig must never touch,
and with the revision under the migration's name. To the checks it shows them as before.
"""

from contextlib import ExitStack, contextmanager
from unittest import mock

from attrs import evolve, field, frozen

from lazymig import Phase
from lazymig.testing.linearizability import Outcome, entity_model
from lazymig.testing.memory_collection import MemoryCollection
from tests.interleaving import phases_side_by_side as phases
from tests.interleaving import seals, subject
from tests.interleaving.running import Task
from tests.interleaving.subject import ID, INVARIANTS, MIGRATION, Call

REVISION, PARTS = "_lazymig_rev", "_lazymig_part"
NAMES = ("name", "count")
#: What the document holds beside the entity.
REST = {"mail": "ada@example.org", PARTS: {"another": 7}}
#: The value of an entity for which V1 has no document.
NO_DOCUMENT = "no document"
#: Told to `setup` in place of a state's name: both sides are empty, and so is the place of the document.
NOWHERE = "neither, and no document"


class Parts(MemoryCollection):
    """V1's documents, each with an entity as a part of it, or without."""

    def __init__(self, name, documents):
        documents = list(documents)
        missing = [document for document in documents if document == {"_id": ID}]
        made = [_as_part(document) for document in documents if document not in missing]
        super().__init__(name, made or ([] if missing else [{"_id": ID, **REST}]))

    def documents(self):
        """The entities as documents of their own."""
        return iter([_as_whole(document) for document in self._documents.values() if _holds(document)])

    def stored(self, id):
        """The entity as a document of its own, or None."""
        return next((document for document in self.documents() if document["_id"] == id), None)

    def real(self):
        """The document itself, or None."""
        return next(super().documents(), None)


def _holds(document):
    return any(name in document for name in NAMES)


def _as_part(document):
    made = {name: value for name, value in document.items() if name != REVISION} | {"mail": REST["mail"]}
    revision = {MIGRATION.name: document[REVISION]} if REVISION in document else {}
    return made | {PARTS: REST[PARTS] | revision}


def _as_whole(document):
    revision = document.get(PARTS, {}).get(MIGRATION.name)
    made = {name: value for name, value in document.items() if name not in REST}
    return made | ({} if revision is None else {REVISION: revision})


def make_collection(name, documents=(), **options):
    """V1 as parts, and any other collection as it is."""
    return Parts(name, documents) if name == "V1" else MemoryCollection(name, documents, **options)


def opened(migration, v1, v2, clock, **changed):
    """A repository of the same migration, whose entities are parts of V1's documents."""
    return subject_opened(evolve(migration, part=True), v1, v2, clock, **changed)


subject_opened = subject.opened


@contextmanager
def as_parts():
    """Within this, worlds are made whose V1 holds entities as parts."""
    with ExitStack() as stack:
        for module in (subject, seals):
            stack.enter_context(mock.patch.object(module, "MemoryCollection", make_collection))
        for module in (subject, phases, seals):
            stack.enter_context(mock.patch.object(module, "opened", opened))
        yield


# ---- checks ---------------------------------------------------------------------------------------------------------


def rest_stays(world):
    """Nothing that belongs to others is changed, and the document is not removed."""
    document = world.stores[0].real()
    if document is None:
        return "V1's document is gone"
    kept = document.get("mail") == REST["mail"] and document.get(PARTS, {}).get("another") == 7
    return None if kept else "V1's document lost what belongs to others"


def rest_stays_if_any(world):
    """The same, where a program may delete the document."""
    return None if world.stores[0].real() is None else rest_stays(world)


def guarded(made, check=rest_stays):
    """The scenario, with this check as well."""
    return evolve(made, name=f"{made.name}, in parts", invariants={**made.invariants, "the rest stays": check})


@frozen
class PartsTask(Task):
    """One scenario of two phases, by values that a process can be sent."""

    phases: tuple[Phase, Phase] = (Phase.COEXIST, Phase.COEXIST)
    crashes: bool = True

    def scenario(self):
        """The scenario itself."""
        with as_parts():
            return guarded(phases.scenario(self.phases, self.state, self.clients, crashes=self.crashes))


@frozen
class SealedPartsTask(Task):
    """One scenario of the seal, by values that a process can be sent."""

    crashes: bool = True

    def scenario(self):
        """The scenario itself."""
        with as_parts():
            return guarded(seals.scenario(self.state, self.clients, crashes=self.crashes))


# ---- programs that do not use lazymig -------------------------------------------------------------------------------


async def delete_outside(s):
    """A program deletes the whole document."""
    result = await s.v1.delete_one({"_id": ID})
    return Outcome.DONE if result.deleted_count else Outcome.NOT_FOUND


async def remove_outside(s):
    """A program removes the entity's fields from the document, which stays."""
    present = {"$or": [{name: {"$exists": True}} for name in NAMES]}
    result = await s.v1.update_one({"_id": ID, **present}, {"$unset": dict.fromkeys(NAMES, "")})
    return Outcome.DONE if result.matched_count else Outcome.NOT_FOUND


async def create_outside(s):
    """A program inserts the document, without the entity, if there is none."""
    await s.v1.update_one({"_id": ID}, {"$setOnInsert": REST}, upsert=True)
    return Outcome.DONE


async def write_other(s):
    """A program writes a field that is no part of the entity."""
    await s.v1.update_one({"_id": ID}, {"$inc": {"logins": 1}})


def all_calls(amount):
    """The calls of a repository, and those of other programs."""
    outside = {
        "outside delete": Call("outside delete", delete_outside, ID),
        "outside remove": Call("delete", remove_outside, ID),
        "outside create": Call("outside create", create_outside, ID),
        "outside other": Call("outside other", write_other),
    }
    return {**subject.calls(amount), **outside}


def model(state, operation):
    """A part exists in a document, which may be missing."""
    stands, right = state != NO_DOCUMENT, True
    if operation.name == "outside delete":
        right = not operation.certain or (operation.result is Outcome.DONE) == stands
        return right, NO_DOCUMENT
    if operation.name == "outside create":
        return True, state if stands else None
    if operation.name == "insert" and not stands:
        return not operation.certain or operation.result is Outcome.NOT_FOUND, state
    if operation.name == "insert" and operation.result is Outcome.NOT_FOUND:
        return False, state
    if operation.name == "get" and operation.result == NO_DOCUMENT:
        return not stands, state
    right, after = entity_model(state if stands else None, operation)
    return right, after if stands else NO_DOCUMENT


def truth(world):
    """V1's content."""
    document = world.stores[0].real()
    if document is None:
        return {ID: NO_DOCUMENT}
    return {ID: "torn"} if len(document.keys() & set(NAMES)) == 1 else subject.truth(world)


async def read_afterwards(s):
    """What reads answer in the end."""
    found = await subject.read_afterwards(s)
    return {ID: NO_DOCUMENT} if s.v1.real() is None else found


@frozen
class OutsideTask(Task):
    """Clients beside a program that knows nothing of lazymig, by values that a process can be sent."""

    phase: Phase = Phase.V1_ONLY
    checked: bool = field(default=False, kw_only=True)

    def scenario(self):
        """The scenario itself: a clean V2 document may be behind V1 here."""
        state = (({"_id": ID},), ()) if self.state == NOWHERE else subject.STATES[self.state]
        with as_parts():
            kept = {name: INVARIANTS[name] for name in ("gone has no body", "marked")}
            made = subject.scenario(
                self.state, self.clients, make=all_calls, model=model, truth=truth, afterwards=read_afterwards,
                setup=subject.setup(state, phase=self.phase, checked=self.checked), invariants=kept,
                resumes=True,
            )  # fmt: skip
        return guarded(evolve(made, name=f"{made.name}, {self.phase}"), rest_stays_if_any)
