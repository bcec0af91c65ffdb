"""The ledger as a table: `python -m tests.faults.report ledger.json > docs/faults.md`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

HEADINGS = ("fault", "injected", "operations", "uncertain", "entities", "violations")
PAGE = """# Faults on a real server

What `tests/faults` did in one run, made by `python -m tests.faults.report` from that run's ledger. *Uncertain* are the
writes whose caller got an error of the driver: they may or may not have happened, and both is right. A *violation* is
an entity whose history is not linearizable, or on which V1 and V2 do not agree after a sweep.

{table}
"""


def table(rows: Iterable[Any]) -> str:
    """A Markdown table with its totals."""
    cells = [[getattr(row, name) for name in HEADINGS] for row in rows]
    cells.append(["**total**", *(sum(row[column] for row in cells) for column in range(1, len(HEADINGS)))])
    lines = [HEADINGS, ["---"] + ["---:"] * (len(HEADINGS) - 1), *cells]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def main() -> None:
    """Print the page of a ledger."""
    from tests.faults.claims import Row

    rows = [Row(**row) for row in json.loads(Path(sys.argv[1]).read_text("utf-8"))]
    print(PAGE.format(table=table(rows)), end="")


if __name__ == "__main__":
    main()
