"""The guards of bodies that are due, one taken away in each, and where that shows.

Each lets a writer start, or a conversion be stored, from a body that lacks what another writer's is about to bring.
"""

from lazymig import Phase
from lazymig.protocol import bodies, reading, v2_listing, writing
from lazymig.protocol.renewals import Keep
from lazymig.stores import deleting, ledger
from lazymig.stores.mongo_v2 import V2Store
from lazymig.sweeping import marks, reconverting
from tests.interleaving import given_time
from tests.interleaving.given_time import REVISED
from tests.interleaving.grouped import grouped_scenario
from tests.interleaving.mutants import Mutant
from tests.interleaving.subject import scenario

IS_DUE, REFRESH_SEEN = writing.is_due, writing._refresh_seen


def own_number(monkeypatch):
    """A writer takes V1's revision for its own where that is the number of its ticket."""

    async def is_due(pair, seen, truth, own=0):
        return truth.revision != own and await IS_DUE(pair, seen, truth, own)

    monkeypatch.setattr(writing, "is_due", is_due)


def unrecorded_raise(monkeypatch):
    """A writer raises the intent to another's number, and leaves no trace of that."""

    async def raise_intent(store, id, intent):
        where, update = {"_id": id, ledger.REV: {"$not": {"$gte": intent}}}, {"$max": {ledger.INTENT: intent}}
        await store._durable.update_one(where, {**update, **store.mark()})

    monkeypatch.setattr(V2Store, "raise_intent", raise_intent)


def first_sight(monkeypatch, stale):
    """A writer goes on from V2 as it was announced, where `stale(truth, ticket, attempt)`."""

    async def refresh_seen(pair, seen, truth, ticket, attempt):
        return (
            seen if stale(truth.revision, ticket, attempt) else await REFRESH_SEEN(pair, seen, truth, ticket, attempt)
        )

    monkeypatch.setattr(writing, "_refresh_seen", refresh_seen)


def no_look_at_the_ticket(monkeypatch):
    """A writer that finds V1 at its ticket looks at V2 no more."""
    first_sight(monkeypatch, lambda revision, ticket, attempt: not attempt and revision == ticket)


def no_look_past_the_ticket(monkeypatch):
    """A writer that finds V1 past its ticket looks at V2 no more."""
    first_sight(monkeypatch, lambda revision, ticket, attempt: not attempt and revision > ticket)


def no_look_after_a_loss(monkeypatch):
    """A writer that has lost a race goes on from what V2 held at its ticket."""
    first_sight(monkeypatch, lambda revision, ticket, attempt: attempt > 0)


def never_due(module):
    """Nobody waits for a body in this module."""

    async def is_due(*_arguments):
        return False

    return lambda monkeypatch: monkeypatch.setattr(module, "is_due", is_due)


def never_passed(module):
    """Nobody asks in this module whether V1 is past what was seen of V2."""

    async def find_passed(*_arguments):
        return set()

    return lambda monkeypatch: monkeypatch.setattr(module, "find_passed", find_passed)


def never_late(monkeypatch):
    """A listing that has waited for one body takes the next one's writer for dead as well."""
    monkeypatch.setattr(v2_listing, "_find_late", lambda due, waited: set())


def tombstone_for_body(monkeypatch):
    """A tombstone at V1's revision is taken for the body that is still to come."""
    for module in (bodies, writing):
        monkeypatch.setattr(module, "is_buried", lambda _seen: False)


def burying_what_came_later(monkeypatch):
    """A delete of an entity without a revision buries whatever is below its ticket."""
    bury = V2Store.bury

    async def careless(store, id, revision, *, since=None):
        return await bury(store, id, revision, since=since or None)

    monkeypatch.setattr(V2Store, "bury", careless)


def earlier_entity_stays(monkeypatch):
    """A writer whose body meets one of an earlier entity past its ticket leaves it to the delete to bury that."""

    async def holds_earlier(*_arguments):
        return False

    monkeypatch.setattr(writing, "_holds_earlier", holds_earlier)


