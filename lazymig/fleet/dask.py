"""One sweep on an existing Dask cluster: each task sweeps a share of the partitions."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

from lazymig.errors import ConfigurationError
from lazymig.fleet.jobs import SWEEP, sum_reports
from lazymig.fleet.workers import MakeRepository, find_end, run_here
from lazymig.loop.clock import SYSTEM_CLOCK
from lazymig.sweeper import SweepReport

#: Tasks per worker thread: more than one, so that a slow partition does not delay the end.
_TASKS_PER_THREAD = 2


async def sweep_on_dask(address: str, make_repository: MakeRepository, options: dict[str, Any]) -> SweepReport:
    """Sweep with the workers of the Dask scheduler at `address`; `options` are `Sweeper`'s keywords.

    `make_repository` must be importable on the workers. It is called once per task, because clients belong to one event
    loop. Dask runs a task that dies again, which continues from its partitions' checkpoints. Needs `lazymig[dask]`.
    """
    try:
        from distributed import Client
    except ImportError:
        raise ConfigurationError("a sweep on Dask needs distributed: pip install 'lazymig[dask]'") from None
    async with Client(address, asynchronous=True) as client:  # type: ignore[no-untyped-call]
        info = client.scheduler_info(n_workers=-1)
        threads = sum(worker["nthreads"] for worker in info["workers"].values())
        count = max(threads, 1) * _TASKS_PER_THREAD
        # `pure=False`: two sweeps with the same arguments are two sweeps.
        options = {"since": SYSTEM_CLOCK.now(), **options}
        shards = [(number, count) for number in range(count)]
        futures = client.map(
            sweep_shard, shards, make_repository=make_repository, options=options, end=find_end(options), pure=False
        )
        return sum_reports(await client.gather(futures))


def sweep_shard(
    shard: tuple[int, int], make_repository: MakeRepository, options: dict[str, Any], end: datetime | None = None
) -> SweepReport:
    """Sweep every n-th partition in this worker, as one task."""
    return asyncio.run(run_here(SWEEP, make_repository, {**options, "shard": shard}, end))
