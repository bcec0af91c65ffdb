"""How many processes a pass may use on this machine: by the processors that this process may use, and by what is left.

Three of four processors convert, and at least one does. The rest is left to the server, where it runs on the same
machine, and to those who are served. A container's quota counts as so many processors.
"""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

#: The part of the processors that a pass uses.
_SHARE = 0.75
#: Where the kernel shows the quotas of groups of processes, and the group of this process.
_CGROUPS, _OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def count_processors(cgroups: Path = _CGROUPS, own: Path = _OWN) -> float:
    """Return how many processors this process may use: by its affinity, and by the quotas of its groups.

    Args:
        cgroups: The directory in which the kernel shows the quotas.
        own: The file in which it names the group of this process.
    """
    affine = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = map(_read_quota, _list_groups(cgroups, _read(own)))
    older = _divide(_read(cgroups / "cpu" / "cpu.cfs_quota_us"), _read(cgroups / "cpu" / "cpu.cfs_period_us"))
    return min([float(affine), *(quota for quota in (*quotas, older) if quota is not None)])


def choose_processes(processors: float, partitions: int) -> int:
    """Return how many processes share a pass on so many processors, where so many partitions are left."""
    return max(1, min(int(processors * _SHARE), partitions))


def _list_groups(cgroups: Path, own: str) -> list[Path]:
    """Return the group of this process and those above it, each of which may have a quota; in cgroup 2 only."""
    named = next((line[3:] for line in own.splitlines() if line.startswith("0::")), "/")
    group = PurePosixPath("/") / named.strip()
    return [cgroups / str(one).lstrip("/") for one in (group, *group.parents)]


def _read_quota(group: Path) -> float | None:
    """Return a group's quota in processors; None where there is none, or where the kernel shows none."""
    given, _, period = _read(group / "cpu.max").partition(" ")
    return _divide(given, period)


def _read(file: Path) -> str:
    try:
        return file.read_text("ascii")
    except (OSError, UnicodeDecodeError):
        return ""


def _divide(given: str, period: str) -> float | None:
    try:
        quota, of = int(given), int(period)
    except ValueError:
        return None  # "max" in cgroup 2
    return quota / of if quota > 0 and of > 0 else None  # cgroup 1 writes -1 for no limit
