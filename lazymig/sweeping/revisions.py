"""Checking and recording which conversion revision ran, and with which classes."""

from __future__ import annotations

from typing import TypeVar

from lazymig.control import Control, parts_of
from lazymig.protocol.in_place.place import Place
from lazymig.protocol.pair import Pair
from lazymig.shapes.fingerprint import fingerprint

V1 = TypeVar("V1")
V2 = TypeVar("V2")


async def find_warnings(ground: Pair[V1, V2] | Place[V1, V2], control: Control) -> list[str]:
    """Return what is wrong with this release's conversion revision, by what the control collection recorded."""
    migration = ground.conversions.migration
    known = await parts_of(control).conversions.find(migration.name)
    if known is None:
        return []
    if known.revision > migration.revision:
        return [
            f"a release with conversion revision {known.revision} has run; this one has {migration.revision} and is "
            "older: deploy the newer one, or raise Migration(revision=...) above it"
        ]
    if known.revision == migration.revision and known.fingerprint != fingerprint(ground.conversions):
        return [
            f"the classes have changed, but Migration(revision={migration.revision}) has not: raise it, so that V2's "
            "older bodies are converted again"
        ]
    return []


async def remember_revision(ground: Pair[V1, V2] | Place[V1, V2], control: Control) -> None:
    """Record that this revision runs with these classes, unless it or a newer one is recorded."""
    migration = ground.conversions.migration
    await parts_of(control).conversions.remember(migration.name, migration.revision, fingerprint(ground.conversions))