def converted_revival(monkeypatch):
    """A writer whose body meets a tombstone past its ticket stores V1's conversion in its place."""
    monkeypatch.setattr(writing, "Restore", lambda conversions, _ticket, _change: Keep(conversions))


def withdrawn_raise(monkeypatch):
    """An announcement is taken back although another writer may use its number."""
    withdraw = V2Store.withdraw

    async def careless(store, seen, step=1, *, missing=False):
        await store._durable.update_one({"_id": seen.id}, {"$unset": {ledger.RAISED: ""}})
        return await withdraw(store, seen, step, missing=missing)

    monkeypatch.setattr(V2Store, "withdraw", careless)


def raised_is_as_left(monkeypatch):
    """A bulk's delete takes V2 for as it left it, although another writer has raised the intent to its number."""
    monkeypatch.setattr(deleting, "is_raised", lambda _stored: False)


def shown(state, *clients, **changes):
    """The calls of each client, separated by commas, where bodies come in time."""
    return lambda: given_time.scenario(state, [names.split(", ") for names in clients], **changes)


DIRTY, UNWRITTEN = "dirty before V1's step", "V1 only, without a revision"
MUTANTS = (
    Mutant("due: the ticket's number is one's own", own_number, shown("both clean", "note", "note, update")),
    Mutant("due: a raise leaves no trace", unrecorded_raise, shown("both clean", "note", "note, update")),
    Mutant("due: no look at the ticket", no_look_at_the_ticket, shown("both clean", "note", "note, V1 update")),
    Mutant("due: no look past the ticket", no_look_past_the_ticket, shown("both clean", "note", "note, V1 update")),
    Mutant("due: no look after a lost race", no_look_after_a_loss, shown("both clean", "note", "note, update")),
    Mutant("due: writers wait for no body", never_due(writing), shown("both clean", "note", "update")),
    Mutant("due: readers wait for no body", never_due(reading), shown("both clean", "note", "get, update")),
    Mutant("due: readers do not look again", never_passed(reading), shown("V1 only", "note", "get, update")),
    Mutant("due: sweeps wait for no body", never_due(marks), shown(DIRTY, "note", "sweep, update")),
    Mutant("due: sweeps do not look again", never_passed(marks), shown(DIRTY, "note", "sweep, update")),
    Mutant(
        "due: conversions wait for no body", never_due(reconverting),
        shown("both clean", "note", "reconvert, update", migration=REVISED),
    ),
    Mutant(
        "due: conversions do not look again", never_passed(reconverting),
        shown("both clean", "note", "reconvert, update", migration=REVISED),
    ),
    Mutant(
        "due: listings wait for no body", never_due(v2_listing),
        shown("both clean", "note", "list, update", phase=Phase.V2_PRIMARY),
    ),
    Mutant(
        "due: listings do not look again", never_passed(v2_listing),
        shown(DIRTY, "note", "list, update", phase=Phase.V2_PRIMARY),
    ),
    Mutant(
        "due: listings wait for one body only", never_late,
        shown("dirty after V1's step", "note, note", "list, update", phase=Phase.V2_PRIMARY),
    ),
    Mutant("due: a tombstone is a body", tombstone_for_body, shown("deleted half way", "insert", "insert")),
    Mutant("due: a delete buries what came later", burying_what_came_later, shown(UNWRITTEN, "delete", "insert")),
    Mutant("due: an earlier entity's body stays", earlier_entity_stays, shown(UNWRITTEN, "note, delete", "insert")),
    Mutant("due: a revival by conversion", converted_revival, shown(UNWRITTEN, "delete", "insert")),
    Mutant(
        "a raised announcement withdrawn", withdrawn_raise,
        lambda: scenario("both clean", [["update", "get"], ["update", "failed update"]]),
    ),
    Mutant(
        "raised is as left", raised_is_as_left,
        lambda: grouped_scenario("both clean", [["delete"], ["update", "delete"]]),
    ),
)  # fmt: skip
