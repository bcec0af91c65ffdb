"""What the doctor says of servers that a test cannot start: old ones, clusters, distant clocks, other settings."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from beanie import Document

from lazymig import Finding, Severity
from lazymig.diagnosis.collections import check_first_use, check_shard_keys, check_unseen
from lazymig.diagnosis.facts import SideFacts
from lazymig.diagnosis.findings import merge_sides, notes, passes, sort_findings, warns
from lazymig.diagnosis.servers import check_clocks, check_clusters, check_concerns, check_topology, check_versions
from lazymig.diagnosis.writers import check_class
from lazymig.stores.inspecting import Concerns, ServerClock
from lazymig.surroundings.checking import Surroundings
from lazymig.surroundings.contents import Foreign
from lazymig.surroundings.looking import Seen

CONCERNS = Concerns({}, None, "Primary", retries_writes=True)
MAJORITY = evolve(CONCERNS, write={"w": "majority"})
THREE = {"setName": "rs", "hosts": ["a:1", "b:1", "c:1"]}
MONGOS = {"msg": "isdbgrid"}


def facts(side: str = "v1", hello: Any = THREE, *, seen: Any = (), **known: Any) -> SideFacts:
    """What is known about one side."""
    return SideFacts(
        seen=Seen(side, f"shop.{side}", "collection", hello=hello, **dict(seen)), concerns=CONCERNS, **known
    )


def severities(found: Any) -> list[str]:
    """The severities of findings."""
    return [finding.severity for finding in found]


@pytest.mark.parametrize(
    ("version", "severity"),
    [((4, 2, 24), "blocks"), ((4, 4, 0), "note"), ((5, 0, 9), "note"), ((6, 0, 5), "ok"), ((10, 0, 0), "ok")],
)
def test_versions(version: tuple[int, ...], severity: str) -> None:
    """Below 4.4 blocks, below 6.0 is a note, and the version is named."""
    (found,) = check_versions([facts(version=version)])
    assert found.severity == severity
    assert ".".join(map(str, version)) in found.evidence


def test_an_unseen_version_is_no_finding_of_its_own() -> None:
    """Where the version may not be seen, the right is noted elsewhere."""
    assert list(check_versions([facts()])) == []
    (found,) = check_unseen([facts(unseen=("v1: the server's version",))])
    assert (found.severity, found.check) == (Severity.NOTE, "rights")


@pytest.mark.parametrize(
    ("hello", "severity", "said"),
    [
        ({}, "warning", "standalone"),
        (MONGOS, "ok", "sharded"),
        (THREE, "ok", "members that hold data: 3"),
        ({"setName": "rs", "hosts": ["a:1"]}, "note", "no other copy"),
        ({"setName": "rs", "hosts": ["a:1", "b:1"], "arbiters": ["c:1"]}, "warning", "every write waits"),
        ({**THREE, "arbiters": ["d:1"]}, "ok", "arbiters: 1"),
        ({"setName": "rs", "hosts": ["a:1", "b:1"], "passives": ["c:1"], "arbiters": ["d:1"]}, "ok", "data: 3"),
    ],
)
def test_topologies(hello: Any, severity: str, said: str) -> None:
    """What a majority is worth: nothing on a standalone, and one failure away from waiting beside an arbiter."""
    (found,) = check_topology([facts(hello=hello)])
    assert found.severity == severity
    assert said in found.evidence


def test_a_direct_connection_is_a_warning() -> None:
    """A client that knows one member only fails after a step-down."""
    found = list(check_topology([facts(seen={"direct": True})]))
    assert severities(found) == ["ok", "warning"]
    assert "directConnection" in found[1].advice


@pytest.mark.parametrize(
    ("v1", "v2", "same", "severity"),
    [
        (THREE, THREE, True, "ok"),
        (THREE, THREE, False, "note"),
        (THREE, {"setName": "rs", "hosts": ["x:1"]}, False, "note"),
        (THREE, {"setName": "other", "hosts": ["a:1", "b:1", "c:1"]}, False, "note"),
        (MONGOS, MONGOS, True, "ok"),
        ({}, {}, True, "note"),
    ],
)
def test_clusters(v1: Any, v2: Any, same: bool, severity: str) -> None:
    """Transactions span both collections of one client on a replica set only."""
    (found,) = check_clusters(facts("v1", v1), facts("v2", v2), same_client=same)
    assert found.severity == severity
    assert "transaction" in found.evidence or "session" in found.evidence


@pytest.mark.parametrize(
    ("concerns", "default", "severity", "said"),
    [
        (CONCERNS, {"w": "majority"}, "ok", "majority"),
        (CONCERNS, {"w": 1}, "note", "the server's default is w: 1"),
        (CONCERNS, {}, "note", "w: 1"),
        (evolve(CONCERNS, write={"w": 1}), {"w": "majority"}, "note", "the client's setting is w: 1"),
        (evolve(MAJORITY, write={"w": "majority", "wtimeout": 5}), {}, "note", "wtimeout"),
        (evolve(MAJORITY, retries_writes=False), {}, "warning", "retryWrites"),
        (evolve(MAJORITY, preference="SecondaryPreferred"), {}, "note", "SecondaryPreferred"),
        (evolve(MAJORITY, read="available"), {}, "note", "available"),
    ],
)  # fmt: skip
def test_concerns(concerns: Concerns, default: Any, severity: str, said: str) -> None:
    """What other statements of the client do is named; lazymig's own are not affected."""
    one = SideFacts(seen=Seen("v1", "shop.v1", "collection", hello=THREE), concerns=concerns, default_write=default)
    (found,) = check_concerns([one])
    assert found.severity == severity
    assert said in found.evidence


