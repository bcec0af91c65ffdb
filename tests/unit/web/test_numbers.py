"""The numbers of the page are those of `lazymig status --json`, for any status."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from lazymig.measuring.holdings import Holdings, MovedBy
from lazymig.phases import Phase
from lazymig.status.json_text import as_json
from lazymig.status.looking import Status
from lazymig.status.objects import object_of
from lazymig.status.recorded import DarkLog, Verified
from lazymig.verifying.report import COUNTED
from lazymig.web.snapshot import Snapshot
from lazymig.web.view.panels import render_panels
from tests.markup import Element, read
from tests.snapshots import NOW, at_work

COUNT = st.integers(0, 10**9)
STATUS = st.builds(
    Status,
    migration=st.just("people"),
    phase=st.sampled_from(Phase).map(str),
    v1=COUNT,
    v2=st.builds(Holdings, COUNT, COUNT, COUNT, COUNT, COUNT, COUNT),
    moved_by=st.builds(MovedBy, COUNT, COUNT, COUNT, COUNT, st.booleans()),
    dead_letters=COUNT,
    letters=st.just([]),
    runs=st.just([]),
    verified=st.builds(
        Verified, st.none(), st.dictionaries(st.sampled_from(COUNTED), st.integers(1, 10**9)), st.just(NOW)
    ),
    dark_reads=st.builds(DarkLog, st.integers(1, 10**9), st.just(NOW)),
    conversions=st.dictionaries(st.integers(1, 99), COUNT, max_size=4),
    warnings=st.just([]),
    fleet=st.just(at_work().status.fleet),
    passes=st.just(at_work().status.passes),
    at=st.just(NOW),
)


def facts(panel: Element) -> dict[str, str]:
    """The facts of a panel, and the parts of a bar, by their names; without the word for an estimate."""
    found = {one.one("dt").text: one.one("dd").text for one in panel.all("div") if any(one.all("dt"))}
    for entry in panel.all("li"):
        values = [one.text for one in entry.all("span", class_="value")]
        found |= {entry.text.removesuffix(value).strip(): value for value in values}
    return {name: value.removeprefix("about ") for name, value in found.items()}


def shown(found: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """What the panels must show of an object of `lazymig status --json`, where it is above 0."""
    v2, by = found["v2"], found["moved_by"]
    moved = {f"moved by {name}s": by[name] for name in ("read", "write", "sweep")} | {"moved by unknown": by["unknown"]}
    unmoved = {"waiting for users": v2["waiting"], "not taken over": v2["left"]}
    counts = {"V1 entities": found["v1"], "V2 clean": v2["clean"], "V2 dirty (open writes)": v2["dirty"]}
    rest = {"V2 placeholders": v2["placeholders"], "V2 tombstones": v2["tombstones"]}
    open_ones = {"remaining, about": found["remaining"], "open dead letters": found["dead_letters"]}
    revisions = {f"conversion revision {conv}": count for conv, count in found["conversions"].items()}
    return {
        "progress": counts | rest | open_ones | moved | unmoved,
        "trouble": {"V2 dirty (open writes)": v2["dirty"], "open dead letters": found["dead_letters"]} | unmoved,
        "conversions": revisions,
    }


@settings(max_examples=60, deadline=None)
@given(status=STATUS)
def test_each_number_is_the_one_of_the_object(status: Status) -> None:
    """Counts, shares, mismatches and what runs: the page says what the object says."""
    found = json.loads(as_json(object_of(status)))
    panels = {name: read(html) for name, html in render_panels(Snapshot(status)).items()}
    for name, wanted in shown(found).items():
        seen = facts(panels[name])
        for row, count in wanted.items():
            if count or row in seen:
                assert seen[row] == f"{count:,}", (name, row)
    verdicts = {
        row.one("th").text: list(row.all("td"))[-1].text
        for row in panels["verification"].all("tr", role="row")
        if list(row.all("td"))
    }
    assert verdicts == {verdict: f"{count:,}" for verdict, count in found["verified"]["mismatches"].items()}
    assert f"In the log of dark reads: {found['dark_reads']['mismatches']:,}," in panels["verification"].text
    steps = panels["phases"].one("li", aria_current="step")
    assert steps.one("span", class_="phase").text == found["phase"]
    migrated = panels["progress"].one("p", class_="figure").one("strong").text
    assert abs(float(migrated.removesuffix(" %")) - 100 * found["share"]) < 0.1
    assert found["meaning"] in panels["phases"].text
    done = [f"{one['done']:,}" for one in found["passes"]["running"]]
    assert all(text in panels["passes"].text for text in done)
    assert f"epoch {found['fleet']['standing']['epoch']}" in panels["fleet"].text


def test_ids_that_json_cannot_write_as_numbers() -> None:
    """An id that is not a number, or infinite, is text, so that every reader takes the object."""
    found = {"ids": [float("nan"), float("-inf"), 1.5], "of": {"id": float("inf")}}
    assert json.loads(as_json(found)) == {"ids": ["nan", "-inf", 1.5], "of": {"id": "inf"}}
