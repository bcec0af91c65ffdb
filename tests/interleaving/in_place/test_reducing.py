"""The end of V1's part beside clients and other programs, in every order, with any crash; each of its guards bites."""

import pytest

from lazymig.protocol.in_place import reducing as protocol
from lazymig.retiring.in_place import reduction
from lazymig.shapes.one_document import Lift, OneDocument
from lazymig.stores.records import Document
from tests.interleaving.in_place.mutants import without
from tests.interleaving.in_place.reducing import BESIDE, UNDER_WAY, WITHOUT, ReduceTask, reduce_scenario
from tests.interleaving.in_place.scenarios import V2_ONLY, V2_PRIMARY
from tests.interleaving.mutants import Mutant
from tests.interleaving.running import check_killed, explore_all
from tests.widening import WIDENING

FULL = WIDENING.full
STATES = ("V1 only", "both current", "stale", "alone", "alone, V1 changed since", "alone, born in V2")
CALLS = ("get", "find", "insert", "update", "note", "replace", "delete", "V1 update", "V1 insert", "V1 list")
SOME = ("find", "note", "V1 update", "delete")


def beside_the_pass():
    """The pass beside a call, beside two, and beside a program that writes until V1's part counts no more."""
    made = []
    for number, layout in enumerate(BESIDE):
        for lifts in BESIDE[layout]:
            options = {"layout": layout, "lifts": lifts, "phases": (V2_ONLY, V2_ONLY)}
            for place, state in enumerate(STATES):
                calls = CALLS if FULL else [CALLS[(place * 3 + number + step) % len(CALLS)] for step in range(4)]
                # A listing by V2's fields finds nothing where no V2 part was ever stored, which the gates rule out.
                calls = [name for name in calls if not (name == "find" and state == "V1 only")]
                made += [ReduceTask(state, (("reduce",), (name,)), **options) for name in calls]
                pairs = (
                    [(a, b) for a in SOME for b in SOME if a != "find" or state != "V1 only"]
                    if FULL
                    else [("note", "find")]
                )
                made += [ReduceTask(state, (("reduce",), pair), **options) for pair in pairs]
            for state in ("V1 only", "both current", "stale"):
                made.append(ReduceTask(state, (("reduce",), ("out name until alone",), ("note",)), **options))
            made.append(ReduceTask("none", (("reduce",), ("insert",), ("V1 insert",)), **options))
    return made


def late_processes():
    """A process that is still in `v2_primary`, because it was paused, beside the pass: by the id of an entity."""
    names = ("get", "note", "V1 get", "V1 update", "replace", "delete")
    return [
        ReduceTask(state, ((name,), ("reduce",)), layout=layout, lifts=lifts, phases=(V2_PRIMARY, V2_ONLY))
        for layout, lifts in (("flat", (Lift.NONE, Lift.NONE)), ("within", (Lift.NONE, Lift.UNDER_WAY)))
        for state in (("both current", "stale", "alone") if FULL else ("both current",))
        for name in names
    ]


def steps_of_the_lift():
    """Processes that are one step of the lift apart, before the pass works and behind it."""
    made = []
    for lifts in [*WITHOUT, (Lift.UNDER_WAY, Lift.DONE)]:
        states = ("lifted", "none") if Lift.DONE in lifts else ("both current", "alone", "none")
        for state in states:
            for first, second in [("insert", "find"), ("note", "find"), ("find", "insert"), ("find", "V1 update")]:
                made.append(
                    ReduceTask(state, ((first,), (second,)), layout="within", lifts=lifts, phases=(V2_ONLY,) * 2)
                )
    return made


def test_the_end_of_v1s_part():
    """Linearizable, with any crash; every door and process agrees afterwards, and V2's part is in one place."""
    tasks = [*beside_the_pass(), *late_processes(), *steps_of_the_lift()]
    _, report = explore_all("the end of V1's part in one document", tasks)
    assert not report.violations, report.violations[0]
    assert report.exhaustive


def same_revision(monkeypatch):
    """The pass leaves the revision as it is, and so the fingerprint alone stops a write that was decided before."""
    spell = protocol.spell_whole
    monkeypatch.setattr(protocol, "spell_whole", lambda revision, **meta: spell(revision - 1, **meta))


def holds_nothing(monkeypatch):
    """The pass does not ask whether V1's part still stands."""
    monkeypatch.setattr(protocol, "hold_v1", lambda place, stored: {})


def trusts_what_stands(monkeypatch):
    """The pass takes V2's part for the truth, whatever it was made from."""

    async def careless(parts):
        if parts.stored.of is None and not parts.stored.alone:
            return await protocol.decide_reduced(parts)
        return protocol._compose(parts, protocol._without_id(parts), converted=False)

    monkeypatch.setattr(reduction, "decide_reduced", careless)


def asks_the_old_place(monkeypatch):
    """While the pass works, listings ask for the sub-document alone."""

    def translate(shape: OneDocument, criteria: Document) -> Document:
        return shape._translate_all(criteria) if shape.within is not None else criteria

    monkeypatch.setattr(OneDocument, "translate", translate)


def born_inside(monkeypatch):
    """Where all are at the top already, a process still stores new entities in the sub-document."""
    monkeypatch.setattr(OneDocument, "born_lifted", property(lambda shape: shape.lift is Lift.DONE))


def shown(state, *clients, **options):
    """The calls of each client, separated by commas."""
    return lambda: reduce_scenario(state, [names.split(", ") for names in clients], **options)


WITHIN = {"layout": "within", "lifts": UNDER_WAY}
MUTANTS = (
    Mutant("the pass has no guard", without("_lazymig.rev", "_lazymig.of"), shown("alone", "reduce", "note", **WITHIN)),
    Mutant("the pass leaves the revision", same_revision, shown("alone, born in V2", "reduce", "note", **WITHIN)),
    Mutant("the pass does not hold V1's part", holds_nothing, shown("both current", "reduce", "out name until alone")),
    Mutant("the pass trusts what stands", trusts_what_stands, shown("stale", "reduce", "get")),
    Mutant("listings ask the old place", asks_the_old_place, shown("alone", "reduce", "find, find", **WITHIN)),
    Mutant(
        "a process stores where others do not look", born_inside,
        shown("none", "insert", "find, find", layout="within", lifts=(Lift.UNDER_WAY, Lift.DONE)),
    ),
)  # fmt: skip


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_of_the_end_is_killed(mutant, monkeypatch):
    """The scenario is sound as the guards stand, and has a counter-example once one of them is taken away."""
    check_killed(mutant, monkeypatch)
