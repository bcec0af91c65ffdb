"""What the demo prints at its end: one customer before and after, who did what, what was compared, what to do next."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, metadata

import attrs

from lazymig.cli.demo.comparison import Comparison
from lazymig.cli.demo.play import CLIENTS_EACH, Outcome
from lazymig.cli.demo.showing import pretty
from lazymig.cli.output import definitions, say, section, table, verdict, wrapped

_VERBS = ("get", "update", "insert", "delete")
#: What to run after the demo, and what for.
NEXT = {
    "lazymig init": "write a first migration of your own, with its tests",
    "lazymig demo --server": "this demo on a real MongoDB (needs lazymig[server])",
    "lazymig --help": "all commands; each has a --help of its own",
}


def as_object(outcome: Outcome, facts: Mapping[str, object]) -> dict[str, object]:
    """Return the outcome and the facts of this run for JSON."""
    operations: dict[str, dict[str, int]] = {"new": {}, "old": {}}
    for (door, verb), count in sorted(outcome.operations.items()):
        operations[door][verb] = count
    return {
        **facts,
        **attrs.asdict(outcome.comparison),
        "perfect": outcome.comparison.perfect,
        "operations": operations,
        "migrated_by": outcome.migrated,
        "healed": outcome.healed,
        "elapsed_s": round(outcome.elapsed_s, 3),
        "next": list(NEXT),
    }


def show(outcome: Outcome, facts: Mapping[str, object]) -> None:
    """Print the outcome for a person."""
    wrapped(
        f"500 real customers in {facts['where']}; {CLIENTS_EACH} new clients (V2) and {CLIENTS_EACH} old clients (V1) "
        f"worked on them at the same time: {outcome.operations.total()} operations in {outcome.elapsed_s:.1f} s, "
        f"seed {facts['seed']}."
    )
    _show_example(outcome.comparison)
    _show_counts(outcome)
    _show_comparison(outcome.comparison)
    section("Next")
    definitions({**NEXT, "Documentation:": _documentation()})
    if facts["kept_in"]:
        say(f"The database stays: {facts['kept_in']}")


def _show_example(compared: Comparison) -> None:
    if compared.before is None or compared.after is None:
        return
    section("One customer before, in V1")
    for line in pretty(compared.before):
        say(line)
    section("The same customer now, in V2")
    for line in pretty(compared.after):
        say(line)
    wrapped(
        "V1 (collection customers) still holds its document, unchanged. V2 is the collection customers_v2; _lazymig is "
        "lazymig's own field."
    )


def _show_counts(outcome: Outcome) -> None:
    doors = (("V2 (new)", "new"), ("V1 (old)", "old"))
    rows = [(title, *(outcome.operations[door, verb] for verb in _VERBS)) for title, door in doors]
    table("Operations by clients of", ("", *_VERBS), rows)
    ways = outcome.migrated
    reasons = (
        ("their first read", ways["read"]),
        ("their first write", ways["write"]),
        ("the sweeper", ways["sweep"]),
        ("healing after a writer died", ways["heal"]),
        ("insert (new customers)", ways["insert"]),
    )
    table("Customers came to V2 by", ("", "customers"), reasons)


def _show_comparison(compared: Comparison) -> None:
    section("Compared at the end")
    for line in (
        "Each customer's document in V1 with its document in V2: upgrade makes V2's from V1's, downgrade makes V1's "
        "from V2's, and both have the same revision.",
        "Each customer that no client changed with its original, byte by byte.",
        "Each change that was acknowledged to a client with what is stored: "
        f"{compared.kept} of {compared.acknowledged} are there.",
        f"The number of customers: loaded and inserted, less deleted, makes {compared.expected}; "
        f"{compared.entities} are there.",
    ):
        wrapped(line, first="- ", rest="  ")
    verdict(f"{compared.equal} of {max(compared.entities, compared.expected)} equal", good=compared.perfect)


def _documentation() -> str:
    """Return the address of the documentation that the installed package names."""
    try:
        named = metadata("lazymig").get_all("Project-URL") or []
    except PackageNotFoundError:
        named = []
    urls: dict[str, str] = dict(entry.split(", ", 1) for entry in named if ", " in entry)
    return urls.get("Documentation", "README.md and the folder docs, in the source")
