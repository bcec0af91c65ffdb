"""The seal with one guard taken away, each under a name that says which, and where that shows."""

from lazymig.protocol import sealing
from lazymig.stores import fencing
from lazymig.stores.ledger import MongoLedger
from tests.interleaving.mutants import Mutant
from tests.interleaving.seals import scenario


def open_v1(monkeypatch):
    """V1's fence lets everything pass."""
    monkeypatch.setitem(fencing.RULES, "v1", {"_id": {"$exists": True}})


def open_v2(monkeypatch):
    """V2's fence lets everything pass."""
    monkeypatch.setitem(fencing.RULES, "v2", {"_id": {"$exists": True}})


def no_heal(monkeypatch):
    """The seal does not heal, so V1 does not move."""

    async def nothing(work, *, old):
        return None

    monkeypatch.setattr(sealing._Work, "_heal_all", nothing)


def no_look(monkeypatch):
    """The seal does not look for open marks once the fences stand."""

    async def nothing(work):
        return None

    monkeypatch.setattr(sealing._Work, "_close_marks", nothing)


def look_before(monkeypatch):
    """The seal looks for open marks before it puts up the fences, and not after."""
    put_up, close_marks = sealing._Work._put_up, sealing._Work._close_marks

    async def looked(work):
        await close_marks(work)
        await put_up(work)

    async def nothing(work):
        return None

    monkeypatch.setattr(sealing._Work, "_put_up", looked)
    monkeypatch.setattr(sealing._Work, "_close_marks", nothing)


def no_burying(monkeypatch):
    """The seal leaves the open marks of entities that V1 lacks."""

    async def close_marks(work):
        async for page in work._page_open_marks():
            if late := await work._keep_held(page):
                raise work._explain_late(late)

    monkeypatch.setattr(sealing._Work, "_close_marks", close_marks)


def bury_anything(monkeypatch):
    """The seal buries every open mark, also of what V1 holds."""

    async def bury_all(work):
        async for page in work._page_open_marks():
            await work._pair.alone.bury_each(page)

    monkeypatch.setattr(sealing._Work, "_close_marks", bury_all)


def unguarded_raise(monkeypatch):
    """A raise does nothing where V2 is at this number already, and so passes V2's fence."""

    async def raise_intent(store, id, intent):
        update = {"$max": {"_lazymig.intent": intent}, "$inc": {"_lazymig.raised": 1}, **store._marking()}
        await store._durable.update_one({"_id": id}, update)

    monkeypatch.setattr(MongoLedger, "raise_intent", raise_intent)


def fences_stay(monkeypatch):
    """A seal that is given up leaves its fences."""

    async def stay(work, why):
        return work.result

    monkeypatch.setattr(sealing._Work, "give_up", stay)


def leftovers_stay(monkeypatch):
    """The fences of an attempt that died are left as they are."""

    async def close(work):
        await work._heal_all(old=False)
        await work._put_up()
        await work._close_marks()

    monkeypatch.setattr(sealing._Work, "close", close)


def shown(state, *clients, **changes):
    """The calls of each client, separated by commas; the last one is the operator."""
    return lambda: scenario(state, [names.split(", ") for names in clients], **changes)


MUTANTS = (
    Mutant("seal: V1 is not fenced", open_v1, shown("placeholder without V1", "insert", "get")),
    Mutant("seal: V2 is not fenced", open_v2, shown("both clean", "delete", "update, get")),
    # Without it nothing goes wrong: every open mark lifts the seal.
    Mutant("seal: nothing is healed", no_heal, shown("dirty before V1's step", "get"), visible=False),
    Mutant("seal: no look for open marks", no_look, shown("both clean", "delete", "update, get")),
    Mutant("seal: the look comes before the fences", look_before, shown("both clean", "delete", "update, get")),
    Mutant("seal: nothing is buried", no_burying, shown("deleted half way", "get", "get")),
    Mutant("seal: everything is buried", bury_anything, shown("both clean", "update", "get")),
    Mutant("seal: a raise passes the fence", unguarded_raise, shown("both clean", "delete", "update, get")),
    Mutant("seal: given up, and fenced", fences_stay, shown("both clean", "update", "get"), visible=False),
    Mutant(
        "seal: an earlier attempt's fences", leftovers_stay, shown("dirty before V1's step, V2 fenced", "get"),
        visible=False,
    ),
)  # fmt: skip
