"""What `lazymig status --json` prints."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from lazymig.status.follower import follower_object
from lazymig.status.ids import Names
from lazymig.status.letters import as_object
from lazymig.status.looking import Status
from lazymig.status.next_step import find_next_step
from lazymig.status.words import describe_phase

#: What no program gets: what the present look needs to know at the next one, and what has another name there.
_INSIDE = ("facts", "upcasting_only")


def object_of(found: Status) -> Mapping[str, object]:
    """Return everything that was looked up, for a program."""
    letters = [as_object(letter, Names([letter.id])) for letter in found.letters]
    step = find_next_step(found)
    return {
        **attrs.asdict(found, filter=lambda attribute, _: attribute.name not in _INSIDE),
        "alone": found.upcasting_only,
        "follower": None if found.follower is None else follower_object(found.follower, found.at),
        "meaning": describe_phase(found.phase),
        "letters": letters,
        "remaining": found.remaining,
        "share": int(found.share * 10_000) / 10_000,
        "behind": [member.name for member in found.fleet.behind],
        "next": None if step is None else attrs.asdict(step),
    }
