"""The doctor: it says beforehand what would go wrong with a migration on its collections. It changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from attrs import frozen

from lazymig.control import Control
from lazymig.diagnosis.collections import CONTROL, check_collections, check_control
from lazymig.diagnosis.conversion import ComingBack, Failing
from lazymig.diagnosis.examining import Examination, Examiner, TwoSides
from lazymig.diagnosis.facts import SideFacts, gather_facts
from lazymig.diagnosis.findings import Diagnosis, Finding, Severity, merge_sides, sort_findings
from lazymig.diagnosis.growth import Additive, Sizes, Unknown
from lazymig.diagnosis.ids import Ids
from lazymig.diagnosis.in_place.doctoring import diagnose
from lazymig.diagnosis.indexes import Duplicates, check_indexes, list_indexes, list_paths
from lazymig.diagnosis.mapping import FieldMap
from lazymig.diagnosis.releases import check_release
from lazymig.diagnosis.servers import check_clocks, check_clusters, check_concerns, check_topology, check_versions
from lazymig.diagnosis.writers import Writers, check_class
from lazymig.errors import ConfigurationError
from lazymig.loop.clock import SYSTEM_CLOCK, Clock
from lazymig.protocol.pair import Pair
from lazymig.repository import Repository, calls_of
from lazymig.shapes.migration import is_upcasting_only
from lazymig.stores.probes import probe_of
from lazymig.surroundings.checking import Surroundings
from lazymig.surroundings.looking import Seen

__all__ = ["Diagnosis", "Doctor", "Finding", "Severity"]

V1 = TypeVar("V1")
V2 = TypeVar("V2")


@frozen
class _Examiners:
    """The checks of documents in one run."""

    fields: FieldMap
    writers: Writers
    others: tuple[Examiner, ...]
    #: Whether V1 is the truth. Where it is not, it lacks V2's writes, and nothing is wrong.
    keeps_v1: bool

    def findings(self) -> Iterator[Finding]:
        for examiner in self.others:
            yield from examiner.findings()
        if self.keeps_v1:
            yield from self.writers.findings()


class Doctor(Generic[V1, V2]):
    """Finds what would go wrong with a migration on its collections and their servers.

    It examines the servers, the collections and a sample of V1's documents, which it converts there and back in this
    process. It writes nothing. The role `read` on both databases is enough for most checks; what this user may not see
    becomes a note with the right that is missing.

    Args:
        repository: The repository, in any phase.
        control: The control collection; by default `lazymig_control` in V2's database.
        sample: How many of V1's documents to examine, chosen at random; None for all of them, 0 for none.
        on_progress: Called with the number of documents examined so far, and about how many there will be.
        clock: The source of time, for tests.

    Raises:
        ConfigurationError: If `sample` is negative.
    """

    def __init__(
        self,
        repository: Repository[V1, V2],
        *,
        control: Control | None = None,
        sample: int | None = 1000,
        on_progress: Callable[[int, int], None] | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        if sample is not None and sample < 0:
            raise ConfigurationError("sample: pass a number of documents, 0 for none, or None for all")
        self._calls = calls = calls_of(repository)
        self._look, self._given = calls.look, calls.collections
        self._migration = repository.migration
        #: Whether there is no V2: documents are brought up in V1.
        self._alone = is_upcasting_only(repository.migration)
        self._control = calls.choose_control(control, clock)
        self._sample = sample
        self._on_progress = on_progress
        self._clock = clock

    async def run(self) -> Diagnosis:
        """Make every check once. Driver errors pass through, except where a right is missing.

        Returns:
            The findings, the most serious first.
        """
        if (place := self._calls.place) is not None:
            return await diagnose(self._calls, place, self._control, self._sample, self._on_progress, self._clock)
        began_s, pair = self._clock.monotonic(), self._pair
        findings = list(check_control(self._control, pair.v1, pair.bodies))
        stage = await self._look()
        found = await stage.first_use.look(control=None if findings else self._control, whole=not self._alone)
        # The collections as they were given: the stores' own have lazymig's concerns.
        v1 = await gather_facts(self._given.v1, found.v1, self._clock)
        v2 = await gather_facts(self._given.v2, found.v2 or Seen("v2", probe_of(pair.bodies).name), self._clock)
        findings += self._check_servers(found, v1, v2)
        examiners = self._make_examiners(v1, v2, keeps_v1=stage.route.keeps_v1)
        examination = Examination(TwoSides(pair, examiners.writers), (examiners.fields, *examiners.others))
        if self._sample != 0 and found.v1.kind in (None, "collection"):  # the others are no collections to migrate
            await examination.run(self._sample, self._on_progress)
            findings += examiners.findings()
        findings += check_class(self._migration.v1, pair.conversions.carried.revision)
        if not self._alone:
            findings += check_indexes(v1, v2, examiners.fields, pair.conversions.carried)
        if not any(finding.check == CONTROL for finding in findings):
            findings += await check_release(pair, self._control)
        return Diagnosis(
            self._migration.name, sort_findings(merge_sides(findings)), examination.documents, examination.examined,
            self._clock.monotonic() - began_s,
        )  # fmt: skip

    @property
    def _pair(self) -> Pair[V1, V2]:
        return self._calls.pair

    def _check_servers(self, found: Surroundings, v1: SideFacts, v2: SideFacts) -> Iterator[Finding]:
        both = (v1,) if self._alone else (v1, v2)
        same_client = probe_of(self._pair.v1).client_key == probe_of(self._pair.bodies).client_key
        yield from check_versions(both)
        yield from check_topology(both)
        if not self._alone:
            yield from check_clusters(v1, v2, same_client=same_client)
        yield from check_concerns(both)
        yield from check_clocks(both)
        yield from check_collections(found, both)

    def _make_examiners(self, v1: SideFacts, v2: SideFacts, *, keeps_v1: bool) -> _Examiners:
        codec, chain = self._pair.conversions.v1, self._migration.upcasters
        known = (*codec.fields, *([] if chain is None else [chain.field]))
        carried = self._pair.conversions.carried
        fields = FieldMap(list_paths(list_indexes(v1.seen.indexes, carried)))
        others: tuple[Examiner, ...] = (Failing(), ComingBack(), Ids(self._migration.check_id))
        if not self._alone:
            unknown = Unknown(known, opaque=codec.names.opaque)
            others += (Sizes(), Duplicates(v2.seen.indexes), unknown, Additive())
        return _Examiners(fields, Writers(carried.revision), others, keeps_v1)
