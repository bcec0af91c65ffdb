"""The figures kept: `results/*.json`, and from all of them the table in README.md and the chart.

Another measurement (a sweep, say) calls `write` with a name and outcomes of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import attrs
import bson
from pymongo import MongoClient

from benchmarks.measure import Outcome, Rule

HERE = Path(__file__).parent
_BEGIN, _END = "<!-- table: written by benchmarks.report -->", "<!-- end of table -->"
#: The measurements that the table shows, in its order; others have tables of their own.
_ORDER = ("repository", "hot", "sweeps", "growth")
#: Against what the second table's rows are.
RAW = "the driver's find_one, no structuring"
_PACKAGES = ("pymongo", "attrs", "cattrs", "motor", "beanie", "odmantic")


def line(one: Outcome) -> str:
    """One outcome for the terminal."""
    goal = "" if one.target is None else f"  {aim(one)}: {'met' if one.met else 'NOT MET'}"
    failed = "" if one.failures is None else f"  {one.failures} failed"
    cpu = "" if one.cpu_ratio is None else f"  cpu {one.cpu_ratio:.2f}"
    return (
        f"{one.row:42} {one.tasks:>3} tasks  {one.ratio:6.2f}  [{min(one.ratios):.2f} .. {max(one.ratios):.2f}]"
        f"  {one.ours_ms:9.3f} / {one.theirs_ms:9.3f} ms{cpu}{goal}{failed}"
    )


def aim(one: Outcome) -> str:
    """What is aimed at, as a reader of the table finds it."""
    if one.target is None:
        return ""
    words = {Rule.AT_LEAST: "", Rule.AT_MOST: "at most ", Rule.EVERY_ROUND: "in every round at most "}
    return f"{words[one.rule]}{one.target:g}"


def machine(uri: str) -> dict[str, Any]:
    """What the figures were taken on; no names, no paths."""
    with MongoClient[dict[str, Any]](uri) as client:
        server = client.server_info()["version"]
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": platform.system(),
        "python": platform.python_version(),
        "mongod": f"{server}, replica set of one on the same machine",
        "bson_in_c": bson.has_c(),
        **{name: found for name in _PACKAGES if (found := _version(name))},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    models = [row.partition(":")[2].strip() for row in lines if row.startswith("model name")]
    return models[0] if models else platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def write(
    name: str,
    machine: Mapping[str, Any],
    rounds: int,
    outcomes: Sequence[Outcome],
    *,
    among: bool = False,
    more: Mapping[str, Any] | None = None,
) -> None:
    """Keep one measurement, and draw the table and the chart from all that are kept.

    Args:
        name: The file in `results`.
        machine: What it was measured on.
        rounds: How many rounds each row had.
        outcomes: The rows.
        among: Whether these are some rows only, which go among those that the file has.
        more: What the file has besides.
    """
    folder = HERE / "results"
    folder.mkdir(exist_ok=True)
    rows = [attrs.asdict(one) for one in outcomes]
    if among and (earlier := _kept(name)):
        if earlier["machine"]["processor"] != machine["processor"]:
            raise SystemExit(f"the other rows of {name} are of another processor; measure all of them: omit --rows")
        places = {_place(row): row for row in earlier["outcomes"]}
        rows = list((places | {_place(row): row for row in rows}).values())
        rounds = min(len(row["ratios"]) for row in rows)
    kept = {"machine": dict(machine), "rounds": rounds, "outcomes": rows, **(more or {})}
    (folder / f"{name}.json").write_text(json.dumps(kept, indent=1) + "\n")
    redraw()


def _place(row: Mapping[str, Any]) -> tuple[str, str, int]:
    return row["row"], row["against"], row["tasks"]


def everything() -> dict[str, list[Outcome]]:
    """The rows of all measurements that are kept, by file."""
    found = {}
    for path in sorted((HERE / "results").glob("*.json"), key=_rank):
        kept = json.loads(path.read_text())
        if isinstance(kept, dict) and "outcomes" in kept:
            found[path.stem] = [Outcome(**row) for row in kept["outcomes"]]
        else:
            # A layout of its own; where its rows have an outcome each, that is what can be checked.
            rows = kept if isinstance(kept, list) else kept.get("rows", [])
            found[path.stem] = [Outcome(**row["outcome"]) for row in rows if "outcome" in row]
    return found


def _rank(path: Path) -> tuple[bool, int, str]:
    """Where a file's rows stand in the table."""
    return path.stem not in _ORDER, _ORDER.index(path.stem) if path.stem in _ORDER else 0, path.stem


