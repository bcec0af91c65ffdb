"""Conversions that change what they are given: a comparison still looks at what is stored."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import bson
from attrs import define

from lazymig import Migration
from lazymig.comparing.checks import DOWNGRADE, UPGRADE, Checks, Comparison
from lazymig.comparing.comparer import Comparer
from lazymig.shapes.conversions import conversions_for
from lazymig.stores.documents import parse_v1, parse_v2
from lazymig.stores.verdicts import Verdict


@define
class BoxV1:
    id: int
    data: Any
    tags: list[str]


@define
class BoxV2:
    id: int
    data: Any
    kind: str
    tags: list[str]
    extra: Any = None


def upgrade(v1: BoxV1, previous: BoxV2 | None = None) -> BoxV2:
    """Takes the kind out of the data, in place; V2's own part is written in place, too."""
    kind = v1.data.pop("kind", "none")
    v1.tags.sort()
    extra = None if previous is None else previous.extra
    if extra is not None:
        extra["seen"] = kind
    return BoxV2(v1.id, v1.data, kind, v1.tags, extra)


def forgetful(v2: BoxV2) -> BoxV1:
    return BoxV1(v2.id, v2.data, v2.tags)


def downgrade(v2: BoxV2) -> BoxV1:
    v2.data["kind"] = v2.kind
    return BoxV1(v2.id, v2.data, v2.tags)


def compare(v1: Mapping[str, Any], v2: Mapping[str, Any], way_back: Any = downgrade, **checks: Any) -> Comparison:
    boxes = Migration(name="boxes", v1=BoxV1, v2=BoxV2, upgrade=upgrade, downgrade=way_back)
    conversions = conversions_for(boxes, v1_aware=False, v2_aware=False)
    truth = parse_v1(bson.decode(bson.encode(v1), conversions.v1.options))
    seen = parse_v2(bson.decode(bson.encode(v2), conversions.v2.options))
    return asyncio.run(Comparer(conversions, Checks(**checks)).compare(truth, seen))


V1 = {"_id": 1, "data": {"kind": "k", "x": 1}, "tags": ["a", "b"]}
V2 = {
    "_id": 1, "data": {"x": 1}, "kind": "k", "tags": ["a", "b"], "extra": {"seen": "k"},
    "_lazymig": {"rev": 0, "intent": 0},
}  # fmt: skip


def test_what_an_upgrade_takes_out_of_v1_is_not_taken_out_of_the_comparison() -> None:
    """A value that `upgrade` removes in place, and `downgrade` does not bring back, is found to be lost."""
    assert compare(V1, V2).verdict is Verdict.MATCH
    found = compare(V1, V2, forgetful)
    assert (found.verdict, found.check) == (Verdict.DIFFERENT, DOWNGRADE)
    assert [(one.expected, one.found) for one in found.differences] == [("string", "missing")]


def test_what_an_upgrade_changes_in_the_previous_entity_is_compared_with_what_is_stored() -> None:
    """V2's own part that `upgrade` changes in place differs from the one that is stored."""
    found = compare(V1, V2 | {"extra": {"seen": "other"}})
    assert (found.verdict, found.check) == (Verdict.DIFFERENT, UPGRADE)


def test_checks_get_the_stored_entities() -> None:
    """Invariants and the expectation see V1 and V2 as they are stored, whatever the conversions did to theirs."""
    seen: list[object] = []

    def note(v1: BoxV1, v2: BoxV2) -> bool:
        seen.append((v1.data, v1.tags, v2.data))
        return True

    def expected(v1: BoxV1, v2: BoxV2) -> BoxV2:
        seen.append((v1.data, v1.tags, v2.data))
        return v2

    assert compare(V1 | {"tags": ["b", "a"]}, V2, invariants={"note": note}, expected=expected).check == DOWNGRADE
    assert compare(V1, V2, invariants={"note": note}, expected=expected).verdict is Verdict.MATCH
    assert seen == 2 * [({"kind": "k", "x": 1}, ["a", "b"], {"x": 1})]
