"""Checks of a release: its revision and classes against the control collection, its conversions against documents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from attrs import frozen

from lazymig.control import Control, parts_of
from lazymig.diagnosis.conversion import ComingBack, Failing
from lazymig.diagnosis.examining import Examination, Examiner, OnProgress, Subject, TwoSides
from lazymig.diagnosis.findings import Finding, blocks, notes, passes
from lazymig.diagnosis.ids import Ids
from lazymig.diagnosis.in_place.sharing import Sharing
from lazymig.diagnosis.in_place.subject import OneSide
from lazymig.diagnosis.mapping import FieldMap
from lazymig.diagnosis.writers import CHECK as WRITERS
from lazymig.diagnosis.writers import Writers
from lazymig.protocol.in_place.place import Place
from lazymig.protocol.pair import Pair
from lazymig.sweeping.revisions import find_warnings

V1 = TypeVar("V1")
V2 = TypeVar("V2")

CHECK = "revision"


async def check_release(pair: Pair[V1, V2] | Place[V1, V2], control: Control) -> Sequence[Finding]:
    """Compare the classes and the revision of this release with those that ran before. Driver errors pass through."""
    migration = pair.conversions.migration
    warnings = await find_warnings(pair, control)
    if warnings:
        return [
            blocks(CHECK, evidence, advice or "raise Migration(revision=...)")
            for evidence, _, advice in (warning.partition(": ") for warning in warnings)
        ]
    known = await parts_of(control).conversions.find(migration.name)
    if known is None:
        return [notes(CHECK, "no release has swept yet, so there are no classes to compare with")]
    if known.revision < migration.revision:
        return [notes(CHECK, f"revision {migration.revision} is newer than {known.revision}, the last that has swept")]
    return [passes(CHECK, f"the classes are those of revision {known.revision}, as it has swept")]


@frozen
class Checked:
    """The findings of the checks of a release, and how many documents of how many were examined."""

    findings: tuple[Finding, ...]
    examined: int
    documents: int


async def check_conversions(ground: Pair[V1, V2] | Place[V1, V2], sample: int, on_progress: OnProgress) -> Checked:
    """Convert this many documents of V1 there and back, and report what does not convert or come back."""
    examiners: tuple[Examiner, ...] = (Failing(), ComingBack(), Ids(ground.conversions.migration.check_id))
    sharing: Sharing | None = None
    subject: Subject
    if isinstance(ground, Place):
        sharing = Sharing(ground.shape, remembers=False)
        subject = OneSide(ground, sharing, FieldMap(()))
    else:
        subject = TwoSides(ground, Writers())
    examination = Examination(subject, examiners)
    await examination.run(sample, on_progress)
    found = tuple(finding for examiner in examiners for finding in examiner.findings())
    if sharing is not None:  # what other programs do is the doctor's to say
        found += tuple(one for one in sharing.findings() if one.check != WRITERS)
    return Checked(found, examination.examined, examination.documents)
