"""Letting the server convert: the policy of a sweep with `Migration(upgrade_pipeline=...)`.

The server stores what its stages make, by *put if absent* at V1's revision, and the sweep looks what V2 has then. All
that it lacks is left to the Python conversion, which judges each document by itself.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from math import ceil
from typing import Final, Generic, TypeVar

from lazymig.comparing.two_ways import TwoWays
from lazymig.errors import UpgradeDiffers
from lazymig.passes.shedding import as_patient_as
from lazymig.passes.sounding import Sounding
from lazymig.protocol.pair import Pair
from lazymig.protocol.reading import OLD_READ_S, look_again_at
from lazymig.stores.chunks import split_ids
from lazymig.stores.decoding import Unreadable
from lazymig.stores.documents import decode_id
from lazymig.stores.drivers import IDS
from lazymig.stores.given import RawId
from lazymig.stores.raw import Undecoded, extract_id_bytes
from lazymig.stores.records import Put
from lazymig.stores.server_upgrade import Made, Merged, ServerUpgrade, check_same_client

V1 = TypeVar("V1")
V2 = TypeVar("V2")

#: How many documents of a page are compared before any of it is stored: one in so many, and at most so many; of a run's
#: first page always as many.
COMPARED_ONE_IN, COMPARED = 50, 100
#: Comparisons between two turns of the event loop.
TURN = 20
#: Seconds that a statement may take, and the part of the grace period: if this process dies, nobody looks at V1 again.
_STATEMENT_S, _OF_GRACE = 30.0, 0.5
IN_MEMORY: Final = "in memory no server converts, so upgrade converted everything and upgrade_pipeline was not used"


class ServerSide(Generic[V1, V2]):
    """Migrates on the server what V2 lacks, and compares what the server makes with the Python conversion."""

    def __init__(
        self,
        pair: Pair[V1, V2],
        upgrade: ServerUpgrade,
        counts: Counter[str],
        grace: timedelta,
        sounding: Sounding,
        *,
        dry_run: bool,
    ) -> None:
        self._upgrade = upgrade
        self._sounding = sounding
        self._pair, self._counts, self._dry_run = pair, counts, dry_run
        self._two_ways = TwoWays(pair.conversions)
        self._within_s = min(_STATEMENT_S, grace.total_seconds() * _OF_GRACE)
        self._trying = asyncio.Lock()
        self.begin()

    def begin(self) -> None:
        """Begin a run."""
        self._tried = False
        self._is_first = True
        #: Statements that the server refused, by the name of the error.
        self._refused: Counter[str] = Counter()

    @property
    def problems(self) -> tuple[str, ...]:
        """Why the server did not convert what the stages were made for; in words."""
        if not self._refused:
            return ()
        named = ", ".join(f"{name} ({count:,})" for name, count in sorted(self._refused.items()))
        return (
            f"upgrade_pipeline: the server refused statements, whose documents upgrade converted then: {named}; let a "
            "$match stage leave out what the pipeline cannot convert, or V2 will not take",
        )

    async def prepare(self) -> None:
        """Raise `ConfigurationError` where the server refuses the stages, before the first document of a run."""
        async with self._trying:
            if not self._tried:
                await self._upgrade.try_on_nothing(writing=not self._dry_run)
                self._tried = True

    def draw(self, missing: Sequence[RawId]) -> Sequence[RawId]:
        """Draw the documents of a page that are compared before any of it is stored, from all over the page.

        None in a dry run, which compares each document in turn.
        """
        if self._dry_run:
            return []
        wanted = COMPARED if self._is_first else min(ceil(len(missing) / COMPARED_ONE_IN), COMPARED)
        self._is_first = False
        if wanted >= len(missing):
            return missing
        step, random = len(missing) / wanted, self._pair.clock.random
        return [missing[min(int((place + random()) * step), len(missing) - 1)] for place in range(wanted)]

    async def compare(self, documents: Sequence[RawId]) -> None:
        """Compare what the server makes of these documents with what `upgrade` makes.

        Raises `UpgradeDiffers` at the first difference. What fails the stages is not compared, nor could it be stored.
        """
        for part in split_ids(list(self._choose(documents))):
            await self._compare(part)

    async def move(self, documents: Sequence[RawId]) -> Sequence[RawId]:
        """Migrate these documents, which V2 lacks, on the server; return those that are left to `upgrade`."""
        chosen = self._choose(documents)
        done: set[RawId] = set()
        for part in split_ids(list(chosen)):
            done |= await (self._compare(part) if self._dry_run else self._store(part))
        if self._dry_run:
            self._count(len(done))
        if len(done) == len(documents):
            return ()
        finished = {extract_id_bytes(chosen[id]) for id in done & chosen.keys()}
        return [document for document in documents if extract_id_bytes(document) not in finished]

    def _choose(self, documents: Sequence[RawId]) -> dict[RawId, RawId]:
        """Choose the documents whose ids the migration takes, by id. Python refuses the others, by dead letters."""
        ids = Undecoded(documents, IDS, dict).ids
        check = self._pair.conversions.migration.check_id
        return {id: document for id, document in zip(ids, documents, strict=True) if _is_accepted(check, id)}

    async def _compare(self, ids: Sequence[RawId]) -> set[RawId]:
        """Compare these, as `compare` does; return of which of them the server makes something."""
        compared: set[RawId] = set()
        rest = list(ids)
        while rest:
            conversion = await self._upgrade.convert(rest)
            if isinstance(conversion, str):
                return compared | await self._compare_apart(rest, conversion)
            async with self._sounding.converting:
                for made in conversion.made.parts(TURN):
                    compared |= {await self._check(one) for one in made}
                    await self._sounding.take_turn()
            rest = [] if conversion.complete else [id for id in rest if id not in compared]
        return compared

    async def _check(self, made: Made) -> RawId:
        if reasons := await self._two_ways.find_differences(made.truth, made.body):
            raise UpgradeDiffers(decode_id(made.truth.id), reasons)
        return made.truth.id

    async def _compare_apart(self, ids: Sequence[RawId], why: str) -> set[RawId]:
        """Compare halves of these, of which the server refuses one: it does not name that one."""
        if len(ids) == 1:
            self._refused[why] += 1
            return set()
        half = len(ids) // 2
        return await self._compare(ids[:half]) | await self._compare(ids[half:])

    async def _store(self, ids: Sequence[RawId]) -> set[RawId]:
        """Store what the server makes of these; return which of them V2 has then."""
        clock = self._pair.clock
        began_s = clock.monotonic()
        merged = await self._merge(ids)
        if merged.outcome is Put.REFUSED:
            # Some of them may be stored. V2 lacks the refused one, and what came after it.
            self._refused[merged.why] += 1
        in_time = clock.monotonic() - began_s <= OLD_READ_S
        if in_time and await self._upgrade.count_moved(ids) == len(ids):
            self._count(len(ids))
            return set(ids)
        moved = await self._upgrade.find_moved(ids)
        ours = [one for one in moved if one.by_sweep]
        if not in_time:
            await look_again_at(self._pair, ours)
        self._count(len(ours))
        # A client was faster, which is no error.
        self._counts["moved_by_clients"] += len(moved) - len(ours)
        return {one.id for one in moved}

    def _count(self, migrated: int) -> None:
        self._counts["migrated"] += migrated
        self._counts["on_server"] += migrated

    async def _merge(self, ids: Sequence[RawId]) -> Merged:
        for keeping in (False, True):
            merge = self._upgrade.merge(ids, keeping=keeping, within_s=self._within_s)
            merged = await self._sounding.beside(merge)
            if merged.outcome is not Put.LOST:
                break  # else a client was faster with one of them, which ended the statement
        return merged


def open_server_side(
    pair: Pair[V1, V2], counts: Counter[str], grace: timedelta, sounding: Sounding, *, dry_run: bool
) -> ServerSide[V1, V2] | None:
    """Return what lets the server convert; None where the migration has no stages, and in memory.

    Raises `ConfigurationError` where V1 and V2 belong to different clients.
    """
    migration = pair.conversions.migration
    if not migration.upgrade_pipeline or not check_same_client(pair.v1, pair.bodies):
        return None
    upgrade = ServerUpgrade(pair.v1, pair.bodies, migration.upgrade_pipeline, migration.revision)
    return ServerSide(pair, as_patient_as(pair.bodies, upgrade), counts, grace, sounding, dry_run=dry_run)


def _is_accepted(check: Callable[[RawId], None], id: RawId) -> bool:
    try:
        check(decode_id(id))
    except TypeError:
        return False
    return not isinstance(id, Unreadable)
