"""Metrics, their documentation, the dashboard and the alerts name the same things."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lazymig import metrics, telemetry
from lazymig.metrics import METRICS, SPANS

ROOT = Path(__file__).parents[2]
FOLDER, PAGE = ROOT / "examples" / "monitoring", ROOT / "docs" / "how-to" / "monitor.md"
#: What the parts of a histogram add to its name.
_PARTS = ("_bucket", "_count", "_sum")


def prometheus_name(name: str) -> str:
    """The name that OpenTelemetry's Prometheus exporter writes."""
    metric = METRICS[name]
    seconds = "_seconds" if metric.unit == "s" else ""
    return name.replace(".", "_") + seconds + ("_total" if metric.kind == "counter" else "")


def exported() -> dict[str, set[str]]:
    """Every series with its labels."""
    found: dict[str, set[str]] = {}
    for name, metric in METRICS.items():
        labels = {"lazymig_migration", *(one.replace(".", "_") for one in metric.attributes)}
        if metric.kind == "histogram":
            found |= {prometheus_name(name) + part: labels | {"le"} for part in _PARTS}
        else:
            found[prometheus_name(name)] = labels
    return found


def expressions() -> Iterator[tuple[str, str]]:
    """Every query of the board and of the alerts, with what it belongs to."""
    board = json.loads((FOLDER / "dashboard.json").read_text())
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]
    for group in yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]


def wrong(expression: str) -> list[str]:
    """Series and labels of a query that no metric has."""
    known = exported()
    series = set(re.findall(r"\blazymig_\w+", re.sub(r"\([^()]*\)\s*\(|\{[^}]*\}", "(", expression)))
    labels = {one for given in re.findall(r"by \(([^)]*)\)", expression) for one in given.replace(",", " ").split()}
    labels |= set(re.findall(r"(\w+)\s*=~?", expression))
    held = set().union(*(known.get(one, set()) for one in series))
    return sorted(series - known.keys()) or sorted(labels - held)


@pytest.mark.parametrize(("title", "expression"), list(expressions()))
def test_each_query_asks_for_what_exists(title: str, expression: str) -> None:
    """Every series and label of the board and the alerts is one that lazymig exports."""
    assert wrong(expression) == []
    assert "lazymig_" in expression


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("rate(lazymig_migrated[5m])", ["lazymig_migrated"]),
        ("max by (lazymig_pass) (lazymig_phase)", ["lazymig_pass"]),
        ('lazymig_phase{lazymig_verdict="x"}', ["lazymig_verdict"]),
        ("max by (lazymig_migration) (lazymig_follower_behind)", ["lazymig_follower_behind"]),
    ],
)
def test_a_wrong_query_is_found(expression: str, found: list[str]) -> None:
    """A name or a label that no metric has does not pass."""
    assert wrong(expression) == found


def test_panels_can_be_read() -> None:
    """Each panel has a title, a unit, a description and a place of its own, by the board's own data source."""
    board = json.loads((FOLDER / "dashboard.json").read_text())
    places, ids = set(), set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & places
        places |= cells
        ids.add(panel["id"])
        assert panel["title"]
        if panel["type"] != "row":
            assert panel["fieldConfig"]["defaults"]["unit"]
            assert panel["description"].endswith(".")
            assert panel["datasource"]["uid"] == "${datasource}"
            assert panel["targets"]
    assert len(ids) == len(board["panels"])
    assert max(x for x, _ in places) == 23
    assert [one["name"] for one in board["templating"]["list"]] == ["datasource", "migration"]


def test_each_alert_says_what_to_do() -> None:
    """It has a summary, an action and a severity."""
    (group,) = yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"]
    names = [rule["alert"] for rule in group["rules"]]
    assert len(set(names)) == len(names) > 8
    for rule in group["rules"]:
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert set(rule["annotations"]) == {"summary", "action"}


def rows() -> dict[str, list[str]]:
    """The rows of the page's tables that begin with a metric or a span."""
    found = [line for line in PAGE.read_text().splitlines() if line.startswith("| `lazymig.")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in found]
    return {row[0].strip("`"): row[1:] for row in cells}


def test_the_page_lists_every_metric_and_span() -> None:
    """With its kind, its unit and its attributes besides `lazymig.migration`; nothing else is listed."""
    listed = rows()
    assert set(listed) == {*METRICS, *SPANS}
    for name, metric in METRICS.items():
        attributes = ", ".join(f"`{one}`" for one in metric.attributes) or "-"
        assert listed[name][:3] == [metric.kind, metric.unit or "-", attributes], name
    for name, attributes in SPANS.items():
        assert listed[name][0] == (", ".join(f"`{one}`" for one in attributes) or "-"), name


def test_every_name_is_in_the_table() -> None:
    """Each constant that names a metric or a span stands in the table, with the kind by which it is used."""
    names = {
        value for module in (telemetry, metrics) for name, value in vars(module).items()
        if name.isupper() and not name.startswith("_") and isinstance(value, str)
    }  # fmt: skip
    assert names == {*METRICS, *SPANS}
    used: dict[str, set[str]] = {}
    source = {path: path.read_text() for path in (ROOT / "lazymig").rglob("*.py")}
    by_value: dict[str, Any] = {name: value for module in (telemetry, metrics) for name, value in vars(module).items()}
    kinds = {"count": "counter", "show": "gauge", "measure": "histogram", "span": "span"}
    for text in source.values():
        for verb, constant in re.findall(
            r"\b(?:_?tally|self|pair)?\.?(count|show|measure|span)\(\s*([A-Z][A-Z_0-9]+)\b", text
        ):
            if isinstance(by_value.get(constant), str):
                used.setdefault(by_value[constant], set()).add(kinds[verb])
    for name, ways in used.items():
        assert ways == {"span" if name in SPANS else METRICS[name].kind}, name
    assert {*METRICS, *SPANS} - used.keys() <= UNSEEN


#: Set by a loop over names, or by one of two, which the search above does not see.
UNSEEN = {
    *(metrics.PACE, metrics.PAUSED, metrics.THROTTLED),
    *(telemetry.WAITING, telemetry.LEFT, telemetry.DARK_MISMATCHED),
}
