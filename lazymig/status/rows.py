"""The headline and the counts of `lazymig status`, by names and in words, for a terminal and for a page."""

from __future__ import annotations

from lazymig.measuring.in_place import PlaceHoldings
from lazymig.status.looking import Status
from lazymig.status.versions import describe_versions


def describe_headline(found: Status) -> str:
    """Return where the migration stands, in half a sentence."""
    if found.upcasting_only:
        return (
            f"{found.migration}: phase {found.phase}, one collection whose documents are brought up when they are read"
        )
    return f"{found.migration}: phase {found.phase}, {describe_migrated(found)} migrated"


def describe_migrated(found: Status) -> str:
    """Return the share that is migrated in percent, rounded down: 100 % is all."""
    return f"{int(found.share * 1000) / 10} %"


def describe_share(found: Status) -> str:
    """Return how many entities V2 has, of how many."""
    return f"{found.v2.live:,} of {found.to_move:,}"


def count_rows(found: Status) -> dict[str, str]:
    """Return what is counted, by names."""
    if found.upcasting_only:
        return holding_rows(found)
    return {**holding_rows(found), **moved_rows(found), **conversion_rows(found)}


def holding_rows(found: Status) -> dict[str, str]:
    """Return what the collections hold."""
    if found.upcasting_only:
        return {"documents": f"{found.v1:,}", **version_rows(found)}
    return _both_collections(found) if found.place is None else _one_document(found, found.place)


def moved_rows(found: Status) -> dict[str, str]:
    """Return what moved the entities that V2 has."""
    by, about = found.moved_by, "about " if found.moved_by.estimated else ""
    return {
        "moved by reads": f"{about}{by.read:,}",
        "moved by writes": f"{about}{by.write:,}",
        "moved by sweeps": f"{about}{by.sweep:,}",
        **({"moved by unknown": f"{about}{by.unknown:,}"} if by.unknown else {}),
    }


def conversion_rows(found: Status) -> dict[str, str]:
    """Return how many entities of V2 each revision of the conversion made."""
    about = "about " if found.moved_by.estimated else ""
    return {f"conversion revision {conv}": f"{about}{count:,}" for conv, count in found.conversions.items()}


def version_rows(found: Status, prefix: str = "") -> dict[str, str]:
    """Return how many documents of V1 each version has; nothing where they have none."""
    versions = {} if found.versions is None else describe_versions(found.versions)
    return {f"{prefix}{name}": value for name, value in versions.items()}


def unmoved_rows(found: Status) -> dict[str, str]:
    """Return the entities of V1 to which `upgrade` gives no body, where there are some."""
    counts = {"waiting for users": found.v2.waiting, "not taken over": found.v2.left}
    return {name: f"{count:,}" for name, count in counts.items() if count}


def _both_collections(found: Status) -> dict[str, str]:
    return {
        "V1 entities": f"{found.v1:,}",
        **version_rows(found, "V1 "),
        "V2 clean": f"{found.v2.clean:,}",
        "V2 dirty (open writes)": f"{found.v2.dirty:,}",
        "V2 placeholders": f"{found.v2.placeholders:,}",
        "V2 tombstones": f"{found.v2.tombstones:,}",
        **unmoved_rows(found),
        "remaining, about": f"{found.remaining:,}",
        "open dead letters": f"{found.dead_letters:,}",
    }


def _one_document(found: Status, held: PlaceHoldings) -> dict[str, str]:
    about, stale = "about " if held.estimated else "", found.stale
    behind = "" if stale is None else f"{'about ' if stale.estimated else ''}{stale.count:,}"
    return {
        "documents": f"{found.v1:,}",
        **version_rows(found, "V1 "),
        "with a V2 part": f"{about}{held.filled:,}",
        **({"V2 part behind V1": behind} if stale is not None and stale.count else {}),
        **({"V2 part is the truth": f"{about}{held.alone:,}"} if held.alone else {}),
        **unmoved_rows(found),
        "remaining, about": f"{found.remaining:,}",
        "open dead letters": f"{found.dead_letters:,}",
    }
