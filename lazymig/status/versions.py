"""The versions of V1's documents, and which upcasters may be deleted, in words."""

from __future__ import annotations

from lazymig.sweeping.versions import Versions


def describe_versions(versions: Versions) -> dict[str, str]:
    """Return one row for each version, older ones first."""
    about = "about " if versions.estimated else ""
    return {_name(versions, label): f"{about}{count:,}" for label, count in versions.counts.items()}


def _name(versions: Versions, label: str) -> str:
    if label == "missing":
        return f"without {versions.field}"
    newest = " (newest)" if label == str(versions.newest) else ""
    return f"{versions.field} {label}{newest}"


def describe_deletable(versions: Versions) -> str:
    """Return the sentence on the upcasters that no document needs any more."""
    if versions.estimated:
        return "Whether an upcaster may be deleted: lazymig status --exact counts every document."
    if not versions.deletable:
        return "No upcaster may be deleted yet."
    named = ", ".join(map(str, versions.deletable))
    one = len(versions.deletable) == 1
    return (
        f"The upcaster{'' if one else 's'} of version{'' if one else 's'} {named} may be deleted once no older release "
        f"can run again: no document has {'it' if one else 'one of them'}."
    )
