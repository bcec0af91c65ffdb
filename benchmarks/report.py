"""The figures kept: `results/*.json`, and from all of them the table in README.md and the chart.

Whoever adds another measurement (a sweep, say) calls `write` with a name and outcomes of its own.
"""

from __future__ import annotations

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

from benchmarks.measure import Outcome

HERE = Path(__file__).parent
_BEGIN, _END = "<!-- table: written by benchmarks.report -->", "<!-- end of table -->"
_PACKAGES = ("pymongo", "attrs", "cattrs", "motor", "beanie", "odmantic")


def line(one: Outcome) -> str:
    """One outcome for the terminal."""
    aim = "" if one.target is None else f"  target {one.target:<5} {'met' if one.met else 'NOT MET'}"
    return (
        f"{one.row:32} {one.tasks:>3} tasks  {one.ratio:6.2f}  [{min(one.ratios):.2f} .. {max(one.ratios):.2f}]"
        f"  {one.ours_ms:9.3f} / {one.theirs_ms:9.3f} ms{aim}"
    )


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


def write(name: str, machine: Mapping[str, Any], rounds: int, outcomes: Sequence[Outcome]) -> None:
    """Keep one measurement, and draw the table and the chart from all that are kept."""
    kept = {"machine": dict(machine), "rounds": rounds, "outcomes": [attrs.asdict(one) for one in outcomes]}
    folder = HERE / "results"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(kept, indent=1) + "\n")
    redraw()


def redraw() -> None:
    """The table and the chart from the measurements that are kept: `python -m benchmarks.report`."""
    folder = HERE / "results"
    measured = {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}
    measured = {name: kept for name, kept in measured.items() if "outcomes" in kept}
    everything = [Outcome(**row) for kept in measured.values() for row in kept["outcomes"]]
    machine = next(iter(measured.values()))["machine"]
    rounds = ", ".join(f"{kept['rounds']} ({name})" for name, kept in measured.items())
    _write_table(everything, {**machine, "rounds": rounds}, _kept("sweeps_beside"), _kept("parts"))
    try:
        from benchmarks.chart import draw
    except ImportError:
        print("no chart drawn: pip install altair vl-convert-python")
        return
    draw(everything, folder / "ratios.svg")


def _kept(name: str) -> Any:
    path = HERE / "results" / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def _write_table(outcomes: Sequence[Outcome], machine: Mapping[str, Any], beside: Any, parts: Any) -> None:
    page = HERE / "README.md"
    before, _, rest = page.read_text().partition(_BEGIN)
    after = rest.partition(_END)[2]
    page.write_text(
        "".join([before, _BEGIN, "\n", *table(outcomes, machine), *_beside(beside), *_parts(parts), _END, after])
    )


def table(outcomes: Sequence[Outcome], machine: Mapping[str, Any]) -> Iterable[str]:
    """The Markdown table, in two parts, with the machine under it."""
    yield "| operation | against | tasks | ratio | range | target | | ms each, lazymig / by hand | round trips |\n"
    yield "| --- | --- | --: | --: | --- | --: | --- | --- | --: |\n"
    for one in outcomes:
        if one.target is not None:
            trips = "" if one.round_trips is None else f"{one.round_trips:g}"
            yield f"{_cells(one)} {one.target:g} | {'met' if one.met else '**not met**'} | {_times(one)} | {trips} |\n"
    yield "\nBeside the raw driver (no structuring at all), other libraries' reads of the same documents:\n\n"
    yield "| read | against | tasks | ratio | range | ms each, it / raw |\n| --- | --- | --: | --: | --- | --- |\n"
    for one in outcomes:
        if one.target is None:
            yield f"{_cells(one)} {_times(one)} |\n"
    yield "\nMeasured on: " + ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in machine.items()) + ".\n"


def _beside(figures: Mapping[str, Any] | None) -> Iterable[str]:
    """What a sweep costs besides time."""
    if figures is None:
        return
    live, converted = figures["live"], figures["converted"]
    yield f"\nThe sweep's documents have {converted['bytes']:,} bytes on average; converting one takes "
    yield f"{converted['us']:.0f} µs with cattrs and the user's function, without BSON's decoding and encoding.\n"
    yield "\n| beside the sweep | measured | target |\n| --- | --- | --- |\n"
    times = f"{live['beside_ms']:.1f} / {live['alone_ms']:.1f} ms"
    spread = f"{min(live['ratios']):.2f} - {max(live['ratios']):.2f}"
    yield f"| p99 of `get` by 16 live clients, with / without a sweep | {times},"
    yield f" ratio {live['p99_ratio']:.2f} (range {spread}) | at most {live['target']:g} |\n"
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


def _times(one: Outcome) -> str:
    return f"{one.ours_ms:.3f} / {one.theirs_ms:.3f}"


if __name__ == "__main__":
    redraw()
