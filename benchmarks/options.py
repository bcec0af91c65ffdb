"""What the commands have in common: which rows to measure, and whether the exit code says that targets are met."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from benchmarks import report
from benchmarks.measure import Outcome

#: The exit code of `--check` where a target is not met.
NOT_MET = 3


def arguments_of(command: str, description: str, rounds: int = 7) -> argparse.ArgumentParser:
    """The parser of one command, to which it adds options of its own."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{command}", description=description)
    parser.add_argument("--rounds", type=int, default=rounds, help=f"alternating rounds per row (default {rounds})")
    parser.add_argument("--quick", action="store_true", help="small and short; prints, and writes nothing")
    parser.add_argument(
        "--rows", nargs="+", metavar="TEXT", help="only rows with one of these texts in their name; writes nothing"
    )
    parser.add_argument("--keep", action="store_true", help="with --rows: put these rows into the results all the same")
    parser.add_argument("--check", action="store_true", help=f"exit with {NOT_MET} if a row misses its target")
    return parser


def kept(arguments: argparse.Namespace) -> bool:
    """Whether this run's figures are written into the results."""
    return not arguments.quick and (arguments.keep or not arguments.rows)


def chosen(row: str, arguments: argparse.Namespace) -> bool:
    """Whether this row is to be measured."""
    return not arguments.rows or any(text.lower() in row.lower() for text in arguments.rows)


def verdict(outcomes: Sequence[Outcome], *, check: bool) -> int:
    """Print which targets are not met; the exit code, which is 0 unless it is asked for."""
    aimed = [one for one in outcomes if one.target is not None]
    missed = [one for one in aimed if not one.met]
    print(f"\n{len(aimed) - len(missed)} of {len(aimed)} targets are met" + (", but not:" if missed else "."))
    for one in missed:
        print(f"  {report.line(one)}")
    if check and not aimed:
        print("nothing was measured that has a target")
    return NOT_MET if check and (missed or not aimed) else 0
