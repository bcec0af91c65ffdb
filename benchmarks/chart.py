"""The ratios as a chart: a bar for each row and number of tasks, a tick where the target is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import altair as alt
import vl_convert

from benchmarks.measure import Outcome, Rule

_COLOURS = {"1": "#9ecae1", "16": "#4292c6", "64": "#084594"}
_TICK = "#d94801"
_FONT = "Liberation Sans, Arial, Helvetica, sans-serif"


def draw(outcomes: Sequence[Outcome], path: Path) -> None:
    """Write the chart as SVG; the same figures give the same file."""
    aimed = [one for one in outcomes if one.target is not None and one.rule is Rule.AT_LEAST]
    rows = [_row(one, aimed) for one in aimed]
    path.write_text(vl_convert.vegalite_to_svg(_chart(rows).to_dict()))


def _row(one: Outcome, others: Sequence[Outcome]) -> dict[str, Any]:
    twice = any(other.row == one.row and other.against != one.against for other in others)
    name = f"{one.row}, against {one.against}" if twice else one.row
    return {"row": name, "tasks": str(one.tasks), "ratio": one.ratio, "target": one.target, "one": 1}


def _chart(rows: list[dict[str, Any]]) -> Any:
    names = list(dict.fromkeys(row["row"] for row in rows))
    base = alt.Chart(alt.InlineData(values=rows)).encode(y=alt.Y("tasks:N", sort=list(_COLOURS), title=None))
    scale = alt.Scale(domain=list(_COLOURS), range=list(_COLOURS.values()))
    bars = base.mark_bar().encode(
        x=alt.X("ratio:Q", title="times as fast as hand-written code (orange: the target; grey: equal)"),
        color=alt.Color("tasks:N", scale=scale, sort=list(_COLOURS), title="concurrent tasks"),
    )
    equal = base.mark_rule(color="#888888", strokeDash=[3, 3]).encode(x="one:Q", y=alt.Y())
    targets = base.mark_tick(color=_TICK, thickness=3, size=14).encode(x="target:Q")
    figures = base.mark_text(align="left", dx=4, fontSize=10).encode(
        x="ratio:Q", text=alt.Text("ratio:Q", format=".2f")
    )
    layers = alt.layer(bars, equal, targets, figures).properties(width=460, height=alt.Step(16))
    facet = alt.Row("row:N", sort=names, title=None, header=alt.Header(labelAngle=0, labelAlign="left", labelLimit=320))
    return (
        layers.facet(row=facet, spacing=6)
        .resolve_scale(y="independent")
        .configure(font=_FONT, background="white")
        .configure_view(stroke=None)
    )
