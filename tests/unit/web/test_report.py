"""The report: one file with all panels and charts, and nothing that is loaded from elsewhere."""

from __future__ import annotations

import re

import pytest
from attrs import evolve

from lazymig.status.proof import describe_proof
from lazymig.status.recorded import Verified
from lazymig.web.report import make_report
from lazymig.web.snapshot import Snapshot
from lazymig.web.view.panels import PANELS
from tests.house import ROOT
from tests.markup import find_unnamed, find_unsafe, find_wrong, read
from tests.snapshots import NOTHING, SNAPSHOTS, at_work, run


@pytest.mark.parametrize("name", SNAPSHOTS)
def test_it_is_well_formed_and_alone(name: str) -> None:
    """Strict HTML with its styles in it, no script, and no address but places in itself."""
    html = make_report(SNAPSHOTS[name]())
    assert find_wrong(html) == []
    assert find_unsafe(html, style=True) == []
    assert find_unnamed(html) == []
    root = read(html)
    assert not any(root.all("script"))
    assert not any(root.all("link"))
    addresses = [
        one.attributes[key] for one in root.all() for key in ("href", "src", "action") if key in one.attributes
    ]
    assert addresses == ["#main"]
    assert not re.search(r"url\(|@import", root.one("style").text)


def test_it_holds_all_panels_and_charts() -> None:
    """Every panel of the page, in its order, and a drawing of each chart with its last values."""
    root = read(make_report(at_work()))
    sections = [one.attributes["id"] for one in root.one("main").all("section")]
    assert [name for name in sections if name != "charts"] == list(PANELS)
    figures = list(root.one("section", id="charts").all("figure"))
    assert len(figures) == 6
    assert all(next(one.all("svg", role="img")).attributes["viewbox"] for one in figures)
    assert figures[0].text == "Migrated 0 % 25 % 50 % 75 % 100 % 14:15 14:29 migrated 99.7 %"


def test_it_says_what_the_verification_says_of_all() -> None:
    """What a sample says about all entities stands in it as it was recorded, and what it cannot exclude."""
    _, sampled = run("verify", 1, compared=50, match=50, sample=50)
    sampled = evolve(sampled, remarks=("0 of 50 sampled entities of V1 do not agree: with 95% confidence few do",))
    text = read(make_report(Snapshot(evolve(NOTHING, verified=Verified(sampled, {}, None))))).text
    assert "0 of 50 sampled entities of V1 do not agree: with 95% confidence few do." in text
    assert "Only a full verification finds a single entity." in text


def test_what_a_verification_proves_are_the_words_of_its_page() -> None:
    """The sentences are those that docs/how-to/verify.md explains, but for those about a part of the entities."""
    page = " ".join((ROOT / "docs" / "how-to" / "verify.md").read_text("utf-8").split())
    _, full = run("verify", 1, compared=3, match=3)
    proof = describe_proof(Verified(full, {}, None))
    assert proof.excludes
    assert proof.leaves
    assert [one for one in (*proof.excludes, *proof.leaves) if one not in page] == []


@pytest.mark.parametrize(
    ("counts", "finished", "left"),
    [
        ({"sample": 50}, True, "Only a full verification finds a single entity."),
        ({"filtered": 1}, True, "It was not about all entities: it says nothing about the others."),
        ({"sharded": 1}, True, "It was not about all entities: it says nothing about the others."),
        ({"upgrade_only": 1}, True, "It compared by upgrade only: what upgrade loses or distorts was not looked for."),
        ({}, False, "It failed, or was stopped before its end: nothing is proven."),
    ],
)
def test_less_than_everything_proves_less(counts: dict[str, int], finished: bool, left: str) -> None:
    """Each kind of verification that is not of everything, both ways and to its end, says so; a full one does not."""
    _, full = run("verify", 1, compared=3, match=3)
    assert left not in describe_proof(Verified(full, {}, None)).leaves
    part = evolve(full, counts={**full.counts, **counts}, finished=finished)
    assert left in describe_proof(Verified(part, {}, None)).leaves
    both_ways = "V1 upgraded must be V2's body, and V2 downgraded must be V1's document."
    proven = describe_proof(Verified(part, {}, None)).excludes
    assert (both_ways in proven) == (finished and "upgrade_only" not in counts)
