"""What lazymig still owes to its own rules: `debts.toml`, whose lists and number only shrink.

A rule's finding that is not listed fails the tests, and so does an entry that nothing needs any more. After a fix,
`python -m tests.debts` takes off what was paid. Nothing adds an entry; fix what a rule finds instead.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("debts.toml")
PAY = "take off what was paid: python -m tests.debts"
#: How far a count may fall before the number must follow.
SLACK = 10


def owed(file: Path = FILE) -> dict[str, Any]:
    """The accepted findings by rule, and the accepted count of `Any`."""
    return tomllib.loads(file.read_text("utf-8"))


def unbalanced(found: Iterable[str], accepted: Iterable[str]) -> list[str]:
    """Findings that nobody accepted, and accepted ones that are no longer found."""
    new, old = set(found), set(accepted)
    return [f"{entry}: fix this" for entry in sorted(new - old)] + [f"{entry}: {PAY}" for entry in sorted(old - new)]


def uncounted(count: int, accepted: int) -> str:
    """What is wrong with a count that may only fall, or ""."""
    if count > accepted:
        return f"{count}, more than {accepted}: use a type that says more"
    return f"{count}, well below {accepted}: {PAY}" if count < accepted - SLACK else ""


def paid(accepted: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """The debts without what was paid: never more than before."""
    return {
        rule: min(debt, found[rule]) if isinstance(debt, int) else sorted(set(debt) & set(found[rule]))
        for rule, debt in accepted.items()
    }


def written(debts: Mapping[str, Any]) -> str:
    """The debts as the text of `debts.toml`."""
    lines = ["# What the code still owes to its rules. It only shrinks: see debts.py beside this file."]
    for rule, debt in debts.items():
        entries = "".join(f'    "{entry}",\n' for entry in debt) if not isinstance(debt, int) else ""
        lines.append(
            f"{rule} = {debt}" if isinstance(debt, int) else f"{rule} = [\n{entries}]" if debt else f"{rule} = []"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Take off what was paid."""
    from tests import public, test_house_sizes

    FILE.write_text(written(paid(owed(), test_house_sizes.found() | public.found())), "utf-8")


if __name__ == "__main__":
    main()
