"""All panels of a page as HTML, by their names: rendered once per snapshot, and the same for everybody."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from lazymig.web.paths import Paths
from lazymig.web.rendering import render
from lazymig.web.snapshot import Snapshot
from lazymig.web.view.conversions import view_conversions
from lazymig.web.view.errand import view_errand
from lazymig.web.view.fleet import view_fleet
from lazymig.web.view.history import view_history
from lazymig.web.view.now import view_now
from lazymig.web.view.passes import view_passes
from lazymig.web.view.phases import view_phases
from lazymig.web.view.progress import view_progress
from lazymig.web.view.trouble import view_trouble
from lazymig.web.view.verification import view_verification


class Offered(Protocol):
    """An action that a panel offers."""

    @property
    def action(self) -> str:
        """What stands in the path of the action."""

    @property
    def label(self) -> str:
        """What the link says."""


#: What makes each panel's view, in the order in which a page shows them.
_VIEWS: Final[Mapping[str, Callable[[Snapshot], object]]] = {
    "now": view_now,
    "errand": view_errand,
    "phases": view_phases,
    "progress": view_progress,
    "trouble": view_trouble,
    "verification": view_verification,
    "conversions": view_conversions,
    "passes": view_passes,
    "fleet": view_fleet,
    "history": view_history,
}
#: The names of all panels.
PANELS: Final = tuple(_VIEWS)


def render_panels(
    snapshot: Snapshot, paths: Paths | None = None, offers: Mapping[str, Sequence[Offered]] | None = None
) -> dict[str, str]:
    """Return each panel's HTML by its name.

    Args:
        snapshot: What is shown.
        paths: Where the actions are; None where there are none, as in a report.
        offers: What each panel offers to do; nothing where the page only reads.
    """
    return {name: _render_panel(name, snapshot, (offers or {}).get(name, ()), paths) for name in PANELS}


def _render_panel(name: str, snapshot: Snapshot, offers: Sequence[Offered], paths: Paths | None) -> str:
    linked = [] if paths is None else [(one.action, one.label, paths.action(one.action)) for one in offers]
    return render(f"panels/{name}.html", view=_VIEWS[name](snapshot), panel=name, actions=linked)
