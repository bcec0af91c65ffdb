"""The guards of a repair, each taken away, and where that shows."""

from lazymig import protocol
from lazymig.following import looking
from lazymig.following.judging import Finding
from lazymig.protocol import repairing
from lazymig.protocol.edits import Change
from lazymig.protocol.renewals import Keep
from lazymig.protocol.writing import Done
from lazymig.stores.events import Operation
from tests.interleaving import following, repairs
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

    async def replacing(pair, id, *, same_life):
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


# ---- the follower ---------------------------------------------------------------------------------------------------


def sure_follower(monkeypatch):
    """What a write under way leaves open is taken for announced."""
    judge = looking.judge

    def sure(event, sight):
        finding = judge(event, sight)
        return Finding.OURS if finding is Finding.OPEN else finding

    monkeypatch.setattr(looking, "judge", sure)


def trusting_follower(monkeypatch):
    """An event that stores a revision is taken for announced."""
    judge_at_once = looking.judge_at_once

    def trusting(event, seen, last):
        return Finding.OURS if event.revision is not None else judge_at_once(event, seen, last)

    monkeypatch.setattr(looking, "judge_at_once", trusting)


def deaf_follower(monkeypatch):
    """A delete is taken for announced where V2 holds no tombstone."""
    judge_at_once = looking.judge_at_once

    def deaf(event, seen, last):
        return Finding.OURS if event.operation is Operation.DELETE else judge_at_once(event, seen, last)

    monkeypatch.setattr(looking, "judge_at_once", deaf)


def suspicious_follower(monkeypatch):
    """A delete that left no tombstone yet is taken for another program's, though a delete is under way."""
    judge = looking.judge

    def suspicious(event, sight):
        finding = judge(event, sight)
        return Finding.ROGUE if finding is Finding.OPEN else finding

    monkeypatch.setattr(looking, "judge", suspicious)


def followed(state, *clients, **changes):
    """The calls of each client, separated by commas, and the follower at last."""
    return lambda: following.scenario(state, [names.split(", ") for names in clients], **changes)


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
    Mutant(
        "the follower is sure of what is open", sure_follower,
        followed("both clean", "outside delete", "update", "follow"), visible=False,
    ),
    Mutant(
        "the follower trusts every revision", trusting_follower, followed("both clean", "outside ahead"),
        visible=False,
    ),
    Mutant("the follower ignores deletes", deaf_follower, followed("both clean", "outside delete"), visible=False),
    Mutant(
        "the follower suspects what is open", suspicious_follower,
        followed("both clean", "delete", "follow", strict=True), visible=False,
    ),
)  # fmt: skip
