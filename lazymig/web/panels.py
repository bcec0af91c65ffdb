"""The panels of a page as HTML: rendered once per snapshot, for all who watch."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from attrs import define, field

from lazymig.web.paths import Paths
from lazymig.web.snapshot import Snapshot

#: Renders the panels of a snapshot, by their names.
Render = Callable[[Snapshot, Paths], Mapping[str, str]]
#: For how many mounts of one application the panels are kept: their links differ.
_MOUNTS = 4


@define(eq=False)
class Panels:
    """The panels of the newest snapshot."""

    render: Render
    _snapshot: Snapshot | None = field(default=None, init=False)
    _rendered: dict[Paths, Mapping[str, str]] = field(factory=dict, init=False)

    def of(self, snapshot: Snapshot, paths: Paths) -> Mapping[str, str]:
        """Return a snapshot's panels by their names, as HTML."""
        if snapshot is not self._snapshot or len(self._rendered) >= _MOUNTS:
            self._snapshot, self._rendered = snapshot, {}
        if paths not in self._rendered:
            self._rendered[paths] = self.render(snapshot, paths)
        return self._rendered[paths]
