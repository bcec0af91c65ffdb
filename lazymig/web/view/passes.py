"""The panel of what runs: sweeps, verifications and the follower, and what slows or stops them."""

from __future__ import annotations

from attrs import frozen

from lazymig.control import Running
from lazymig.status.follower import follower_rows
from lazymig.status.looking import Status
from lazymig.status.words import describe_age, describe_last_sweep, describe_pauses, describe_state
from lazymig.web.snapshot import Snapshot
from lazymig.web.view.parts import Facts, Table, make_table


@frozen
class PassesView:
    """The panel's text."""

    #: Who has paused what, and why.
    pauses: tuple[str, ...]
    sentences: tuple[str, ...]
    running: Table | None
    follower: Facts


def view_passes(snapshot: Snapshot) -> PassesView:
    """Return what the panel of the passes shows."""
    found = snapshot.status
    sentences = [] if found.passes.running else ["Nothing is running."]
    sentences += [describe_last_sweep(found.runs[0], found.at)] if found.runs else []
    follower = {} if found.follower is None else follower_rows(found.follower, found.at)
    return PassesView(tuple(describe_pauses(found)), tuple(sentences), _table_running(found), follower)


def _table_running(found: Status) -> Table | None:
    columns = "pass | ~process | #per second | #at most | in flight | #done | began | ~state"
    return make_table("What runs", columns, [_make_row(found, one) for one in found.passes.running])


def _make_row(found: Status, one: Running) -> tuple[str, ...]:
    return (
        one.kind, one.process, f"{one.per_s:,.0f}", "" if one.rate is None else f"{one.rate:,.0f}",
        "" if one.batch is None else f"{one.concurrency:,} of {one.batch:,}", f"{one.done:,}",
        describe_age(one.since, found.at), describe_state(one) or "ok",
    )  # fmt: skip
