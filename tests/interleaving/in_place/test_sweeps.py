"""Sweeps of documents with both shapes: beside clients in the same and in the next phase, and other programs."""

from itertools import product

from tests.interleaving.in_place.clients import NAMES, OUTSIDE, SOME
from tests.interleaving.in_place.scenarios import PAIRS, V1_ONLY, V2_ONLY, InPlaceTask
from tests.interleaving.in_place.test_pairs import FULL, LAYOUTS, SOME_OUTSIDE, explored, is_answered, states

#: What a sweep runs in, and beside.
SWEPT = tuple((first, second) for first, second in PAIRS if first not in (V1_ONLY, V2_ONLY))


#: Writes that lead through statements of their own.
_WRITES = ("insert", "update", "note", "delete", "rename")


def tasks(phases):
    """A sweep beside a call, beside two of a client, beside another program, and beside both."""
    names = NAMES if FULL else SOME
    outside = () if V2_ONLY in phases else (OUTSIDE if FULL else SOME_OUTSIDE)
    clients = [(("sweep",), (name,)) for name in (*names, *outside)]
    clients += [(("sweep",), both) for both in (product(_WRITES, _WRITES) if FULL else [("delete", "insert")])]
    clients += [(("sweep",), (name,), (other,)) for name in ("note", "V1 update") for other in outside[:1]]
    clients += [(("sweep",), ("sweep",))]
    begun = list(product(states(phases), LAYOUTS))
    made = []
    for number, some in enumerate(clients):
        chosen = begun if FULL else [begun[(number * 5 + PAIRS.index(phases)) % len(begun)]]
        made += [
            InPlaceTask(state, some, phases=phases, layout=layout)
            for state, layout in chosen
            if is_answered(phases, state, some)
        ]
    return made


def test_sweeps_beside_everybody():
    """A sweep loses nobody's write and leaves nothing that answers wrongly, whatever comes between, with any crash."""
    explored("sweeps in one document", lambda phases: tasks(phases) if phases in SWEPT else [])
