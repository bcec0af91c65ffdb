"""The options of a follower, as one value."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from attrs import frozen

from lazymig.errors import ConfigurationError
from lazymig.following.report import FollowReport
from lazymig.passes.throttle import Probe
from lazymig.repository import Repository, calls_of

V1 = TypeVar("V1")
V2 = TypeVar("V2")

_NOT_NEEDED = (
    "a follower is not needed where one document carries both shapes: the fingerprint shows every reader at once what "
    "another program has changed. A read converts such a document, and lazymig sweep stores the V2 parts of the others"
)


@frozen(kw_only=True)
class FollowOptions:
    """The keywords of `Follower`, whose docstring explains them."""

    batch_size: int
    batch_wait_s: float
    concurrency: int
    catch_up: bool
    probe: Probe | None
    max_time_s: float | None
    on_progress: Callable[[FollowReport], None] | None

    def check(self, repository: Repository[V1, V2]) -> None:
        """Raise `PhaseError` if the phase fills no V2, `ConfigurationError` if an option cannot work."""
        if calls_of(repository).place is not None:
            raise ConfigurationError(_NOT_NEEDED)
        if min(self.batch_size, self.concurrency) < 1 or self.batch_wait_s < 0:
            raise ConfigurationError("batch_size, concurrency: pass 1 or more; batch_wait_s: 0 or more")
