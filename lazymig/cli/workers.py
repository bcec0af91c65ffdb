"""How many processes share a pass that a command begins."""

from __future__ import annotations

from typing import Literal, TypeVar

from lazymig.cli.output import remark
from lazymig.fleet.jobs import Job, Report
from lazymig.fleet.processors import count_processors
from lazymig.fleet.workers import Keywords, Made, choose_count

P = TypeVar("P")
R = TypeVar("R", bound=Report)


async def choose_workers(
    job: Job[P, R], repository: Made, given: int | Literal["auto"], keywords: Keywords, *,
    in_json: bool,
) -> int:  # fmt: skip
    """Return how many processes share the job. Where that is left to lazymig, it says on stderr what it chose."""
    if given != "auto":
        return given
    count = await choose_count(job, repository, keywords)
    processes = "1 process" if count == 1 else f"{count:,} processes"
    remark(f"{job.name} by {processes}; {count_processors():g} processors may be used", in_json=in_json)
    return count
