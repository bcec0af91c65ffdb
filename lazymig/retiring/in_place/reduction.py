"""One pass that leaves each document V2's part alone, beside the running service. It may be killed at any statement.

A document is changed by one statement, which holds it as it was read. So a write of the service or of another program
wins or loses against it as against any other write, and what other programs wrote before still counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

from attrs import define, evolve, field
from pymongo.errors import WriteError

from lazymig.control.retirement import RetirementRecord
from lazymig.errors import ConversionError
from lazymig.passes.throttle import Limits, Throttle
from lazymig.protocol.in_place.parts import Parts
from lazymig.protocol.in_place.reducing import decide_reduced
from lazymig.retiring.in_place.ground import PlaceGround
from lazymig.retiring.reduction import ReduceOptions, Reduction
from lazymig.stores.decoding import Unreadable
from lazymig.stores.documents import decode_id
from lazymig.stores.given import RawId
from lazymig.stores.keyset import BY_ID
from lazymig.stores.raw import keys_of
from lazymig.stores.records import StoredWhole, Unmoved, WholeChange
from lazymig.stores.scans import Scan
from lazymig.stores.whole_documents import parse_whole

V1 = TypeVar("V1")
V2 = TypeVar("V2")

#: Documents per batch, the failures that are named, and how often a document is tried that others keep changing.
_BATCH, _NAMED, _TRIES = 500, 5, 32


@define
class ReducePass(Generic[V1, V2]):
    """One run of the pass, from where an earlier one stopped."""

    ground: PlaceGround[V1, V2]
    record: RetirementRecord
    options: ReduceOptions
    found: Reduction = field(factory=Reduction)
    #: The documents of this page that the server refuses to change.
    _refused: set[object] = field(factory=set, init=False)

    async def run(self) -> Reduction:
        """Reduce all documents, or as many as there is time for."""
        ground, retirements = self.ground, self.ground.parts.retirement(self.ground.name)
        throttle = Throttle(ground.place.store, Limits(batch_size=_BATCH), ground.stopping, ground.clock)
        self.found = evolve(self.found, failed=self.record.failed)
        scan = Scan(ground.place.store, majority=True)
        while await throttle.wait_for_page():
            where = scan.after(BY_ID, {"_id": self.record.position[0]}) if self.record.position else {}
            # One reply at most, so that large documents do not fill the memory.
            found = await scan.find_part(where, _BATCH, parse_whole)
            if not found.documents:
                self.found = evolve(self.found, finished=True)
                break
            await self._reduce(list(found.documents))
            last = found.last
            if not isinstance(last, Unreadable):  # which no row can hold; the next page records the place
                after_this = evolve(self.record, position=(last,), failed=self.found.failed)
                self.record = await retirements.save(self.record, after_this, by=ground.by, what="")
            if self.options.on_progress is not None:
                self.options.on_progress(self.found)
        return self.found

    async def _reduce(self, page: Sequence[StoredWhole]) -> None:
        waived = await self._find_waived(page)
        left, reduced = list(page), 0
        self._refused.clear()
        for _ in range(_TRIES):
            changes = await self._decide(left, waived)
            if not changes:
                break
            # The others record why an entity has no V2 part; their documents are not reduced.
            alone = [change for change in changes if change.meta.get("alone")]
            reduced += await self._store(alone)
            await self._store([change for change in changes if not change.meta.get("alone")])
            # Some may have been changed meanwhile, and which of them the server does not say.
            again = [change.seen.id for change in changes if keys_of([change.seen.id])[0] not in self._refused]
            left = list((await self.ground.place.store.find_many(again)).values())
        else:
            for change in changes:
                self._fail(change.seen.id, "others changed it each time; run reduce again")
        self.found = evolve(self.found, scanned=self.found.scanned + len(page), reduced=self.found.reduced + reduced)

    async def _store(self, changes: Sequence[WholeChange]) -> int:
        """Send these statements, and return how many documents were as they had been read."""
        if not changes:
            return 0
        done = await self.ground.place.store.fill_each(changes, durable=True)
        for place, error in done.refused.items():
            self._refused.add(keys_of([changes[place].seen.id])[0])
            self._fail(changes[place].seen.id, _explain(error))
        return done.stored

    async def _decide(self, left: Sequence[StoredWhole], waived: set[object]) -> list[WholeChange]:
        changes = []
        for stored in left:
            try:
                decided = await decide_reduced(Parts(self.ground.place, stored))
            except ConversionError as error:
                if keys_of([stored.id])[0] in waived:
                    self.found = evolve(self.found, kept=self.found.kept + 1)
                else:
                    self._fail(stored.id, f"{error.direction}: {type(error.cause).__name__}", error)
                continue
            if isinstance(decided, WholeChange):
                changes.append(decided)
            elif isinstance(decided, Unmoved):
                self._note_unmoved(stored.id, decided)
        return changes

    def _note_unmoved(self, id: RawId, unmoved: Unmoved) -> None:
        if unmoved.why == "waiting":
            self._fail(id, "it waits for its user (NotYet)")
        else:
            self.found = evolve(self.found, kept=self.found.kept + 1)

    def _fail(self, id: RawId, why: str, error: ConversionError | None = None) -> None:
        where = f" at {error.path}" if error is not None and error.path else ""
        named = self.found.failures
        if len(named) < _NAMED:
            named = (*named, f"{decode_id(id)!r}: {why}{where}")
        self.found = evolve(self.found, failed=self.found.failed + 1, failures=named)

    async def _find_waived(self, page: Sequence[StoredWhole]) -> set[object]:
        waived: set[object] = set()
        letters = self.ground.parts.letters.find_pages_of(self.ground.name, [stored.id for stored in page])
        async for some in letters:
            waived |= set(keys_of(letter.id for letter in some if letter.waived is not None))
        return waived


def _explain(error: BaseException) -> str:
    """Return why the server refused a statement, without anything of the document."""
    if isinstance(error, WriteError) and error.code == 121:
        return "the collection's validator refuses it without V1's fields; change the validator"
    if isinstance(error, WriteError) and error.code in (11000, 11001):
        return "a unique index refuses it; drop the one on V1's fields, or correct the duplicate"
    return f"the server refuses it ({type(error).__name__}, code {getattr(error, 'code', None)})"