@pytest.mark.parametrize(
    ("ahead_s", "within_s", "severity"),
    [(0.2, 0.0, "ok"), (-3.0, 0.1, "note"), (3600, 0.1, "warning"), (-3600, 0.1, "warning"), (60.0, 59.5, "ok")],
)
def test_clocks(ahead_s: float, within_s: float, severity: str) -> None:
    """Clocks apart are named, no matter which is ahead; what a slow answer cannot exclude is no difference."""
    one = facts(clock=ServerClock("a:1", 0.0, 0.01), other_clocks=(ServerClock("b:1", ahead_s, within_s),))
    (found,) = check_clocks([one])
    assert found.severity == severity
    assert "b:1" in found.evidence


@pytest.mark.parametrize(
    ("key", "severity"),
    [({}, "note"), ({"country": 1}, "warning"), ({"_id": "hashed"}, "ok"), ({"a": 1, "_id": 1}, "ok")],
)
def test_shard_keys(key: Any, severity: str) -> None:
    """V1 sharded by something else than the id makes every step ask every shard."""
    (found,) = check_shard_keys([facts(hello=MONGOS, seen={"shard_key": key})])
    assert found.severity == severity
    assert list(check_shard_keys([facts(hello=THREE), facts("v2", MONGOS)])) == []


def test_every_problem_of_the_first_use_blocks() -> None:
    """What ends the first call blocks, with its remedy as advice; foreign documents too; what is unseen is a note."""
    problems = ("v1: shop.v1 is a view, which cannot be written; pass the collection itself", "v2: x. Drop it", "odd")
    strange = Foreign(3, 4, "shop.v2")
    found = list(check_first_use(Surroundings(Seen("v1", "a"), None, problems, ("v2: its indexes",), strange)))
    assert severities(found) == ["blocks"] * 4 + ["note"]
    assert [one.advice for one in found][:3] == ["pass the collection itself", "Drop it", "see the message"]
    assert "3 of 4" in found[3].evidence
    assert "--adopt" in found[3].advice
    assert "read" in found[4].advice


def test_beanie_documents_are_noted() -> None:
    """A Beanie document as V1's class is a note about its methods that replace whole documents."""

    class Person(Document):
        name: str

    (found,) = check_class(Person)
    assert found.severity is Severity.NOTE
    assert "replace_many()" in found.evidence
    assert check_class(Seen) == []


def test_both_sides_make_one_finding() -> None:
    """What holds of V1 and V2 alike is said once; all else is kept, the most serious first."""
    found = merge_sides([notes("a", "v1: x"), notes("a", "v2: x"), passes("b", "v1: y"), warns("c", "z: v1", "do")])
    assert [one.evidence for one in sort_findings(found)] == ["z: v1", "v1 and v2: x", "v1: y"]
    apart = [notes("a", "v1: x", "one"), notes("a", "v2: x", "other"), Finding(Severity.OK, "a", "v2: x")]
    assert len(merge_sides(apart)) == 3
