"""The options of a sweep, as one value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from hashlib import blake2b

from attrs import frozen

from lazymig.errors import ConfigurationError
from lazymig.passes.throttle import Limits
from lazymig.stores.records import Document
from lazymig.sweeping.report import Progress

#: The kind of the runs that sweeps record, and of the pass over all of V1 from the lowest id up.
KIND = "sweep"
FILTERED = (
    "only documents of V1 that the filter finds were moved; open marks and dead letters were left to a sweep without a "
    "filter"
)
NEWEST_FIRST = (
    "the highest ids were moved first; what programs outside lazymig insert meanwhile, with higher ids, is left to the "
    "next sweep"
)


@frozen(kw_only=True)
class SweepOptions:
    """The keywords of `Sweeper`, whose docstring explains them."""

    limits: Limits
    grace_s: float
    max_time_s: float | None
    shard: tuple[int, int]
    dry_run: bool
    adopt: bool
    partition_size: int
    since: datetime | None
    on_progress: Callable[[Progress], None] | None
    where: Mapping[str, object] | None = None
    newest_first: bool = False

    @property
    def grace(self) -> timedelta:
        """The age at which a deleted entity's remainder may be purged."""
        return timedelta(seconds=self.grace_s)

    @property
    def leads(self) -> bool:
        """Whether this process does the work that is done once per sweep and not once per shard."""
        return self.shard[0] == 0

    def check(self) -> None:
        """Raise `ConfigurationError` if an option cannot work in any layout."""
        self.limits.check()
        index, count = self.shard
        if min(self.limits.batch_size, self.limits.concurrency, self.partition_size) < 1 or not 0 <= index < count:
            raise ConfigurationError("batch_size, concurrency, partition_size: 1 or more; shard: 0 <= i < n")
        if self.where is not None and not isinstance(self.where, Mapping):
            raise ConfigurationError("where: pass a MongoDB filter for V1 (a mapping), or None for all")
        if self.where and self.adopt:
            raise ConfigurationError("adopt replaces all documents that lazymig did not store: leave out where")

    def make_pass_kind(self, question: Document) -> str:
        """Return the kind of pass: a checkpoint says nothing to a sweep of other documents or in the other direction.

        So neither continues nor closes the other's pass.
        """
        if not question:
            return f"{KIND} newest-first" if self.newest_first else KIND
        asked = bytes(getattr(question, "raw", b"")) or repr(question).encode()
        return f"{KIND} {blake2b(asked + bytes([self.newest_first]), digest_size=8).hexdigest()}"

    @property
    def limits_in_words(self) -> tuple[str, ...]:
        """What the report says that a run does not do, and in which order it works."""
        filtered = (FILTERED,) if self.where else ()
        return (*filtered, NEWEST_FIRST) if self.newest_first else filtered
