"""The follower's judging and healing under every interleaving, beside clients and outside programs."""

from itertools import combinations_with_replacement

import pytest

from tests.interleaving import following, repairs
from tests.interleaving.running import visited
from tests.interleaving.subject import NAMES
from tests.widening import WIDENING

pytestmark = pytest.mark.usefixtures("short_waits")
FULL = WIDENING.full
#: The states in which the invariant holds: what was wrong before the follower began is not its matter.
STATES = repairs.SOUND if FULL else ("both clean", "V1 only", "neither", "tombstone", "dirty after V1's step")
WRITES = ("insert", "update", "delete", "V1 insert", "V1 update", "heal")
CALLS = NAMES if FULL else ("get", *WRITES)


@pytest.mark.parametrize("outside", repairs.OUTSIDE)
def test_followed_whatever_crosses(outside):
    """An outside write and a client's call cross, anybody dies, and both sides agree once all events are handled."""
    some = [[[outside], [name]] for name in CALLS]
    visited("followed", [following.scenario(state, clients) for state in STATES for clients in some])


@pytest.mark.parametrize("outside", repairs.OUTSIDE)
def test_followed_meanwhile(outside):
    """The same while the follower handles the events of both."""
    states = STATES if FULL else ("both clean", "V1 only")
    some = [[[outside], [name], ["follow"]] for name in (CALLS if FULL else ("update", "delete"))]
    visited("followed meanwhile", [following.scenario(state, clients) for state in states for clients in some])


def test_own_writes_are_not_counted():
    """Without outside writes the follower takes nothing for another program's, whatever crosses and dies."""
    some = [[[one], [other]] for one, other in combinations_with_replacement(WRITES, 2)]
    visited("own writes", [following.scenario(s, clients, strict=True) for s in STATES for clients in some])
