"""Which actions a page offers now, by what was looked up. The form of each says whether it can be done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from attrs import frozen

from lazymig.phases import Phase
from lazymig.web.snapshot import Snapshot

#: The phases in which the cut-over can be changed.
_BEFORE_V2 = (Phase.V1_ONLY, Phase.PREPARE, Phase.SHADOW, Phase.COEXIST)


@frozen
class Offer:
    """One action, and what its link says."""

    action: str
    label: str


def find_offers(snapshot: Snapshot, *, acts: bool = True) -> Mapping[str, tuple[Offer, ...]]:
    """Return the actions that a page offers, by the names of the panels. Without `acts`, those that only show more."""
    more = Offer("dead-letters", "Dead letters in full")
    if not acts:
        return {"trouble": (more,)}
    offers = {
        "phases": tuple(_find_moves(snapshot)),
        "trouble": (more, *_find_retries(snapshot)),
        "passes": tuple(_find_orders(snapshot)),
    }
    return {panel: found for panel, found in offers.items() if found}


def _find_moves(snapshot: Snapshot) -> Iterator[Offer]:
    found = snapshot.status
    standing = found.fleet.standing
    if standing is None:
        return  # a fixed phase, which only a deploy changes
    if standing.phase is Phase.V2_ONLY:
        yield Offer("retire", f"V1's end{f': {found.retirement}' if found.retirement else ''}")
    else:
        yield Offer("advance", "Advance" if found.plan is None else f"Advance to {found.plan.target}")
    if standing.phase not in (Phase.V1_ONLY, Phase.V2_ONLY):
        yield Offer("rollback", "Roll back")
    if standing.phase in _BEFORE_V2:
        yield Offer("cut-over", "Change the cut-over")
    if standing.hold is not None:
        yield Offer("release", "Release held writes")


def _find_retries(snapshot: Snapshot) -> Iterator[Offer]:
    if snapshot.status.dead_letters:
        yield Offer("retry", "Try all again")


def _find_orders(snapshot: Snapshot) -> Iterator[Offer]:
    paused = [kind for kind, orders in snapshot.status.passes.orders.items() if orders.paused]
    if not snapshot.status.upcasting_only and snapshot.status.phase != Phase.V2_ONLY:
        yield Offer("pause", "Pause")
    if paused:
        yield Offer("resume", "Resume")
    if snapshot.status.passes.running:
        yield Offer("rate", "Set the rate")
