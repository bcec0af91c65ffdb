"""The panel of the conversions: which revision made what V2 holds, and which versions V1's documents have."""

from __future__ import annotations

from attrs import frozen

from lazymig.status.rows import conversion_rows, version_rows
from lazymig.status.versions import describe_deletable
from lazymig.web.snapshot import Snapshot
from lazymig.web.view.parts import Facts


@frozen
class ConversionsView:
    """The panel's text."""

    revisions: Facts
    versions: Facts
    sentences: tuple[str, ...]


def view_conversions(snapshot: Snapshot) -> ConversionsView:
    """Return what the panel of the conversions shows."""
    found = snapshot.status
    revisions = {} if found.upcasting_only else conversion_rows(found)
    sentences = [] if found.versions is None else [describe_deletable(found.versions)]
    if not (revisions or found.versions):
        sentences = ["V2 holds nothing yet."]
    return ConversionsView(revisions, version_rows(found), tuple(sentences))
