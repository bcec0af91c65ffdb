"""Checks of the conversions on real documents: those that do not convert, that do not come back, or that vary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from attrs import frozen

from lazymig.comparing.checks import UPGRADE
from lazymig.comparing.equivalences import without_places
from lazymig.diagnosis.examining import Converted, Ignoring
from lazymig.diagnosis.findings import Finding, Group, blocks, notes, passes, warns
from lazymig.errors import ConversionError
from lazymig.stores.given import RawId
from lazymig.stores.records import Unmoved
from lazymig.stores.verdicts import Difference, Verdict

K = TypeVar("K")

#: How many findings one check makes of one kind.
GROUPS_SHOWN = 20
_UNMOVED_TEXTS = {
    "waiting": "wait for their users, because upgrade raises NotYet",
    "left": "stay in V1, because upgrade returns LEAVE",
}


@frozen
class Failure:
    """What documents that do not convert have in common."""

    step: str
    error: str
    path: str
    line: str

    def __str__(self) -> str:
        line = f" at {self.line}" if self.line else ""
        path = f", field {self.path}" if self.path else ""
        return f"{self.step}: {self.error}{line}{path}"


class Failing(Ignoring):
    """Finds documents that do not convert, by their error, the user's line and the field."""

    check = "conversion"

    def __init__(self) -> None:
        self._groups: dict[Failure, Group] = {}
        self._count = 0
        self._unmoved = {"waiting": Group(), "left": Group()}

    def note_failure(self, id: RawId, error: ConversionError) -> None:
        """Note a document that does not convert."""
        step = f"reading the {error.side or 'stored'} document" if error.direction == "read" else error.direction
        failure = Failure(step, type(error.cause).__name__, without_places(error.path), error.line)
        self._groups.setdefault(failure, Group()).add(id)

    def note_converted(self, one: Converted) -> None:
        """Count a document that converts."""
        self._count += 1

    def note_unmoved(self, id: RawId, unmoved: Unmoved) -> None:
        """Note a document that waits for its user, or is left."""
        self._count += 1
        self._unmoved[unmoved.why].add(id)

    def findings(self) -> Sequence[Finding]:
        """Return one finding per group, the largest first."""
        of = self._count + sum(group.count for group in self._groups.values())
        found = [
            blocks(
                self.check, f"{group.count:,} of {of:,} documents do not convert: {failure}",
                "correct the documents, or let the class and the conversion take them; a sweep would record a dead "
                "letter for each", group.ids,
            )
            for failure, group in _largest(self._groups)
        ]  # fmt: skip
        found += [
            notes(
                self.check, f"{group.count:,} of {of:,} documents {_UNMOVED_TEXTS[why]}",
                "nothing, if that is what upgrade is meant to decide", group.ids,
            )
            for why, group in self._unmoved.items() if group.count
        ]  # fmt: skip
        return found or ([passes(self.check, f"{of:,} documents convert")] if of else [])


class ComingBack(Ignoring):
    """Finds documents that V2 cannot give back to V1 as they are stored, and conversions that vary."""

    check = "round trip"

    def __init__(self) -> None:
        self._lost: dict[tuple[str, ...], Group] = {}
        self._varying: dict[tuple[str, ...], Group] = {}
        self._unknown: dict[tuple[str, ...], Group] = {}
        self._count = self._with_defaults = 0

    def note_converted(self, one: Converted) -> None:
        """Note what the comparison of both sides found."""
        comparison = one.comparison
        if comparison.verdict is Verdict.MATCH:
            self._count += 1
            self._with_defaults += bool(comparison.accepted)
            return
        if comparison.verdict is Verdict.DIFFERENT:
            groups = self._varying if comparison.check == UPGRADE else self._lost
            key = tuple(dict.fromkeys(map(_describe, comparison.differences)))
        else:
            groups, key = self._unknown, (comparison.reason,)
        groups.setdefault(key, Group()).add(one.truth.id)

    def findings(self) -> Sequence[Finding]:
        """Return one finding per group of fields, the largest first."""
        every = [group for groups in (self._lost, self._varying, self._unknown) for group in groups.values()]
        of = self._count + sum(group.count for group in every)
        found = [
            blocks(
                self.check, f"{group.count:,} of {of:,} documents change on the way back to V1: {'; '.join(key)}",
                "let downgrade return exactly what V1 holds: keep the value in V2, or take it from V1 as downgrade's "
                "second argument", group.ids,
            )
            for key, group in _largest(self._lost)
        ]  # fmt: skip
        found += [
            blocks(
                self.check, f"{group.count:,} of {of:,} documents do not come back: {'; '.join(key)}",
                "correct downgrade; without it no client can write these entities", group.ids,
            )
            for key, group in _largest(self._unknown)
        ]  # fmt: skip
        if not found and self._count:
            found.append(passes(self.check, f"{self._count:,} documents come back exactly, with their BSON types"))
        if self._with_defaults:
            found.append(
                notes(
                    self.check, f"{self._with_defaults:,} of {of:,} documents lack fields for which V1's class has "
                    "defaults", "nothing; V1 stays as it is. Pass --accept missing-default to lazymig verify",
                )
            )  # fmt: skip
        return [*found, *self._find_varying(of)]

    def _find_varying(self, of: int) -> Sequence[Finding]:
        check = "determinism"
        found = [
            warns(
                check, f"{group.count:,} of {of:,} documents become another V2 document each time: {'; '.join(key)}",
                "do not use the time, random numbers or the order of sets in upgrade; otherwise verification cannot "
                "know what V2 should hold", group.ids,
            )
            for key, group in _largest(self._varying)
        ]  # fmt: skip
        return found or ([passes(check, f"{of:,} documents become the same V2 document twice")] if of else [])


def _describe(difference: Difference) -> str:
    kinds = f"{difference.expected} becomes {difference.found}"
    if difference.expected == difference.found:
        kinds = f"another {difference.found}"
    return f"field {without_places(difference.path)}: {kinds}"


def _largest(groups: dict[K, Group]) -> list[tuple[K, Group]]:
    return sorted(groups.items(), key=lambda item: -item[1].count)[:GROUPS_SHOWN]
