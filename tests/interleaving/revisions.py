"""Two releases side by side: the older one's upgrade is wrong, the newer one has it fixed, at a higher revision.

What the older one answers is its own affair. The newer one must never answer with a body of the older, nor carry one
over into V1; and where the older release meets a newer body, it leaves it as it is.
"""

from attrs import evolve, frozen

from lazymig.repository import calls_of
from tests.interleaving import subject
from tests.interleaving.subject import (
    ID,
    INVARIANTS,
    MIGRATION,
    OLD,
    Call,
    calls,
    opened,
    same_content,
    setup,
    to_v2,
    to_v2_keeping,
    v1_document,
    v2_document,
)

WRONG = 1000


def wrong(v1):
    """The older release's upgrade: the count is wrong by a thousand."""
    return evolve(to_v2(v1), tally=v1.count.tally + WRONG)


def wrong_keeping(v1, previous):
    """The same, which keeps V2's note."""
    return evolve(to_v2_keeping(v1, previous), tally=v1.count.tally + WRONG)


def releases(keeping=False):
    """The older and the newer migration."""
    before, after = (wrong_keeping, to_v2_keeping) if keeping else (wrong, to_v2)
    return evolve(MIGRATION, upgrade=before), evolve(MIGRATION, upgrade=after, revision=2)


@frozen
class Releases:
    """What calls are made on: the newer release's repository, and the older one's."""

    repository: object
    older: object
    v1: object
    v2: object


def both(keeping=False):
    """Makes the two."""
    older, newer = releases(keeping)

    def make(v1, v2, clock):
        return Releases(opened(newer, v1, v2, clock), opened(older, v1, v2, clock), v1, v2)

    return make


def with_conv(document, conv):
    """A V2 document of that conversion."""
    return {**document, "_lazymig": {**document["_lazymig"], "conv": conv}}


STATES = {
    "V1 only": ((v1_document(3),), ()),
    "older body": ((v1_document(2),), (v2_document(2, 2, tally=WRONG, note="n"),)),
    "older body, dirty": ((v1_document(2),), (v2_document(2, 3, OLD, tally=WRONG, note="n"),)),
    "older body with another key": ((v1_document(2),), ({**v2_document(2, 2, tally=WRONG), "nick": "n"},)),
    "newer body": ((v1_document(2),), (with_conv(v2_document(2, 2, note="n"), 2),)),
    "newer body behind V1": ((v1_document(3, tally=5),), (with_conv(v2_document(2, 3, OLD, note="n"), 2),)),
}


def in_older(call):
    """The same call by the older release; what it answers counts for nothing, what it writes to V1 does."""
    return evolve(call, run=lambda s: call.run(evolve(s, repository=s.older)))


async def reconvert(s):
    """What a sweep does with an older body: converted anew, over what was seen."""
    pair = calls_of(s.repository).pair
    seen, truth = await pair.bodies.find(ID), await pair.v1.find(ID)
    if seen is not None and truth is not None and not seen.gone and seen.conv < 2 and seen.revision <= truth.revision:
        body = pair.conversions.v2_body(await pair.conversions.upgraded(truth, seen))
        await pair.bodies.apply_many([(seen, body, truth.revision)])


def all_calls(amount):
    """The newer release's calls, and those of the older that are right whatever its upgrade does."""
    made = calls(amount)
    older = {
        f"older {name}": in_older(made[name]) for name in ("V1 insert", "V1 update", "V1 delete", "delete", "heal")
    }
    ignored = {f"older {name}": Call("read", in_older(made[name]).run) for name in ("get", "list", "get many", "sweep")}
    return {**made, **older, **ignored, "reconvert": Call("reconvert", reconvert)}


NAMES = tuple(name for name in all_calls(0) if name not in ("purge", "V1 get", "V1 list", "V1 get many"))


def content(v1, v2):
    """What the newer release takes for current says what V1 says."""
    return v2["_lazymig"].get("conv", 1) < 2 or same_content(v1, v2)


def clean_is_v1(world):
    """A clean V2 document of the newer release is V1's current revision."""
    return subject.clean_is_current(world.stores[0].documents(), world.stores[1].documents(), content)


KEYS = {"_id", "_lazymig", "first", "last", "tally", "note"}


def exact_body(world):
    """What the newer release stored holds no key of an earlier body."""
    for document in world.stores[1].documents():
        meta = document["_lazymig"]
        if meta.get("conv", 1) >= 2 and not meta.get("gone") and set(document) != KEYS:
            return "V2 holds a key of an earlier body"
    return None


def scenario(state, clients, keeping=False, **changes):
    """Clients by lists of call names, from one starting state."""
    invariants = {**INVARIANTS, "clean is V1": clean_is_v1, "exact body": exact_body}
    made = subject.scenario(
        state, clients, make=all_calls, setup=setup(STATES[state], subject=both(keeping)), resumes=True
    )
    return evolve(made, invariants=invariants, **changes)
