"""The charts: which lines they have, how they are drawn, and what a script gets."""

from __future__ import annotations

import json

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from lazymig.web.view.charts import Chart, Series, make_charts, make_data
from lazymig.web.view.svg import draw, format_value
from tests.markup import read
from tests.snapshots import samples


def chart(*values: float | None, top: float | None = None) -> Chart:
    """A chart of one line with a value every ten seconds."""
    at = tuple(float(10 * place) for place in range(len(values)))
    return Chart("c", "C", " ms", at, (Series("line", "read", values),), top)


def test_a_line_is_there_where_something_was_counted() -> None:
    """What nobody counted has no line, and a chart without lines is not shown."""
    some = [evolve(one, moved_read=None, per_s=None, v1_p99_s=None, v2_p99_s=None) for one in samples(5)]
    found = {one.name: [line.name for line in one.series] for one in make_charts(some)}
    assert list(found) == ["share", "moved", "open", "agreement"]
    assert found["moved"] == ["to move", "by writes", "by sweeps"]
    assert make_charts(()) == ()


def test_values_are_those_of_the_samples() -> None:
    """Shares in percent, durations in milliseconds, times in seconds since 1970 in UTC."""
    (one,) = samples(1)
    found = {each.name: each for each in make_charts([one])}
    assert found["share"].series[0].values == (100 * one.share,)
    assert found["latency"].series[0].values == (one.v1_p99_s * 1000 if one.v1_p99_s else None,)
    assert found["share"].at == (1795876195.0,)


def test_the_script_gets_every_line() -> None:
    """The data has all charts and lines, whatever is known, so that more of it can be added to what is shown."""
    few, many = (json.loads(json.dumps(make_data(samples(count)))) for count in (0, 40))
    assert [one["name"] for one in few["charts"]] == [one["name"] for one in many["charts"]]
    for one in many["charts"]:
        assert all(len(line["values"]) == len(many["at"]) == 40 for line in one["series"])
    assert few["at"] == []


def test_a_gap_is_a_gap() -> None:
    """Where nothing is known no line is drawn: each run of values is a path of its own."""
    paths = [one.attributes["d"] for one in read(drawn(chart(1, 2, None, 2, None, 4))).all("path")]
    assert [path.count("L") for path in paths] == [1, 0, 0]
    assert paths[1].endswith("h0.1")


def test_a_line_leads_over_what_is_counted_now_and_then() -> None:
    """What moved the entities is counted seldom: its line goes from one count to the next."""
    some = chart(1, None, None, 4)
    bridged = evolve(some, series=(evolve(some.series[0], bridged=True),))
    assert len(list(read(drawn(some)).all("path"))) == 2
    assert read(drawn(bridged)).one("path").attributes["d"].count("L") == 1
    assert [line.bridged for line in make_charts(samples(3))[1].series] == [False, True, True, True]


def drawn(one: Chart) -> str:
    """A chart with what names it."""
    names = "".join(f"<p id='chart-c-{part}'>x</p>" for part in ("title", "last"))
    return f"{names}{draw(one)}"


@pytest.mark.parametrize(
    ("highest", "ticks"),
    [
        (0.0, ["0 ms", "1 ms"]),
        (1.0, ["0 ms", "0.25 ms", "0.5 ms", "0.75 ms", "1 ms"]),
        (4.2, ["0 ms", "1 ms", "2 ms", "3 ms", "4 ms", "5 ms"]),
        (31.0, ["0 ms", "10 ms", "20 ms", "30 ms", "40 ms"]),
        (1_204_331.0, ["0 ms", "500 k ms", "1 M ms", "1.5 M ms", "2 M ms"]),
    ],
)
def test_scales_end_at_round_numbers(highest: float, ticks: list[str]) -> None:
    """A scale begins at 0, ends at a round number above what it shows, and has few steps."""
    texts = [one.text for one in read(drawn(chart(highest, 0.0))).all("text", text_anchor="end")]
    assert texts[:-1] == ticks


@settings(deadline=None)
@given(st.lists(st.none() | st.floats(0, 1e12), min_size=1, max_size=600))
def test_every_value_stays_in_the_drawing(values: list[float | None]) -> None:
    """Whatever the values are, lines stay between the edges, and long ones are thinned out."""
    found = read(drawn(chart(*values)))
    for path in found.all("path"):
        steps = [step.split("h")[0].split() for step in path.attributes["d"].lstrip("M").split("L")]
        assert len(steps) <= 240
        assert all(0 <= float(x) <= 440 and 0 <= float(y) <= 200 for x, y in steps)
    assert any(found.all("path")) == any(value is not None for value in values)


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (0.0123, "0.012"), (2.34, "2.3"), (31, "31"), (99.74, "99.7"), (1204.6, "1,205")]
)
def test_values_are_short(value: float, text: str) -> None:
    """A value has as many digits as one reads at a glance."""
    assert format_value(value) == text


@pytest.mark.parametrize(
    ("estimated", "said"),
    [([False, False], ""), ([False, True], " (estimated)"), ([True, False], " (in part estimated)")],
)
def test_what_was_estimated_is_said(estimated: list[bool], said: str) -> None:
    """A chart of what V2 holds says so where a sample of documents stands for all; other charts were counted."""
    some = [evolve(one, estimated=flag) for one, flag in zip(samples(2), estimated, strict=True)]
    titles = {chart.name: chart.title for chart in make_charts(some)}
    assert (titles["share"], titles["moved"]) == (f"Migrated{said}", f"In V2, by what moved it{said}")
    assert "estimated" not in titles["latency"]
    assert make_data(some, since=0.0)["charts"][0]["title"] == titles["share"]  # type: ignore[index]
