"""The verifier: it compares both collections and says which entities do not agree, in which field, and since when.

One *pass* covers both collections, by one process or many, with checkpoints as a sweep has them. A killed process loses
the comparisons in flight at most: what it found is recorded before each checkpoint.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Generic, TypeVar

from pymongo.errors import AutoReconnect

from lazymig.comparing.checks import Checks
from lazymig.comparing.equivalences import Equivalence
from lazymig.control import Control
from lazymig.errors import ConfigurationError
from lazymig.loop.clock import SYSTEM_CLOCK, Clock
from lazymig.passes.partitions import DOCUMENTS_EACH
from lazymig.passes.throttle import Limits, Probe
from lazymig.repository import Repository
from lazymig.stores.records import Document
from lazymig.verifying.options import VerifyOptions
from lazymig.verifying.report import MismatchGroup, VerifyProgress, VerifyReport
from lazymig.verifying.verification import Verification

__all__ = ["MismatchGroup", "Verifier", "VerifyProgress", "VerifyReport"]

V1 = TypeVar("V1")
V2 = TypeVar("V2")

#: Seconds between two passes of a continuous verification, at least, and after an error of the connection.
_PAUSE_S = 1.0


class Verifier(Generic[V1, V2]):
    """Compares V1 and V2, entity by entity, and reports exactly what does not agree.

    Two independent checks compare each entity: V1 upgraded must be V2's body, and V2 downgraded must be V1's document,
    by value and by BSON type. Clients may write meanwhile: what does not agree at first is looked at again, and counts
    once both sides have stood unchanged for `min_age_s`. The mismatches are recorded in the control collection by id
    and field path, without any contents.

    It pauses by itself while replication lags, and slows down while the server answers much more slowly than before.

    Args:
        repository: The repository whose collections are compared.
        control: The control collection; by default `lazymig_control` in V2's database.
        invariants: Further checks by name: `f(v1, v2) -> bool`, which may be async.
        expected: `f(v1) -> v2`, or `f(v1, stored_v2) -> v2`: what V2 should hold, written independently of `upgrade`.
        accept: Differences that count as agreement: names of built-in equivalences, or your own.
        ordered: Whether the order of keys counts.
        show_values: Whether the report shows the values that differ. Without it, it shows nothing of the documents.
        where: A MongoDB filter on V1, to compare its documents only. Orphans in V2 are not looked for then.
        min_age_s: The age in seconds at which a mismatch counts. It must exceed the time that a write takes.
        repair: Bring V2 to what V1 holds for each mismatch that counts, and compare again.
        batch_size: Documents per statement at most.
        concurrency: Ranges in flight at a time: one is compared while the next are read.
        rate_limit: Entities per second at most; None for no limit. Needs `lazymig[sweep]`.
        max_time_s: Seconds after which the run stops early, as `stop` does.
        shard: `(i, n)` takes every n-th partition from the i-th on.
        probe: An async function that is asked about once a second: False pauses, an exception slows down.
        on_progress: Called with a `VerifyProgress` after each range, and while the run waits for others.
        partition_size: About how many documents a partition holds.
        since: A pass that others finished after this time (naive UTC) counts as this run's, and no new one begins.
        clock: The source of time, for tests.

    Raises:
        ConfigurationError: If an option cannot work, or the control collection is V1 or V2; the message says what to
            change.
        PhaseError: In a phase that does not fill V2.
    """

    def __init__(
        self,
        repository: Repository[V1, V2],
        *,
        control: Control | None = None,
        invariants: Mapping[str, Callable[[V1, V2], object]] | None = None,
        expected: Callable[..., object] | None = None,
        accept: Sequence[str | Equivalence] = (),
        ordered: bool = False,
        show_values: bool = False,
        where: Document | None = None,
        min_age_s: float = 10.0,
        repair: bool = False,
        batch_size: int = 1000,
        concurrency: int = 2,
        rate_limit: float | None = None,
        max_time_s: float | None = None,
        shard: tuple[int, int] = (0, 1),
        probe: Probe | None = None,
        on_progress: Callable[[VerifyProgress], None] | None = None,
        partition_size: int = DOCUMENTS_EACH,
        since: datetime | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        checks = Checks(
            invariants={} if invariants is None else invariants, expected=expected, accept=accept, ordered=ordered,
            show_values=show_values,
        )  # fmt: skip
        options = VerifyOptions(
            limits=Limits(batch_size=batch_size, concurrency=concurrency, rate_limit=rate_limit, probe=probe),
            checks=checks, where=where, min_age_s=min_age_s, repair=repair, max_time_s=max_time_s, shard=shard,
            partition_size=partition_size, since=since, on_progress=on_progress,
        )  # fmt: skip
        options.check(repository)
        self._clock = clock
        self._verification = Verification(repository, control, options, clock)

    def stop(self) -> None:
        """Finish the ranges in flight, save the checkpoint and return from `run`. A signal handler may call it."""
        self._verification.stop()

    async def run(self, sample: int | None = None) -> VerifyReport:
        """Compare all entities, or a random sample, until every verdict stands, or until stopped.

        Driver errors pass through. What was found before is kept, and the next run continues from there.

        Args:
            sample: How many entities of each side to compare, drawn uniformly over ids; None for all. A sample has no
                checkpoints, and the report says what it can and cannot exclude.

        Returns:
            What was found.

        Raises:
            ConfigurationError: If the collections cannot be verified, or `sample` is below 1; nothing was written.
            PassVanished: If the collections, or the rows that show what was compared, were removed meanwhile.
        """
        if sample is not None and sample < 1:
            raise ConfigurationError("sample: 1 or more entities, or None for all")
        return await self._verification.run(sample)

    async def run_continuously(self) -> AsyncGenerator[VerifyReport]:
        """Verify one pass after the other until `stop`, so that what was verified never grows old.

        Use it with `rate_limit`. Each pass is recorded as a run of its own. A lost connection is no end: the pass
        continues from its checkpoint. Other driver errors pass through.

        Yields:
            A report per pass; the last one is of a pass that was stopped.
        """
        while not self._verification.stopped:
            report = None
            with suppress(AutoReconnect):
                report = await self._verification.run()
            if report is not None:
                yield report
            await self._clock.sleep(_PAUSE_S)


async def estimate_partitions(verifier: Verifier[V1, V2]) -> int:
    """Estimate how many partitions are left to a verifier, which is how many processes could share them."""
    return await verifier._verification.estimate_partitions()
