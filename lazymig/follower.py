"""The follower: it brings V2 up to what programs outside lazymig changed in V1.

It reads V1's change stream: ids and revisions, never contents. The control collection holds its position, which is
stored only once everything before it is durably healed, so that a killed follower loses nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from lazymig.control import Control
from lazymig.following.follow import Follow
from lazymig.following.options import FollowOptions
from lazymig.following.report import FollowReport
from lazymig.loop.clock import SYSTEM_CLOCK, Clock
from lazymig.passes.throttle import Probe
from lazymig.repository import Repository
from lazymig.verifying.options import VerifyOptions
from lazymig.verifying.verification import Verification

__all__ = ["FollowReport", "Follower"]

V1 = TypeVar("V1")
V2 = TypeVar("V2")


class Follower(Generic[V1, V2]):
    """Heals what programs that write V1 without lazymig change: updates, replaces, inserts and deletes.

    Until a change is healed, reads may return what V1 held before it; usually that takes some milliseconds. One process
    follows at a time. Any number may run: the others wait and take over.

    At its first start, and where the server no longer has the changes after its position, it verifies both collections
    as a whole and repairs what differs, while it follows.

    It pauses by itself while replication lags, and waits where the server reports overload.

    Args:
        repository: The repository whose V1 others write.
        control: The control collection; by default `lazymig_control` in V2's database.
        batch_size: Changes per batch at most. A batch is judged by a few statements.
        batch_wait_s: Seconds that a batch waits for more changes after its first.
        concurrency: Entities that are healed at a time.
        catch_up: Verify both collections at the first start. Without it, changes from before that are not found. A
            position that is lost later is always answered by a verification.
        probe: An async function that is asked about once a second: False pauses, an exception slows down. What changes
            meanwhile is healed later.
        max_time_s: Seconds after which the run stops, as `stop` does; for cron.
        on_progress: Called with a `FollowReport` after each batch, and several times a second while nothing happens.
        clock: The source of time, for tests.

    Raises:
        ConfigurationError: If an option cannot work, or the collections are in memory; the message says what to change.
        PhaseError: In a phase in which V2 is not filled.
    """

    def __init__(
        self,
        repository: Repository[V1, V2],
        *,
        control: Control | None = None,
        batch_size: int = 1000,
        batch_wait_s: float = 0.01,
        concurrency: int = 32,
        catch_up: bool = True,
        probe: Probe | None = None,
        max_time_s: float | None = None,
        on_progress: Callable[[FollowReport], None] | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        options = FollowOptions(
            batch_size=batch_size, batch_wait_s=batch_wait_s, concurrency=concurrency, catch_up=catch_up,
            probe=probe, max_time_s=max_time_s, on_progress=on_progress,
        )  # fmt: skip
        options.check(repository)

        def verifying(control: Control) -> Verification[V1, V2]:
            return Verification(repository, control, VerifyOptions.to_repair(), clock)

        self._follow = Follow(repository, control, options, verifying, clock)

    def stop(self) -> None:
        """Handle what is under way, store the position and return from `run`. A signal handler may call it."""
        self._follow.stop()

    async def run(self) -> FollowReport:
        """Follow until stopped.

        Servers that are down for a while are waited for. Other driver errors pass through, and the next run goes on
        from the stored position.

        Returns:
            What this run did.

        Raises:
            ConfigurationError: If the collections cannot be followed, such as on a standalone server.
        """
        return await self._follow.run()
