"""Checks of the servers: their version and topology, clusters, concerns and clocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lazymig.diagnosis.facts import SideFacts
from lazymig.diagnosis.findings import Finding, blocks, notes, passes, warns

#: Servers below the first are too old; those below the second cannot check some rules beforehand.
_OLDEST, _FULL = (4, 4), (6, 0)
#: Data members of a replica set with an arbiter of which one may fail without stopping majority writes.
_DATA_MEMBERS = 3
#: Seconds by which clocks may differ: a lease of a sweep lasts twenty, and the grace period an hour.
_SKEW_NOTED_S, _SKEW_S = 1.0, 5.0


def check_versions(facts: Sequence[SideFacts]) -> Iterator[Finding]:
    """Judge the servers' versions."""
    check = "server version"
    for one in facts:
        if not one.version:
            continue
        text = f"{one.side}: MongoDB {'.'.join(map(str, one.version))}"
        if one.version[:2] < _OLDEST:
            yield blocks(check, text, "upgrade the server to 4.4 at least; 6.0 or later is better")
        elif one.version[:2] < _FULL:
            yield notes(
                check, f"{text}, which cannot evaluate validators and partial indexes beforehand",
                "before you start, insert {_id: ..., _lazymig: {rev: -1, intent: 1, gone: true}} into a copy of V2",
            )  # fmt: skip
        else:
            yield passes(check, text)


def check_topology(facts: Sequence[SideFacts]) -> Iterator[Finding]:
    """Judge whether the server keeps what a majority has acknowledged."""
    check = "topology"
    for one in facts:
        if one.in_memory:
            yield notes(check, f"{one.side}: in memory, where nothing about a server can be checked")
        elif one.is_sharded:
            yield passes(check, f"{one.side}: a sharded cluster")
        elif not one.set_name:
            yield warns(
                check, f"{one.side}: a standalone server: no majority outlives it, and there are no change streams",
                "in production, run it as a replica set; the follower and transactions need one",
            )  # fmt: skip
        else:
            yield from _check_set(one)


def _check_set(one: SideFacts) -> Iterator[Finding]:
    check, arbiters = "topology", len(one.seen.hello.get("arbiters", ()))
    text = f"{one.side}: replica set {one.set_name}; members that hold data: {one.data_members}"
    if arbiters:
        text += f", arbiters: {arbiters}"
    if arbiters and one.data_members < _DATA_MEMBERS:
        yield warns(
            check, f"{text}. While one member with data is down, no majority acknowledges, and every write waits",
            "replace the arbiter by a member that holds data",
        )  # fmt: skip
    elif one.data_members == 1:
        yield notes(check, f"{text}, so there is no other copy", "run three members in production")
    else:
        yield passes(check, text)
    if one.seen.direct:
        yield warns(
            check, f"{one.side}: the client is connected to one member directly; after a step-down every call fails",
            "leave directConnection=true out, and name the replica set in the connection string",
        )  # fmt: skip


def check_clusters(v1: SideFacts, v2: SideFacts, *, same_client: bool) -> Iterator[Finding]:
    """Judge whether a transaction can span both collections."""
    if v1.in_memory or v2.in_memory:
        return
    check = "clusters"
    apart = (v1.set_name, _members(v1)) != (v2.set_name, _members(v2))
    if apart:
        yield notes(
            check, "v1 and v2 are on different servers, so no transaction spans both",
            "lazymig needs none; do not use with_session, and back both up from the same moment",
        )  # fmt: skip
    elif not same_client:
        yield notes(
            check, "v1 and v2 are on one server and belong to two clients, so no session serves both",
            "take both collections from one client if you want to use with_session",
        )  # fmt: skip
    elif not v1.set_name and not v1.is_sharded:
        yield notes(check, "v1 and v2 are on one server, which has no transactions", "with_session needs a replica set")
    else:
        yield passes(check, "v1 and v2 belong to one client, so transactions can span both")


def _members(one: SideFacts) -> frozenset[str]:
    hello = one.seen.hello
    known = [*hello.get("hosts", ()), *hello.get("passives", ())]
    return frozenset(known or [str(one.clock.server if one.clock else "")])


def check_concerns(facts: Sequence[SideFacts]) -> Iterator[Finding]:
    """Judge how the collections' clients write and read beside lazymig."""
    for one in facts:
        concerns = one.concerns
        if concerns is None:
            continue
        before = None
        for before in (*_check_write(one), *_check_reads(one)):
            yield before
        if before is None:
            yield passes("concerns", f"{one.side}: writes wait for the majority, and reads ask the primary")


def _check_write(one: SideFacts) -> Iterator[Finding]:
    concerns = one.concerns
    assert concerns is not None
    check, own = "concerns", concerns.write.get("w")
    default = None if one.default_write is None else one.default_write.get("w", 1)
    if own is None and default is None:
        return  # noted as unseen
    effective, whose = (default, "the server's default") if own is None else (own, "the client's setting")
    if effective != "majority" and one.set_name and one.data_members > 1:
        yield notes(
            check, f"{one.side}: {whose} is w: {effective}; lazymig waits for the majority where that is needed, "
            "whatever is configured, and other statements do not",
            "writes of other programs may be lost in a fail-over; give them w: majority",
        )  # fmt: skip
    if concerns.write.get("wtimeout"):
        yield notes(
            check, f"{one.side}: the client has a wtimeout, which lazymig's statements do not use",
            "bound calls by the repository's timeout_s",
        )  # fmt: skip
    if not concerns.retries_writes:
        yield warns(
            check, f"{one.side}: the client has retryWrites=false, so each step-down raises errors for callers",
            "leave retryWrites=false out",
        )  # fmt: skip


def _check_reads(one: SideFacts) -> Iterator[Finding]:
    concerns = one.concerns
    assert concerns is not None
    if concerns.preference != "Primary":
        yield notes(
            "concerns", f"{one.side}: the client reads with the preference {concerns.preference}; lazymig always asks "
            "the primary, whose load grows by these reads",
            "check that the primary can take them",
        )  # fmt: skip
    if concerns.read not in (None, "local", "majority"):
        yield notes("concerns", f"{one.side}: the client's read concern {concerns.read} is not used by lazymig")


def check_clocks(facts: Sequence[SideFacts]) -> Iterator[Finding]:
    """Judge how far clocks are apart: this machine's, the primary's and those of its secondaries."""
    check = "clocks"
    clocks = {clock.server: clock for one in facts for clock in ((one.clock,) if one.clock else ()) + one.other_clocks}
    if not clocks:
        return
    # What a slow answer cannot exclude is no difference.
    apart = {name: max(abs(one.ahead_s) - one.within_s, 0.0) for name, one in clocks.items()}
    worst = max(apart, key=lambda name: apart[name])
    text = f"{worst} and this machine are {apart[worst]:.1f} s apart"
    if apart[worst] > _SKEW_S:
        yield warns(
            check, f"{text}; leases of passes compare the clocks of machines",
            "synchronise the clocks (NTP) of the servers and of all machines that sweep",
        )  # fmt: skip
    elif apart[worst] > _SKEW_NOTED_S:
        yield notes(check, text, "synchronise the clocks (NTP)")
    else:
        yield passes(
            check, f"this machine's clock and the servers' ({', '.join(sorted(clocks))}) agree within a second"
        )
