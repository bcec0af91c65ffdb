"""The findings of the doctor and of `lazymig check`, for a person and as JSON."""

from __future__ import annotations

from collections import Counter

import attrs
from rich.console import Console
from rich.text import Text

from lazymig.cli.options import Exit
from lazymig.cli.output import is_terminal, plain, say, show_json, width_of_text, wrapped
from lazymig.doctor import Diagnosis, Finding, Severity
from lazymig.status.ids import Names
from lazymig.stores.documents import decode_id

_STYLES = {Severity.BLOCKS: "bold red", Severity.WARNING: "yellow", Severity.NOTE: "cyan", Severity.OK: "green"}
_INDENT = " " * 4


def show_diagnosis(diagnosis: Diagnosis, *, in_json: bool, verbose: bool = False) -> int:
    """Print the findings on stdout, and return the exit code."""
    if in_json:
        findings = [_as_object(finding) for finding in diagnosis.findings]
        show_json({**attrs.asdict(diagnosis), "findings": findings, "blocked": diagnosis.blocked})
    else:
        _show(diagnosis, verbose=verbose)
    return Exit.NEEDS_PERSON if diagnosis.blocked else Exit.DONE


def _as_object(finding: Finding) -> dict[str, object]:
    names = Names(finding.ids)
    ids = [{"id": decode_id(id), "ref": names.reference(id)} for id in finding.ids]
    return {**attrs.asdict(finding), "severity": str(finding.severity), "ids": ids}


def _show(diagnosis: Diagnosis, *, verbose: bool) -> None:
    examined = f"{diagnosis.examined:,} of about {diagnosis.documents:,} documents examined, "
    say(f"{diagnosis.migration}: {examined if diagnosis.documents else ''}{diagnosis.elapsed_s:.1f} s")
    shown = [one for one in diagnosis.findings if verbose or one.severity is not Severity.OK]
    for finding in shown:
        say("")
        _show_finding(finding)
    say("")
    counts = Counter(finding.severity for finding in diagnosis.findings)
    wrapped(_count_up(counts))


def _show_finding(finding: Finding) -> None:
    head = Text.assemble((finding.severity, _STYLES[finding.severity]), f"  {plain(finding.check)}")
    if is_terminal():
        Console(highlight=False).print(head, soft_wrap=True)
    else:
        say(head.plain)
    wrapped(finding.evidence, first=_INDENT, rest=_INDENT)
    if finding.ids:
        names = Names(finding.ids)
        # An id is never broken, so that it can be copied.
        for line in _in_lines([plain(names.reference(id)) for id in finding.ids], width_of_text() - len(_INDENT) * 2):
            say(f"{_INDENT}{line}")
    if finding.advice:
        wrapped(f"-> {finding.advice}", first=_INDENT, rest=f"{_INDENT}   ")


def _in_lines(words: list[str], width: int) -> list[str]:
    """Return "for example A, B, C" in lines of whole words."""
    lines, line = [], "for example"
    for place, word in enumerate(words):
        text = word + ("," if place < len(words) - 1 else "")
        if len(line) + len(text) >= width and line:
            lines.append(line)
            line = text
        else:
            line = f"{line} {text}".strip()
    return [*lines, line]


def _count_up(counts: Counter[Severity]) -> str:
    blocking, warnings, notes, fine = (counts[severity] for severity in Severity)
    parts = [
        f"{blocking} {'finding blocks' if blocking == 1 else 'findings block'} the migration",
        f"{warnings} warning{'' if warnings == 1 else 's'}",
        f"{notes} note{'' if notes == 1 else 's'}",
        f"{fine} check{'' if fine == 1 else 's'} without a finding",
    ]
    return ", ".join(parts) if blocking else f"Nothing blocks the migration: {', '.join(parts[1:])}"
