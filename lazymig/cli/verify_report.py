"""The report of a verification for a person, for a pipe, and as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from shlex import quote
from typing import TypeAlias

import attrs

from lazymig.cli.output import is_terminal, plain, say, say_fields, show_json, wrapped
from lazymig.comparing.equivalences import ADVICE, suggest, without_places
from lazymig.status.ids import Names
from lazymig.status.words import VERDICTS
from lazymig.stores.documents import decode_id
from lazymig.stores.verdicts import Difference, Mismatch
from lazymig.verifier import MismatchGroup, VerifyReport
from lazymig.verifying.repairs import is_repairable

#: How many groups, and how many entities with their values, a person is shown.
_GROUPS_SHOWN, _VALUES_SHOWN = 20, 20
#: Ids per group on a terminal; a pipe gets all that the report names.
_IDS_SHOWN = 3
_MOMENT = "%Y-%m-%d %H:%M:%S"
_BEHIND = "a read or a sweep stores it"
#: By verdict, check and field.
Reasons: TypeAlias = dict[tuple[str, str, str], str]
_REPAIR = "lazymig verify --repair brings V2 to what V1 holds, where that converts."


def show_report(report: VerifyReport) -> None:
    """Print the report for a person, or for a pipe."""
    ended = "finished" if report.finished else "stopped early; run it again to continue"
    per_s = report.compared / report.elapsed_s if report.elapsed_s else 0
    say(f"{report.migration}: {ended}, {report.elapsed_s:.1f} s, {per_s:,.0f} entities/s")
    for name, value in _counts(report).items():
        say(f"  {name:<30} {value}")
    for text in filter(None, (report.sample, *report.limits)):
        wrapped(f"{text[0].upper()}{text[1:].removesuffix('.')}.")
    if not report.needs_person:
        say("All that was compared agrees." if report.compared else "There was nothing to compare.")
        return
    _show_groups(report)
    _show_values(report)
    suggested = suggest(Difference(one.path, one.expected, one.found, accept=one.accept) for one in report.groups)
    if suggested:
        say("To accept differences of form, add:")
        for name in suggested[:_GROUPS_SHOWN]:
            say(f"  --accept {quote(name)}")  # not wrapped, so that it can be copied
    if any(map(is_repairable, report.mismatches)) and not report.repaired:
        wrapped(_REPAIR)


def _counts(report: VerifyReport) -> dict[str, str]:
    counts = {verdict: int(getattr(report, verdict)) for verdict in VERDICTS}
    return {
        "compared": f"{report.compared:,} of about {report.total:,}",
        "match": f"{report.match:,}",
        **({"of these, waiting for users": f"{report.waiting:,}"} if report.waiting else {}),
        **({"of these, not taken over": f"{report.left:,}"} if report.left else {}),
        **({"of these, behind": f"{report.behind:,} ({_BEHIND})"} if report.behind else {}),
        **{str(verdict): f"{count:,} ({VERDICTS[verdict]})" for verdict, count in counts.items() if count},
        **{f"accepted by {name}": f"{count:,}" for name, count in report.accepted.items()},
        "looked at again": f"{report.rechecked:,}",
        **({"repaired": f"{report.repaired:,}"} if report.repaired else {}),
        **_ages(report.mismatches),
    }


def _ages(mismatches: Iterable[Mismatch]) -> dict[str, str]:
    """Return since when the oldest of the listed mismatches has been there, and has been as it is."""
    first = min((one.first_at for one in mismatches if one.first_at is not None), default=None)
    since = min((one.since for one in mismatches if one.since is not None), default=None)
    ages = {"oldest was first found": first, "oldest is unchanged since": since}
    return {name: f"{moment:{_MOMENT}} UTC" for name, moment in ages.items() if moment is not None}


def _show_groups(report: VerifyReport) -> None:
    names = Names(id for group in report.groups for id in group.ids)
    reasons = _find_reasons(report.mismatches)
    if not is_terminal():
        say_fields(("# count", "verdict", "check", "field", "expected", "found", "accept", "ids", "reason"))
        for group in report.groups:
            say_fields(_row(group, names, reasons))
        return
    say("")
    say(f"What does not agree: {len(report.groups):,} kinds, the most frequent first")
    for group in report.groups[:_GROUPS_SHOWN]:
        _show_group(group, names, reasons)
    if len(report.groups) > _GROUPS_SHOWN:
        say(f"  and {len(report.groups) - _GROUPS_SHOWN:,} more; --json names them")
    say("")


def _row(group: MismatchGroup, names: Names, reasons: Reasons) -> tuple[str, ...]:
    accept = ",".join(suggest([Difference(group.path, group.expected, group.found, accept=group.accept)]))
    ids = " ".join(names.reference(id) for id in group.ids)
    reason = reasons.get((group.verdict, group.check, group.path), "")
    cells = (group.check, group.path, group.expected, group.found, accept, ids, reason)
    return (str(group.count), str(group.verdict), *(cell or "-" for cell in cells))


def _show_group(group: MismatchGroup, names: Names, reasons: Reasons) -> None:
    count, verdict, check, path, expected, found, accept, _, reason = _row(group, names, reasons)
    what = [f"{int(count):,} {verdict}", *([f"by {check}"] if check != "-" else [])]
    if group.expected:
        kinds = f"{_in_words(expected)} expected, {_in_words(found)} found"
        kinds = f"{expected}, another value" if expected == found else kinds
        what.append(f"{path if path != '-' else 'the whole document'}: {kinds}")
    wrapped("  ".join(what), first="  ", rest="      ")
    shown = ", ".join(names.reference(id) for id in group.ids[:_IDS_SHOWN])
    details = [f"such as {shown}", *([f"accept with {accept}"] if accept != "-" else [])]
    details += [reason] if reason != "-" else []
    wrapped("; ".join(details), first="      ", rest="      ")


def _in_words(kind: str) -> str:
    return "no field" if kind == "missing" else kind


def _find_reasons(mismatches: Iterable[Mismatch]) -> Reasons:
    """Return the first reason of each verdict, check and field. What would accept it is shown beside it already."""
    found: Reasons = {}
    for one in mismatches:
        reason = "; ".join(part for part in one.reason.split("; ") if not part.startswith(ADVICE))
        for path in {without_places(each.path) for each in one.differences} or {""} if reason else ():
            found.setdefault((one.verdict, one.check, path), reason)
    return found


def _show_values(report: VerifyReport) -> None:
    named = [one for one in report.mismatches if any(each.values for each in one.differences)][:_VALUES_SHOWN]
    names = Names(one.id for one in named)
    for one in named:
        say(f"{names.reference(one.id)}  {one.verdict}  {one.check}")
        for each in one.differences:
            expected, found = each.values or (each.expected, each.found)
            wrapped(f"{each.path}: {expected} expected, {found} found", first="    ", rest="      ")


def show_json_report(report: VerifyReport) -> None:
    """Print the report as one JSON object."""
    names = Names([*(one.id for one in report.mismatches), *(id for group in report.groups for id in group.ids)])
    show_json({**attrs.asdict(report, recurse=False), **_lists(report, names), "agrees": report.agrees})


def _lists(report: VerifyReport, names: Names) -> dict[str, object]:
    mismatches = [
        {**attrs.asdict(one), "id": decode_id(one.id), "ref": names.reference(one.id)} for one in report.mismatches
    ]
    groups = [{**attrs.asdict(one), "ids": [plain(names.reference(id)) for id in one.ids]} for one in report.groups]
    return {"accepted": dict(report.accepted), "mismatches": mismatches, "groups": groups}
