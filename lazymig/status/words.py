"""What `lazymig status` says, in words: the phase, the fleet, what runs, and what follows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from lazymig.control import Running, RunRecord, Standing, Steering
from lazymig.phases import Phase
from lazymig.status.looking import Status
from lazymig.status.next_step import find_next_step
from lazymig.status.recorded import Fleet, Verified
from lazymig.stores.verdicts import Verdict
from lazymig.switch import Gate

#: What each verdict of a comparison means that is none of agreement.
VERDICTS = {
    Verdict.MISSING: "in V1, not in V2",
    Verdict.STALE: "V2 is of another revision or conversion",
    Verdict.DIFFERENT: "of one revision, and they do not agree",
    Verdict.ORPHAN: "in V2, not in V1",
    Verdict.DIRTY: "a write was announced and is not finished",
    Verdict.UNKNOWN: "could not be compared",
}
_GATE_STATES = {"open": "ok", "closed": "closed", "unknown": "unknown"}
_MEANINGS = {
    Phase.V1_ONLY: "V1 alone is read and written; V2 is not used.",
    Phase.PREPARE: "V1 answers; writes announce themselves in V2, and nothing else is put there.",
    Phase.SHADOW: "V1 answers; V2 is filled by reads, writes and sweeps, and can be compared.",
    Phase.COEXIST: "V2 answers first, filled from V1, which stays the source of truth.",
    Phase.V2_PRIMARY: "V2 answers, lists and counts; V1 is kept exact, so that you can go back.",
    Phase.V2_ONLY: "V2 alone is read and written; V1 grows stale, and there is no way back.",
}
#: How many processes are named that have not acknowledged an epoch.
_NAMED = 3
#: How many gates are shown that block the next step.
_GATES = 4


def describe_phase(phase: str) -> str:
    """Return what a phase means, in a sentence."""
    return _MEANINGS[Phase(phase)]


def describe_age(at: datetime, now: datetime) -> str:
    """Return how long ago something was, in one unit."""
    elapsed_s = max((now - at).total_seconds(), 0.0)
    for unit, seconds in (("d", 86_400), ("h", 3600), ("min", 60)):
        if elapsed_s >= 2 * seconds:
            return f"{elapsed_s / seconds:,.0f} {unit} ago"
    return f"{elapsed_s:,.0f} s ago"


def describe_fleet(fleet: Fleet, now: datetime) -> Iterator[str]:
    """Yield since when the recorded phase holds, and which processes follow it; nothing without a record."""
    yield from describe_since(fleet, now)
    yield from describe_members(fleet, now)


def describe_since(fleet: Fleet, now: datetime) -> Iterator[str]:
    """Yield since when the recorded phase holds, who moved it there and why; nothing without a record."""
    if fleet.standing is not None:
        moved = fleet.standing.last
        why = f": {moved.why}" if moved.why else ""
        yield f"Phase since {describe_moment(moved.at)} ({describe_age(moved.at, now)}), by {moved.by}{why}"


def describe_members(fleet: Fleet, now: datetime) -> Iterator[str]:
    """Yield which processes follow the record, and what ends a hold that was left; nothing without a record."""
    standing = fleet.standing
    if standing is None:
        return
    yield _describe_followers(fleet, standing, now)
    if standing.hold is not None:
        yield "A step is at work, or was cut off. If nobody is at it, lazymig phase release lets writes go on."


def _describe_followers(fleet: Fleet, standing: Standing, now: datetime) -> str:
    behind, count = fleet.behind, len(fleet.members)
    held = {"announced": "; writes will be held", "writes": "; writes are held"}.get(standing.hold or "", "")
    processes = f"{count:,} process{'' if count == 1 else 'es'}"
    if not count:
        return f"Fleet: no process has joined; the record is at epoch {standing.epoch}{held}"
    if not behind:
        return f"Fleet: {processes}, all at epoch {standing.epoch}{held}"
    named = ", ".join(
        f"{one.name} (epoch {one.epoch}, seen {describe_age(one.seen_at, now)})" for one in behind[:_NAMED]
    )
    more = f" and {len(behind) - _NAMED:,} more" if len(behind) > _NAMED else ""
    return f"Fleet: {processes}, epoch {standing.epoch}{held}; not there yet: {named}{more}"


def describe_passes(found: Status) -> Iterator[str]:
    """Yield each kind of pass that is paused, and each process that runs one."""
    yield from describe_pauses(found)
    for one in found.passes.running:
        yield describe_running(one)


def describe_pauses(found: Status) -> Iterator[str]:
    """Yield each kind of pass that is paused."""
    for kind, orders in found.passes.orders.items():
        if orders.paused:
            yield f"{kind} is paused {describe_pause(orders)}. lazymig {kind} resume goes on."


def describe_pause(standing: Steering) -> str:
    """Return who paused a kind of pass, when and why."""
    reason = f": {standing.reason}" if standing.reason else ""
    since = f" since {describe_moment(standing.paused_at)}" if standing.paused_at is not None else ""
    return f"by {standing.paused_by or 'somebody'}{since}{reason}"


def describe_running(one: Running) -> str:
    """Return what one process reports of its pass."""
    limit = f", at most {one.rate:,.0f}" if one.rate is not None else ""
    batches = "batch" if one.concurrency == 1 else "batches"
    flight = "" if one.batch is None else f", {one.concurrency:,} {batches} of {one.batch:,} at a time"
    state = describe_state(one)
    return f"{one.kind} by {one.process}: {one.per_s:,.0f}/s{limit}{flight}, {one.done:,} done" + (
        f"; {state}" if state else ""
    )


def describe_state(one: Running) -> str:
    """Return what stops or slows a process; empty where nothing does."""
    return "paused" if one.paused else f"going slowly: {one.throttle}" if one.throttle else ""


def describe_last_sweep(run: RunRecord, now: datetime) -> str:
    """Return when the last sweep ended, and what it moved."""
    ended = "finished" if run.finished else "stopped early"
    part = "of a filter, " if run.counts.get("filtered") else ""
    moved = run.counts.get("migrated", 0) + run.counts.get("rewritten", 0)
    at = f"{describe_moment(run.ended_at)} ({describe_age(run.ended_at, now)})"
    return f"Last sweep: {at}, {ended}, {part}{moved:,} moved"


def describe_verified(found: Verified) -> Iterator[str]:
    """Yield what the last verification was, and what does not agree."""
    last = found.last
    if last is not None:
        yield f"Last verification: {describe_moment(last.ended_at)}, {_describe_extent(last)}"
    if found.mismatches:
        counts = ", ".join(f"{count:,} {verdict}" for verdict, count in found.mismatches.items())
        since = f", the oldest found at {describe_moment(found.oldest)}" if found.oldest is not None else ""
        yield f"V1 and V2 do not agree: {counts}{since}. lazymig verify says where."


def describe_dark_log(found: Status) -> Iterator[str]:
    """Yield how many mismatches the log of dark reads holds, if any."""
    log = found.dark_reads
    if log.oldest is not None:
        yield f"In the log of dark reads: {log.mismatches:,}, the oldest found at {describe_moment(log.oldest)}"


def describe_warnings(found: Status) -> Iterator[str]:
    """Yield what is wrong, and what could not be checked."""
    for warning in (*found.warnings, *found.foreign):
        yield f"Warning: {warning}"
    for what in found.unseen:
        yield f"Not checked (this user or this server does not allow it): {what}"


def describe_next(found: Status) -> Iterator[str]:
    """Yield the next step and what still blocks it."""
    step = find_next_step(found)
    if step is None:
        return
    if not step.blocked_by:
        yield f"Next: {step.what}"
    elif found.plan is None:
        yield f"Next: {step.what}; blocked by {', '.join(step.blocked_by)}"
    else:
        yield f"Next: {step.what}; blocked by {len(step.blocked_by):,} of {len(found.plan.gates):,} conditions:"
        yield from (f"  {gate}" for gate in step.blocked_by[:_GATES])
        if len(step.blocked_by) > _GATES:
            yield f"  and {len(step.blocked_by) - _GATES:,} more: lazymig phase show"


def _describe_extent(run: RunRecord) -> str:
    compared = f"{run.counts.get('compared', 0):,} entities compared"
    if not run.finished:
        return f"stopped early, {compared}"
    parts = {
        "sample": "a sample, ", "filtered": "of a filter, ", "sharded": "other shards not done, ",
        "upgrade_only": "by a follower, upgrade only, ",
    }  # fmt: skip
    partly = "".join(text for name, text in parts.items() if run.counts.get(name))
    return f"finished, {partly}{compared}, {run.counts.get('match', 0):,} agreed"


def describe_moment(moment: datetime) -> str:
    """Return a time as all outputs show it."""
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def describe_counts(run: RunRecord) -> str:
    """Return what a run counted, without what it never met."""
    return ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in run.counts.items() if count)


def describe_gate(gate: Gate) -> str:
    """Return in a word whether a condition of a step is met."""
    return "accepted" if gate.accepted else _GATE_STATES[gate.state]
