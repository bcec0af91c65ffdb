"""What other programs still do with a collection that nobody should use any more: its changes, reads and writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from attrs import frozen

from lazymig.loop.clock import Clock
from lazymig.stores.carried import carried_of
from lazymig.stores.drivers import Driver, await_if_needed, collection_of, driver_of, tune
from lazymig.stores.events import Changes, Operation
from lazymig.stores.given import Store
from lazymig.stores.relevance import make_outside_stages, make_stray_stages

if TYPE_CHECKING:
    from pymongo.asynchronous.database import AsyncDatabase


class StrayChanges(Changes):
    """The changes of one collection, by the stream of its whole database.

    That stream goes on where the collection is renamed, dropped or created again, and its reads are not counted as
    reads of the collection.
    """

    def __init__(self, store: Store, *, batch_size: int, wait_s: float, clock: Clock) -> None:
        """Take a collection. Raises `ConfigurationError` for one in memory."""
        super().__init__(store, batch_size=batch_size, wait_s=wait_s, clock=clock)
        changed = {"ns.coll": str(self._collection.name), "operationType": {"$in": [str(one) for one in Operation]}}
        stages = make_stray_stages(carried_of(store))
        self._pipeline = [{"$match": {"$or": [changed, {"operationType": "invalidate"}]}}, *stages]

    @property
    def _watched(self) -> str | int:
        return 1

    @property
    def _cursors_of(self) -> str:
        return "$cmd.aggregate"

    @property
    def _source(self) -> AsyncDatabase[dict[str, object]]:
        one = self._collection
        return one.database.with_options(one.codec_options, one.read_preference, one.write_concern, one.read_concern)


class OutsideWrites(Changes):
    """What other programs do with V1's fields in documents that carry both shapes: the stream of that collection.

    Each write of lazymig raises the revision beside the fields; other programs do not.
    """

    def __init__(
        self, store: Store, names: Sequence[str] | None, others: Iterable[str], *, batch_size: int, wait_s: float,
        clock: Clock,
    ) -> None:  # fmt: skip
        """Take the collection, and V1's names; where they are None, all fields count but the `others`.

        Raises `ConfigurationError` for a collection in memory.
        """
        super().__init__(store, batch_size=batch_size, wait_s=wait_s, clock=clock)
        self._pipeline = make_outside_stages(names, others)


@frozen
class Access:
    """How often a collection was read and written, as one server counts since it started.

    Writes count whether or not they changed anything, also those that a validator refused. Of those,
    `findAndModify` is not counted.
    """

    #: The servers that count, as text. The numbers of others cannot be compared.
    host: str
    reads: int
    writes: int


class Accesses:
    """Asks a server how often it has read and written one collection. Each question counts as one read."""

    def __init__(self, store: Store) -> None:
        self._collection = tune(collection_of(store))
        # Where entities are parts of documents, others use the collection: its counts say nothing of the entities.
        self._in_vain = driver_of(self._collection) is Driver.MEMORY or carried_of(store).is_part

    async def sample(self) -> Access | None:
        """Return the counts; None in memory, where nobody counts, and where they say nothing. Driver errors pass."""
        if self._in_vain:
            return None
        cursor = await await_if_needed(self._collection.aggregate([{"$collStats": {"latencyStats": {}}}]))
        rows: list[Mapping[str, object]] = await cursor.to_list(None)  # one per shard
        counts = [_parse_counts(row) for row in rows]
        hosts = ",".join(sorted(str(row.get("host", "")) for row in rows))
        return Access(hosts, sum(reads for reads, _ in counts), sum(writes for _, writes in counts))


def _parse_counts(row: Mapping[str, object]) -> tuple[int, int]:
    stats = row.get("latencyStats")
    kinds: Mapping[str, object] = stats if isinstance(stats, Mapping) else {}
    reads, writes = (kinds.get(kind) for kind in ("reads", "writes"))
    return _parse_ops(reads), _parse_ops(writes)


def _parse_ops(kind: object) -> int:
    return int(kind.get("ops", 0)) if isinstance(kind, Mapping) else 0