def redraw() -> None:
    """The table and the charts from the measurements that are kept: `python -m benchmarks.report`."""
    measured = {name: kept for name in _ORDER if (kept := _kept(name))}
    rows = everything()
    shown = [one for name in measured for one in rows[name]]
    machine = next(iter(measured.values()))["machine"]
    rounds = ", ".join(f"{kept['rounds']} ({name})" for name, kept in measured.items())
    _draw(shown, measured.get("growth"))
    _write_table(shown, {**machine, "rounds": rounds}, _kept("sweeps_beside"), _kept("parts"))


def _draw(shown: Sequence[Outcome], growth: Any) -> None:
    try:
        from benchmarks import chart, growth_chart
    except ImportError:
        print("no chart drawn: pip install altair vl-convert-python")
        return
    chart.draw(shown, HERE / "results" / "ratios.svg")
    if growth is not None:
        growth_chart.draw(growth["points"], HERE / "results" / "growth.svg")


def _kept(name: str) -> Any:
    path = HERE / "results" / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def _write_table(outcomes: Sequence[Outcome], machine: Mapping[str, Any], beside: Any, parts: Any) -> None:
    page = HERE / "README.md"
    before, _, rest = page.read_text().partition(_BEGIN)
    after = rest.partition(_END)[2]
    page.write_text(
        "".join(
            [before, _BEGIN, "\n", *table(outcomes, machine), *_growth(), *_beside(beside), *_parts(parts), _END, after]
        )
    )


def table(outcomes: Sequence[Outcome], machine: Mapping[str, Any]) -> Iterable[str]:
    """The Markdown table, in two parts, with the machine under it."""
    yield "| operation | against | tasks | ratio | range | target | | ms each, lazymig / by hand "
    yield "| processor time | round trips |\n"
    yield "| --- | --- | --: | --: | --- | --: | --- | --- | --: | --: |\n"
    for one in outcomes:
        if one.against != RAW:
            trips = "" if one.round_trips is None else f"{one.round_trips:g}"
            cpu = "" if one.cpu_ratio is None else f"{one.cpu_ratio:.2f}"
            yield f"{_cells(one)} {aim(one)} | {_verdict(one)} | {_times(one)} | {cpu} | {trips} |\n"
    yield "\nBeside the raw driver (no structuring at all), other libraries' reads of the same documents:\n\n"
    yield "| read | against | tasks | ratio | range | ms each, it / raw |\n| --- | --- | --: | --: | --- | --- |\n"
    for one in outcomes:
        if one.against == RAW:
            yield f"{_cells(one)} {_times(one)} |\n"
    yield "\nMeasured on: " + ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in machine.items()) + ".\n"


def _growth() -> Iterable[str]:
    """The chart of what an operation costs, where it has been drawn."""
    if (HERE / "results" / "growth.svg").exists():
        yield "\n![milliseconds per operation, by entities and by tasks](results/growth.svg)\n"


def _beside(figures: Mapping[str, Any] | None) -> Iterable[str]:
    """What a sweep costs besides time."""
    if figures is None:
        return
    converted = figures["converted"]
    yield f"\nThe sweep's documents have {converted['bytes']:,} bytes on average; converting one takes "
    yield f"{converted['us']:.0f} µs with cattrs and the user's function, without BSON's decoding and encoding.\n"
    yield "\n| beside the sweep | measured | target |\n| --- | --- | --- |\n"
    for count, megabytes in figures["resident_mb"].items():
        yield f"| peak resident memory, sweep of {count} | {megabytes:.0f} MB | under 150, flat |\n"


def _parts(figures: Mapping[str, Mapping[str, float]] | None) -> Iterable[str]:
    """What each part takes alone, by `benchmarks.parts`."""
    titles = {
        "statements_ms": "ms per statement, bare, one task",
        "order_us": "µs per document of the first table's rows",
        "invoice_us": "µs per document of the sweeps",
    }
    for name, title in titles.items() if figures is not None else ():
        yield f"\n| {title} | |\n| --- | --: |\n"
        for part, value in figures[name].items():
            yield f"| {part} | {value:g} |\n"


def _cells(one: Outcome) -> str:
    spread = f"{min(one.ratios):.2f} - {max(one.ratios):.2f}"
    return f"| {one.row} | {one.against} | {one.tasks} | {one.ratio:.2f} | {spread} |"


def _verdict(one: Outcome) -> str:
    met = {None: "", True: "met", False: "**not met**"}[one.met]
    return met if one.failures is None else f"{met}, {one.failures} failed"


def _times(one: Outcome) -> str:
    return f"{one.ours_ms:.3f} / {one.theirs_ms:.3f}"


def main() -> None:
    from benchmarks.options import NOT_MET, verdict

    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description="draw what is kept once more")
    parser.add_argument("--check", action="store_true", help=f"exit with {NOT_MET} if a kept row misses its target")
    arguments = parser.parse_args()
    redraw()
    raise SystemExit(verdict([one for rows in everything().values() for one in rows], check=arguments.check))


if __name__ == "__main__":
    main()
