"""The ratios as a chart: a bar for each row and number of tasks, a tick where the target is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import altair as alt
import vl_convert

from benchmarks.measure import Outcome, Rule

#: Darker where there are more tasks.
_COLOURS = {"one": "#9ecae1", "some": "#4292c6", "many": "#084594"}
_MANY = 50
_TICK = "#d94801"
_TITLE = "times as fast as the other way, by concurrent tasks (orange: the target; grey: equal)"
_FONT = "Liberation Sans, Arial, Helvetica, sans-serif"


def draw(outcomes: Sequence[Outcome], path: Path) -> None:
    """Write the chart as SVG; the same figures give the same file."""
    aimed = [one for one in outcomes if one.target is not None and one.rule is Rule.AT_LEAST]
    rows = [_row(one, aimed) for one in aimed]
    path.write_text(vl_convert.vegalite_to_svg(_chart(rows).to_dict()))


#: Where the axis has ticks.
_FACTORS = [0.5, 1, 2, 5, 10, 20, 50, 100]


def _row(one: Outcome, others: Sequence[Outcome]) -> dict[str, Any]:
    twice = any(other.row == one.row and other.against != one.against for other in others)
    name = f"{one.row}, against {one.against}" if twice else one.row
    crowd = "one" if one.tasks == 1 else "some" if one.tasks < _MANY else "many"
    # The figure stands behind whatever reaches further, so that no tick crosses it.
    edge = max(one.ratio, one.target or 0, 1)
    return {
        "row": name,
        "tasks": one.tasks,
        "crowd": crowd,
        "ratio": one.ratio,
        "target": one.target,
        "edge": edge,
        "one": 1,
    }


def _chart(rows: list[dict[str, Any]]) -> Any:
    names = list(dict.fromkeys(row["row"] for row in rows))
    base = alt.Chart(alt.InlineData(values=rows)).encode(y=alt.Y("tasks:O", title=None))
    scale = alt.Scale(domain=list(_COLOURS), range=list(_COLOURS.values()))
    # From equal, by factors: twice as fast and half as fast reach equally far, and one row of a hundred hides no other.
    factors = alt.Scale(type="log", domain=[0.4, 2.5 * max(row["edge"] for row in rows)], nice=False)
    title = "times as fast as the other way, by concurrent tasks (orange: the target; grey: equal)"
    bars = base.mark_bar().encode(
        x=alt.X("ratio:Q", title=title, scale=factors, axis=alt.Axis(values=_FACTORS, format="~g")),
        x2="one:Q",
        color=alt.Color("crowd:N", scale=scale, legend=None),
    )
    equal = base.mark_rule(color="#888888", strokeDash=[3, 3]).encode(x="one:Q", y=alt.Y())
    targets = base.mark_tick(color=_TICK, thickness=3, size=14).encode(x="target:Q")
    figures = base.mark_text(align="left", dx=4, fontSize=10).encode(x="edge:Q", text=alt.Text("ratio:Q", format=".2f"))
    layers = alt.layer(bars, equal, targets, figures).properties(width=440, height=alt.Step(16))
    facet = alt.Row("row:N", sort=names, title=None, header=alt.Header(labelAngle=0, labelAlign="left", labelLimit=320))
    return (
        layers.facet(row=facet, spacing=6)
        .resolve_scale(y="independent")
        .configure(font=_FONT, background="white")
        .configure_view(stroke=None)
    )
