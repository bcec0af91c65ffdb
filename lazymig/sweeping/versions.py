"""How many of V1's documents have which version, and which upcasters no document needs any more."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from lazymig.measuring.holdings import SAMPLE, SMALL, scaled
from lazymig.shapes.upcasting import Upcasters
from lazymig.stores.counts import Counts


@frozen
class Versions:
    """V1's documents by their version.

    Attributes:
        field: The field that holds the version.
        newest: The version that every write stores.
        counts: Documents by version, such as "1" and "2"; "missing" for those without the field, and the name of a
            BSON type for those whose field holds no version.
        estimated: Whether they were counted in a sample.
        deletable: The versions whose upcasters no document needs. Known from an exact count only.
    """

    field: str
    newest: int
    counts: Mapping[str, int]
    estimated: bool
    deletable: tuple[int, ...] = ()


async def count_versions(v1: Counts, chain: Upcasters, *, exact: bool) -> Versions:
    """Count V1's documents by version: all if they are few or with `exact`, else in a sample."""
    total = await v1.count_all(exact=exact)
    sample = SAMPLE if not exact and total > SMALL else 0
    found = await v1.count_by_version(chain.field, sample=sample)
    counts = scaled(found, total) if sample else found
    # Documents without the field are usually the oldest; what is no version comes last.
    ordered = sorted(counts.items(), key=lambda item: (item[0] != "missing", isinstance(item[0], str), item[0]))
    named = {str(version): count for version, count in ordered}
    return Versions(chain.field, chain.newest, named, sample > 0, () if sample else _find_deletable(chain, found))


def _find_deletable(chain: Upcasters, counts: Mapping[int | str, int]) -> tuple[int, ...]:
    """Return the versions from the oldest on that no document has; a missing field counts as the version it means."""
    needed = {version for version, count in counts.items() if count and isinstance(version, int)}
    if counts.get("missing") and chain.missing is not None:
        needed.add(chain.missing)
    first = min((version for version in needed if version >= chain.oldest), default=chain.newest)
    return tuple(version for version in chain.steps if version < first)
