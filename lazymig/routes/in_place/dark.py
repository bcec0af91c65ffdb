"""Dark reads where one document carries both shapes: a caller's own read finds both sides, and nothing else is sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from lazymig.dark.contests import Side
from lazymig.dark.figures import Figures
from lazymig.dark.notes import take_whole_notes
from lazymig.dark.settings import DarkReads
from lazymig.dark.watch import Watch
from lazymig.errors import ConfigurationError
from lazymig.phases import Phase
from lazymig.protocol.in_place.place import Place
from lazymig.routes.dark import Dark
from lazymig.routes.route import Route

V1 = TypeVar("V1")
V2 = TypeVar("V2")


def check_dark(dark: DarkReads | None) -> None:
    """Raise `ConfigurationError` for dark reads that are impossible in this layout."""
    if dark is not None and dark.aa:
        raise ConfigurationError(
            "dark_reads: aa compares two reads of V1, and in one document a single read finds both sides, so there is "
            "no noise between two; leave aa out"
        )


def find_incomparable(phase: Phase, control: Route[V1, V2], dark: DarkReads) -> str:
    """Return why no dark reads are possible in this phase; an empty text where they are."""
    if not control.keeps_v1:
        return f"dark_reads: in the phase {phase} V1's part is not kept, so there is nothing to compare with"
    if not control.fills_v2:
        return f"dark_reads: in the phase {phase} no V2 part is stored; begin dark reads in Phase.SHADOW"
    if phase is Phase.V2_PRIMARY and dark.serve == "v1":
        return f'dark_reads: in the phase {phase} V2 answers; pass DarkReads(serve="v2"), or go back to Phase.COEXIST'
    return ""


def build_watched(
    place: Place[V1, V2],
    build: Callable[[Place[V1, V2]], Route[V1, V2]],
    watch: Watch[V1, V2],
    figures: Figures | None = None,
) -> Dark[V1, V2]:
    """Return the route that answers, with dark reads around it."""
    control = build(place)
    candidate: Side = "v1" if control.serves_v2 else "v2"
    return Dark(control, lambda notes: build(take_whole_notes(place, notes)), place.clock, watch, candidate, figures)
