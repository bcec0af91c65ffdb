"""The guards of a repair, each taken away, and where that shows."""

from lazymig import protocol
from lazymig.protocol import repairing
from lazymig.protocol.edits import Change
from lazymig.protocol.renewals import Keep
from lazymig.protocol.writing import Done
from tests.interleaving import repairs
from tests.interleaving.mutants import Mutant


def trusting_repair(monkeypatch):
    """A repair keeps V2's body where its revision is V1's."""
    monkeypatch.setattr(repairing, "Renew", Keep)


def reading_repair(monkeypatch):
    """A repair of what V2 lacks is a read, which believes a body that another reader stored first."""

    async def migrated(pair, id):
        return await protocol.read(pair, id) is not None

    monkeypatch.setattr(repairing, "_migrate", migrated)


def careless_repair(monkeypatch):
    """What V2 lacks is left to the next read."""

    async def left(pair, id):
        return True

    monkeypatch.setattr(repairing, "_migrate", left)


def forgetful_repair(monkeypatch):
    """What V1 lacks leaves no tombstone in V2: the announcement is withdrawn, as by a write."""
    finish = repairing.finish

    async def withdrawing(pair, id, done):
        if done.change is not None:
            return await finish(pair, id, done)
        await pair.ledger.withdraw(await pair.bodies.find(id), missing=True)
        return None

    monkeypatch.setattr(repairing, "finish", withdrawing)


def quiet_repair(monkeypatch):
    """V2's body is replaced without a ticket and without a new revision of V1."""

    async def replacing(pair, id):
        truth, seen = await pair.v1.find(id), await pair.bodies.find(id)
        if truth is None:
            done = Done(seen.intent + 1, None, seen.intent)
            return done, await pair.bodies.bury(id, seen.intent + 1)
        entity = await pair.conversions.upgraded(truth, seen)
        body = pair.conversions.v2_body(entity)
        done = Done(truth.revision, Change({}, [], body, entity), truth.revision)
        return done, await pair.bodies.apply(id, body, truth.revision, over=seen)

    monkeypatch.setattr(repairing, "_renew", replacing)


def hasty_repair(monkeypatch):
    """A repair that comes too late for V2 is taken for done, as a write's last step may be."""
    finish = repairing.finish

    async def taken_for_done(pair, id, done):
        await finish(pair, id, done)

    monkeypatch.setattr(repairing, "finish", taken_for_done)


def shown(state, *clients):
    """The calls of each client, separated by commas."""
    return lambda: repairs.scenario(state, [names.split(", ") for names in clients])


MUTANTS = (
    Mutant("a repair trusts V2's body", trusting_repair, shown("both clean", "outside, repair"), visible=False),
    Mutant("a repair is a read", reading_repair, shown("V1 only", "outside, repair", "get"), visible=False),
    Mutant("no repair of what V2 lacks", careless_repair, shown("V1 only", "outside, repair", "get"), visible=False),
    Mutant(
        "no tombstone of what V1 lacks", forgetful_repair, shown("V1 only", "outside delete, repair", "get"),
        visible=False,
    ),
    Mutant(
        "a repair without a ticket", quiet_repair, shown("both clean", "outside rename, repair", "update"),
        visible=False,
    ),
    Mutant(
        "a repair that came too late is not repeated", hasty_repair,
        shown("placeholder behind V1", "outside replace, repair", "get"), visible=False,
    ),
)  # fmt: skip
