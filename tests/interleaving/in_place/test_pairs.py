"""Documents with both shapes: calls of two and three clients, and other programs' statements, in every order.

`--full` visits all states and calls; without it, those that differ most.
"""

from itertools import product

from lazymig.testing.explore import total
from tests.interleaving.in_place.clients import NAMES, OUTSIDE, READS, SOME
from tests.interleaving.in_place.people import LAYOUTS, states_of
from tests.interleaving.in_place.scenarios import PAIRS, V2_ONLY, V2_PRIMARY, InPlaceTask
from tests.interleaving.running import explore_all
from tests.widening import WIDENING

FULL = WIDENING.full
#: What a call needs at most once nobody else moves: find, compare and set; or the majority, for what is missing.
STEPS_ALONE = 3
#: What only `v2_only` writes needs a process in it, or beside it.
ALONE = ("alone", "alone, V1 changed since", "alone, born in V2")
#: Where a listing by V2's fields finds nothing yet.
UNFILLED = ("V1 only", "V1 with meta")
SOME_OUTSIDE = ("out name", "out tally", "out mail", "out delete", "out insert", "out replace")


def states(phases):
    """The states to begin with; each pair of calls begins in all of them, or without `--full` in one by turns."""
    return [
        state
        for state in states_of("flat")
        if state != "older conversion" and (state not in ALONE or V2_ONLY in phases)
    ]


def is_answered(phases, state, clients):
    """Whether a listing by V2's fields has something to go by: not what other programs have just written."""
    listed = any(name == "list by" for names in clients for name in names)
    outside = any(name.startswith("out") for names in clients for name in names)
    return not (listed and (V2_PRIMARY in phases or V2_ONLY in phases) and (outside or state in UNFILLED))


def tasks(phases, clients, **changes):
    """These clients from each state in each layout. Without `--full`, both take turns."""
    begun = list(product(states(phases), LAYOUTS))
    made = []
    for number, some in enumerate(clients):
        # The layouts differ in where V2's part stands, and not in the steps.
        chosen = begun[number % 2 :: 2] if FULL else [begun[(number * 5 + PAIRS.index(phases)) % len(begun)]]
        made += [
            InPlaceTask(state, some, phases=phases, layout=layout, **changes)
            for state, layout in chosen
            if is_answered(phases, state, some)
        ]
    return made


def single_calls(phases):
    """Any call in one phase beside any in the other."""
    names = NAMES if FULL else SOME
    calls = [
        ((a,), (b,))
        for a, b in product(names, names)
        if not (a in READS and b in READS) and (phases[0] != phases[1] or names.index(a) <= names.index(b))
    ]
    return tasks(phases, calls)


def outside(phases):
    """Any call of the later phase beside each statement of another program, as long as V1's part is the truth."""
    if V2_ONLY in phases or phases[0] != phases[1]:
        return []
    return tasks(
        phases[1:] * 2, [((a,), (b,)) for a, b in product(NAMES if FULL else SOME, OUTSIDE if FULL else SOME_OUTSIDE)]
    )


def two_calls(phases):
    """Two calls in a row beside two of another, and beside a read and another program's statement."""
    writes = ("insert", "update", "note", "delete", "rename")
    some = list(product(writes, repeat=2)) if FULL else [("note", "update"), ("delete", "insert")]
    seen = [("get", "V1 get"), ("V1 get", "get")] if FULL else [("get", "V1 get")]
    clients = [sides for both, reads in product(some, seen) for sides in ((both, reads), (reads, both))]
    if V2_ONLY not in phases:
        clients += [(both, one) for both in some for one in (("out name", "out tally"), ("out delete", "out insert"))]
        clients += [(("get", one), ("out replace", "get")) for one in ("note", "rename")]
    return tasks(phases, clients)


THREE = (
    (("get",), ("note",), ("out name",)),
    (("note",), ("update",), ("out tally",)),
    (("get",), ("delete",), ("out insert",)),
    (("get",), ("V1 update",), ("out replace",)),
)


def three_clients(phases):
    """Two clients of lazymig beside another program, where most of what can cross does."""
    return tasks(phases, THREE if V2_ONLY not in phases and (FULL or phases[0] != phases[1]) else ())


def cancelled(phases):
    """Calls that are cancelled before or after a statement, beside another call or another program."""
    calls = [(("update",), ("note",)), (("get",), ("rename",)), (("delete",), ("insert",))]
    if V2_ONLY not in phases:
        calls += [(("update",), ("out tally",)), (("get",), ("out mail",))]
    return tasks(phases, calls if FULL or phases[0] == phases[1] else calls[:1], cancellations=1)


def test_three_clients():
    """Two clients and another program that meet in one document: each field has an order of its own."""
    explored("three clients in one document", three_clients)


def test_cancellations():
    """A call that is cancelled happened or did not, whatever the statement did that was under way."""
    explored("cancellations in one document", cancelled)


def test_single_calls_side_by_side():
    """Two calls of adjacent phases, with any crash: linearizable, and all doors and phases agree afterwards."""
    explored("calls of two phases in one document", single_calls)


def test_single_calls_beside_other_programs():
    """Whatever another program writes beside a call survives, and is seen by the next read."""
    explored("calls beside other programs in one document", outside)


def test_two_calls_in_a_row():
    """The second call of a client builds on its first one, whatever came between."""
    explored("two calls in a row in one document", two_calls)


def explored(name, make):
    """Explore what is made for each pair of phases, and check that nothing was found and nothing left out."""
    made = {" beside ".join(phases): make(phases) for phases in PAIRS}
    tasks = [task for some in made.values() for task in some]
    reports, report = explore_all(name, tasks)
    for pair, some in made.items():
        print(total(pair, [one for task, one in zip(tasks, reports, strict=True) if task in some]))
    assert not report.violations, report.violations[0]
    assert report.exhaustive
    assert report.alone_steps_max <= STEPS_ALONE
