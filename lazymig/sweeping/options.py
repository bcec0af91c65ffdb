"""The options of a sweep, as one value."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar

from attrs import frozen

from lazymig.errors import ConfigurationError
from lazymig.passes.throttle import Limits
from lazymig.repository import Repository, calls_of
from lazymig.sweeping.report import Progress

V1 = TypeVar("V1")
V2 = TypeVar("V2")


@frozen(kw_only=True)
class SweepOptions:
    """The keywords of `Sweeper`, whose docstring explains them."""

    limits: Limits
    concurrency: int
    grace_s: float
    max_time_s: float | None
    shard: tuple[int, int]
    dry_run: bool
    adopt: bool
    partition_size: int
    since: datetime | None
    on_progress: Callable[[Progress], None] | None

    @property
    def grace(self) -> timedelta:
        """The age at which a deleted entity's remainder may be purged."""
        return timedelta(seconds=self.grace_s)

    @property
    def leads(self) -> bool:
        """Whether this process does the work that is done once per sweep and not once per shard."""
        return self.shard[0] == 0

    def check(self, repository: Repository[Any, Any]) -> None:
        """Raise `PhaseError` if the phase does not allow a sweep, `ConfigurationError` if an option cannot work."""
        calls_of(repository).check_fills_v2("a sweep")
        index, count = self.shard
        if min(self.limits.batch_size, self.concurrency, self.partition_size) < 1 or not 0 <= index < count:
            raise ConfigurationError("batch_size, concurrency, partition_size: 1 or more; shard: 0 <= i < n")
        if repository.timeout_s is not None and self.grace_s <= repository.timeout_s:
            raise ConfigurationError("grace_s must exceed the repository's timeout_s: an operation may be in flight")
