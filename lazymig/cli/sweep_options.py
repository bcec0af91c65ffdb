"""The options of `lazymig sweep`, in two groups, and which of them exclude each other."""

from __future__ import annotations

from math import inf
from typing import Annotated, Any, Literal

from attrs import frozen
from bson import json_util
from cyclopts import Group, Parameter
from cyclopts.validators import Number

from lazymig.cli.failures import Unusable
from lazymig.cli.options import Flag

Count = Annotated[int, Parameter(validator=Number(gte=1))]
Positive = Annotated[float | None, Parameter(validator=Number(gt=0), show_default=False)]
Seconds = Annotated[float, Parameter(validator=Number(gte=0))]
Text = Annotated[str | None, Parameter(show_default=False)]

#: No plan has many more partitions than this, and each process needs one.
_WORKERS_MAX = 1000

#: The second group of options in the help.
SHARING = Group("Sharing the work")


@frozen(kw_only=True)
class Options:
    """What a sweep does, and how fast.

    Args:
        batch_size: Documents per batch.
        concurrency: Batches in flight at the same time.
        rate: Documents per second at most. Without it there is no limit.
        live_slowdown: How many times as long live reads may take beside it, at most; none to go by the limits alone.
        max_time: Seconds after which it stops, as by Ctrl-C.
        grace: Seconds to keep the marks of deletes. Must exceed the longest time that a read can take.
        where: A MongoDB filter on V1 as extended JSON: move only the documents that it finds.
        newest_first: Begin with the highest ids.
        dry_run: Convert everything and write nothing. Lists the first 20 documents that do not convert (with --json
            1,000).
        adopt: Replace documents in V2 that lazymig did not store, such as those of an earlier back-fill, by V1's.
    """

    batch_size: Count = 1000
    concurrency: Count = 2
    rate: Positive = None
    live_slowdown: str = "2"
    max_time: Positive = None
    grace: Seconds = 3600.0
    where: Text = None
    newest_first: Flag = False
    dry_run: Flag = False
    adopt: Flag = False


@frozen(kw_only=True)
class Sharing:
    """Which processes share a sweep.

    Args:
        workers: Processes on this machine, or auto: three of four processors, and no more than the partitions that are
            left. A --rate holds for each of them.
        shard: I/N: only every N-th partition, starting at the I-th (0 to N - 1), as for a Kubernetes Indexed Job.
        dask: Address of a Dask scheduler whose workers do the work, such as tcp://scheduler:8786.
    """

    workers: str = "1"
    shard: Text = None
    dask: Text = None


def check(options: Options, sharing: Sharing) -> None:
    """Raise `Unusable` for options that exclude each other."""
    one_process = parse_workers(sharing.workers) == 1
    if options.dry_run and (not one_process or sharing.dask or sharing.shard):
        raise Unusable("--dry-run runs in one process only; leave out --workers, --shard and --dask")
    if options.where is not None and options.adopt:
        raise Unusable("--adopt replaces all documents that lazymig did not store; leave out --where")
    if sharing.dask and (not one_process or sharing.shard):
        raise Unusable("--dask shares the work by itself; leave out --workers and --shard")


def keywords_of(options: Options, sharing: Sharing) -> dict[str, Any]:
    """The keywords of a `Sweeper`."""
    return {
        "batch_size": options.batch_size,
        "concurrency": options.concurrency,
        "rate_limit": options.rate,
        "live_slowdown": parse_slowdown(options.live_slowdown),
        "grace_s": options.grace,
        "max_time_s": options.max_time,
        "shard": parse_shard(sharing.shard),
        "adopt": options.adopt,
        "where": None if options.where is None else parse_filter(options.where),
        "newest_first": options.newest_first,
    }


def parse_filter(text: str) -> dict[str, object]:
    """Return a filter that is given as extended JSON. Raises `Unusable` unless it is an object."""
    try:
        found = json_util.loads(text, json_options=json_util.JSONOptions(tz_aware=False))
    except Exception:
        # Not chained: the text of the cause quotes the filter, which may hold contents.
        raise Unusable("""--where: pass a MongoDB filter as extended JSON, such as '{"status": "open"}'""") from None
    if not isinstance(found, dict):
        raise Unusable("""--where: pass a JSON object, such as '{"status": "open"}'""")
    return found


def parse_slowdown(text: str) -> float | None:
    """Return how many times as long live reads may take; None for no bound. Raises `Unusable`."""
    if text == "none":
        return None
    try:
        bound = float(text)
    except ValueError:
        bound = 0.0
    if not 1 < bound < inf:
        raise Unusable("--live-slowdown: pass a number above 1, such as 2, or none")
    return bound


def parse_workers(text: str) -> int | Literal["auto"]:
    """Return the number of processes, or "auto". Raises `Unusable`."""
    if text == "auto":
        return "auto"
    if not (text.isascii() and text.isdigit() and len(text) < 9 and 1 <= int(text) <= _WORKERS_MAX):
        raise Unusable(f"--workers: pass a number from 1 to {_WORKERS_MAX:,}, or auto")
    return int(text)


def parse_shard(text: str | None) -> tuple[int, int]:
    """Return `I/N` as numbers. Raises `Unusable`."""
    if text is None:
        return 0, 1
    index, slash, count = text.partition("/")
    if not (slash and index.isdigit() and count.isdigit() and int(index) < int(count)):
        raise Unusable("--shard: pass I/N with I from 0 to N - 1, such as 0/4")
    return int(index), int(count)
