"""What the last verification proves, and what it cannot exclude: the sentences of docs/how-to/verify.md."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from lazymig.control import RunRecord
from lazymig.status.recorded import Verified

#: What an agreeing entity means, whatever part was compared.
_AGREED = (
    "An entity that agrees at one look, at one revision, agrees.",
    "Both sides are read with read concern majority, so what agreed cannot be rolled back.",
)
_BOTH_WAYS = "V1 upgraded must be V2's body, and V2 downgraded must be V1's document."
_TYPES = "Types count: an int64 is no int32."
#: What no comparison by the conversions can see.
_BLIND = (
    "A mistake that both conversions share passes both checks.",
    "Fields of V1 that its class does not know are left out.",
)
_SAMPLE = "Only a full verification finds a single entity."
_STOPPED = "It failed, or was stopped before its end: nothing is proven."
_ONE_WAY = "It compared by upgrade only: what upgrade loses or distorts was not looked for."
_PART = "It was not about all entities: it says nothing about the others."
_SINCE = "If something was changed since, run it once more."


@frozen
class Proof:
    """What a verification proves, in sentences.

    Attributes:
        statement: What it says about all entities, as it was recorded.
        excludes: What it excludes.
        leaves: What it cannot exclude.
    """

    statement: tuple[str, ...]
    excludes: tuple[str, ...]
    leaves: tuple[str, ...]


def describe_proof(found: Verified) -> Proof:
    """Return what the last verification proves."""
    run = found.last
    if run is None:
        return Proof((), (), ())
    statement = tuple(f"{text[0].upper()}{text[1:].removesuffix('.')}." for text in run.remarks if text)
    if not run.finished:
        return Proof(statement, (), (_STOPPED,))
    return Proof(statement, tuple(_find_excluded(run)), tuple(_find_left(run)))


def _find_excluded(run: RunRecord) -> Iterator[str]:
    yield from _AGREED
    if not run.counts.get("upgrade_only"):
        yield _BOTH_WAYS
    yield _TYPES


def _find_left(run: RunRecord) -> Iterator[str]:
    yield from _BLIND
    if run.counts.get("upgrade_only"):
        yield _ONE_WAY
    if run.counts.get("sample"):
        yield _SAMPLE
    if run.counts.get("filtered") or run.counts.get("sharded"):
        yield _PART
    yield _SINCE
