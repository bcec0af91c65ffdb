"""What would go wrong with a migration in one collection: the server, the collection, its indexes and documents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeVar

from attrs import evolve

from lazymig.control import Control
from lazymig.diagnosis.collections import check_collections, check_control
from lazymig.diagnosis.conversion import ComingBack, Failing
from lazymig.diagnosis.examining import Examination, Examiner, OnProgress
from lazymig.diagnosis.facts import SideFacts, gather_facts
from lazymig.diagnosis.findings import Diagnosis, Finding, sort_findings
from lazymig.diagnosis.growth import Additive, Sizes, SizeTexts
from lazymig.diagnosis.ids import Ids
from lazymig.diagnosis.in_place.sharing import Sharing
from lazymig.diagnosis.in_place.subject import OneSide
from lazymig.diagnosis.indexes import Duplicates, check_indexes, list_indexes, list_paths
from lazymig.diagnosis.mapping import FieldMap
from lazymig.diagnosis.releases import check_release
from lazymig.diagnosis.servers import check_clocks, check_concerns, check_topology, check_versions
from lazymig.diagnosis.writers import check_class
from lazymig.loop.clock import Clock
from lazymig.protocol.in_place.place import Place
from lazymig.routes.calls import Calls
from lazymig.shapes.migration import get_upgrading
from lazymig.shapes.one_document import OneDocument
from lazymig.stores.documents import META_FIELD
from lazymig.stores.records import Document
from lazymig.surroundings.checking import Surroundings

V1 = TypeVar("V1")
V2 = TypeVar("V2")

_TEXTS: Final = SizeTexts(
    "with both parts", "documents with both parts have", "V1's part alone",
    "migrate to a second collection, or let V2 hold less",
)  # fmt: skip
_REFUSED: Final = "correct the documents, or drop the unique index; the server refuses both parts of such a document"


async def diagnose(
    calls: Calls[V1, V2], place: Place[V1, V2], control: Control, sample: int | None, on_progress: OnProgress | None,
    clock: Clock,
) -> Diagnosis:  # fmt: skip
    """Make every check once. Driver errors pass through, except where a right is missing."""
    began_s, apart = clock.monotonic(), list(check_control(control, place.store, place.store))
    stage = await calls.look()
    found = await stage.first_use.look(control=None if apart else control, whole=True)
    facts = await gather_facts(calls.collections.v1, found.v1, clock)
    findings = [*apart, *_check_server(found, facts)]
    sharing = Sharing(place.shape, remembers=get_upgrading(place.conversions.migration).takes_other)
    wanted = _list_of_v1(facts.seen.indexes, place.shape)
    fields = FieldMap(list_paths(wanted))
    examiners = _make_examiners(place, facts)
    examination = Examination(OneSide(place, sharing, fields), examiners)
    if sample != 0 and found.v1.kind in (None, "collection"):  # the others are no collections to migrate
        await examination.run(sample, on_progress)
        findings += [finding for examiner in examiners for finding in examiner.findings()]
        findings += sharing.findings() if stage.route.keeps_v1 else ()
    findings += check_class(place.conversions.migration.v1, META_FIELD)
    of_v1 = evolve(facts, seen=evolve(facts.seen, indexes=wanted))
    findings += check_indexes(of_v1, facts, fields, on="")
    if not apart:
        findings += await check_release(place, control)
    return Diagnosis(
        place.conversions.migration.name, sort_findings(findings), examination.documents, examination.examined,
        clock.monotonic() - began_s,
    )  # fmt: skip


def _check_server(found: Surroundings, facts: SideFacts) -> Iterator[Finding]:
    one = (facts,)
    yield from check_versions(one)
    yield from check_topology(one)
    yield from check_concerns(one)
    yield from check_clocks(one)
    yield from check_collections(found, one)


def _make_examiners(place: Place[V1, V2], facts: SideFacts) -> tuple[Examiner, ...]:
    unique = Duplicates(_list_of_v2(facts.seen.indexes, place.shape), _REFUSED)
    check_id = place.conversions.migration.check_id
    return Failing(), ComingBack(), Ids(check_id), Sizes(_TEXTS), unique, Additive()


def _list_of_v1(indexes: Sequence[Document], shape: OneDocument) -> list[Document]:
    """Return the indexes that serve queries by V1's fields."""
    return [one for one in list_indexes(indexes) if not _firsts_of(one["key"]) & shape.v2_own]


def _list_of_v2(indexes: Sequence[Document], shape: OneDocument) -> list[Document]:
    """Return the indexes on V2's own fields alone, by the paths that these have in V2's part."""
    found = [one for one in list_indexes(indexes) if _firsts_of(one["key"]) <= shape.v2_own]
    if shape.within is None:
        return found
    return [{name: _inside(value, f"{shape.within}.") for name, value in one.items()} for one in found]


def _inside(value: object, start: str) -> object:
    """Return the keys or the filter of an index by the paths within the sub-document."""
    if not isinstance(value, Mapping):
        return value
    return {str(path).removeprefix(start): inner for path, inner in value.items()}


def _firsts_of(keys: Document) -> set[str]:
    return {str(path).partition(".")[0] for path in keys}
