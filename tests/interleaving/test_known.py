"""What a writer knows of V2's document by its intent, and by its revision: nothing else need be looked at.

`--full` begins in more states.
"""

from itertools import combinations_with_replacement

import pytest

from tests.interleaving import known, lives
from tests.interleaving.running import check_killed, check_shown, visited
from tests.widening import WIDENING

pytestmark = pytest.mark.usefixtures("short_waits")
WRITES = ("insert", "update", "delete", "heal", "V1 insert")


def clients():
    """Any two writes, each beside an insert that V1 refuses, and more of them in a row."""
    pairs = [[[one], [other]] for one, other in combinations_with_replacement(WRITES, 2)]
    refused = [[[one], ["refused insert"]] for one in (*WRITES, "get")]
    rows = [[["update"], ["insert", "update"]], [["update"], ["delete", "refused insert"]]]
    return [*pairs, *refused, *rows]


def test_an_intent_that_stands_remembers_no_other_insert(monkeypatch):
    """A writer that finds the intent as it announced it drops no insert that it does not know of."""
    known.watch(monkeypatch)
    states = lives.STATES if WIDENING.full else known.STATES
    visited("what writers know", [known.scenario(state, some) for state in states for some in clients()])


def test_an_insert_that_stays_remembered_would_be_dropped(monkeypatch):
    """An insert that is not forgotten with its announcement is dropped, and that is found."""
    known.watch(monkeypatch)
    check_killed(known.LASTING, monkeypatch)


def test_a_tombstone_without_the_revision_is_killed(monkeypatch):
    """A delete that looks at its announcement alone buries an entity that a lower ticket brought."""
    check_killed(known.BURIED, monkeypatch)


def test_such_a_tombstone_shows_to_clients(monkeypatch):
    """A listing by V2 misses that entity."""
    known.BURIED.spoil(monkeypatch)
    check_shown(known.BURIED)
