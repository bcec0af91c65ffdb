"""The gate that judges whether other programs still write V1's fields: from `v2_only` on, that would be ignored."""

from __future__ import annotations

from datetime import timedelta

from lazymig.control.watching import Watched
from lazymig.switching.case import AnyCase
from lazymig.switching.plan import Gate, cannot_check, closes, opens
from lazymig.switching.proofs import find_proof

_NAME = "outside-writes"
#: How long ago the watch may have looked last.
_SEEN = timedelta(minutes=10)


async def outside_writes(case: AnyCase) -> Gate:
    """No other program has written V1's fields since the last verification began, as a watch has seen.

    Fingerprints show what was written before that, and the verification has found that all fit.
    """
    watched, proof = await case.parts.watching(case.name).find_watched(), await find_proof(case)
    since = case.since if proof is None else proof.began_at
    # Each process of a shared verification records what it found itself.
    runs = [] if proof is None else [run for run in await case.runs() if run.pass_began_at == proof.began_at]
    if behind := sum(run.counts.get("behind", 0) for run in runs):
        return closes(
            _NAME, f"the last verification found {behind:,} V2 parts that another program's writes of V1's fields had "
            "left behind", "stop that program, sweep, and verify again",
        )  # fmt: skip
    if watched is None or watched.seen_at is None:
        return cannot_check(
            _NAME, "nobody watches V1's fields, so nothing shows whether another program writes them",
            "run lazymig retire watch beside the service and verify again, or make sure that none does and accept it",
        )  # fmt: skip
    if watched.last_change is not None and watched.last_change >= since:
        return closes(
            _NAME, f"another program writes V1's fields: {_count(watched)}, last at {watched.last_change:%H:%M:%S} UTC",
            "stop that program, and verify again",
        )  # fmt: skip
    if case.clock.now() - watched.seen_at > _SEEN:
        return cannot_check(
            _NAME, f"nobody has watched V1's fields since {watched.seen_at:%Y-%m-%d %H:%M} UTC",
            "run lazymig retire watch beside the service and verify again, or make sure that none does and accept it",
        )  # fmt: skip
    if watched.since > since:
        return cannot_check(
            _NAME, f"the watch on V1's fields began at {watched.since:%H:%M:%S} UTC, after the last verification did",
            "verify again while lazymig retire watch runs, or make sure that no program writes them and accept it",
        )  # fmt: skip
    return opens(_NAME, f"watched since {watched.since:%Y-%m-%d %H:%M} UTC: none since the last verification began")


def _count(watched: Watched) -> str:
    return f"{sum(watched.changes.values()):,} times in all"
