"""What the doctor reports: findings, each with its severity, its evidence and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from attrs import evolve, field, frozen, mutable

from lazymig.stores.given import RawId

#: How many ids a finding names.
_IDS_SHOWN = 5


class Severity(StrEnum):
    """How serious a finding is.

    Attributes:
        BLOCKS: The migration cannot go on, or would lose something.
        WARNING: Something goes wrong later, or under load, or after a failure.
        NOTE: Something to know; also what could not be checked.
        OK: A check found nothing.
    """

    BLOCKS = "blocks"
    WARNING = "warning"
    NOTE = "note"
    OK = "ok"


@frozen
class Finding:
    """One thing that a check found. It contains nothing of a document except ids and names of fields.

    Attributes:
        severity: How serious it is.
        check: The check's name.
        evidence: What was seen.
        advice: What to do; empty where nothing is to be done.
        ids: Some of the entities that it is about.
    """

    severity: Severity
    check: str
    evidence: str
    advice: str = ""
    ids: tuple[RawId, ...] = ()


@frozen
class Diagnosis:
    """What the doctor found.

    Attributes:
        migration: The migration's name.
        findings: All findings, the most serious first.
        documents: About how many documents V1 has.
        examined: How many of them were examined.
        elapsed_s: Seconds that it took.
    """

    migration: str
    findings: tuple[Finding, ...]
    documents: int
    examined: int
    elapsed_s: float

    @property
    def blocked(self) -> bool:
        """Whether any finding blocks the migration."""
        return any(finding.severity is Severity.BLOCKS for finding in self.findings)


def sort_findings(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return the findings, the most serious first, and else in their order."""
    ranks = list(Severity)
    return tuple(sorted(findings, key=lambda finding: ranks.index(finding.severity)))


def merge_sides(findings: Iterable[Finding]) -> list[Finding]:
    """Make one finding of two that say the same of V1 and of V2."""
    merged: dict[tuple[str, ...], Finding] = {}
    for finding in findings:
        side, found, text = finding.evidence.partition(": ")
        if not found or side not in ("v1", "v2"):
            merged[(finding.check, finding.evidence)] = finding
            continue
        key = (finding.severity, finding.check, text, finding.advice)
        merged[key] = evolve(finding, evidence=f"v1 and v2: {text}") if key in merged else finding
    return list(merged.values())


def blocks(check: str, evidence: str, advice: str, ids: Iterable[RawId] = ()) -> Finding:
    """Return a finding that blocks."""
    return Finding(Severity.BLOCKS, check, evidence, advice, tuple(ids))


def warns(check: str, evidence: str, advice: str, ids: Iterable[RawId] = ()) -> Finding:
    """Return a warning."""
    return Finding(Severity.WARNING, check, evidence, advice, tuple(ids))


def notes(check: str, evidence: str, advice: str = "", ids: Iterable[RawId] = ()) -> Finding:
    """Return a note."""
    return Finding(Severity.NOTE, check, evidence, advice, tuple(ids))


def passes(check: str, evidence: str) -> Finding:
    """Return the finding of a check that found nothing."""
    return Finding(Severity.OK, check, evidence)


@mutable
class Group:
    """Documents with the same trouble: how many, and the first ids."""

    count: int = 0
    ids: list[RawId] = field(factory=list)

    def add(self, id: RawId) -> None:
        """Count one more."""
        self.count += 1
        if len(self.ids) < _IDS_SHOWN:
            self.ids.append(id)
