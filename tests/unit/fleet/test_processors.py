"""How many processes `--workers auto` begins: by processors, by the quotas of containers, and by what is left."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lazymig import ConfigurationError
from lazymig.fleet.jobs import SWEEP
from lazymig.fleet.processors import choose_processes, count_processors
from lazymig.fleet.workers import Workers


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that lets this process use 16 processors."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)


@pytest.mark.parametrize(
    ("processors", "partitions", "processes"),
    [
        (0.5, 16, 1), (1, 16, 1), (1.5, 16, 1), (2, 16, 1), (3, 16, 2), (4, 16, 3), (8, 16, 6), (64, 1000, 48),
        (64, 5, 5), (64, 1, 1), (64, 0, 1),
    ],
)  # fmt: skip
def test_a_quarter_is_left_to_live_work(processors: float, partitions: int, processes: int) -> None:
    """Three of four processors are used, one at least, and never more processes begin than partitions are left."""
    assert choose_processes(processors, partitions) == processes


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize(
    ("files", "own", "count"),
    [
        ({}, "", 16),
        ({"cpu.max": "max 100000\n"}, "0::/\n", 16),
        ({"cpu.max": "250000 100000\n"}, "0::/\n", 2.5),
        ({"cpu.max": "6400000 100000\n"}, "0::/\n", 16),
        ({"a/b/cpu.max": "max 100000", "a/cpu.max": "300000 100000"}, "1:name=systemd:/\n0::/a/b\n", 3),
        ({"a/cpu.max": "100000 100000"}, "0::/other\n", 16),
        ({"cpu.max": "nonsense"}, "0::/\n", 16),
        ({"cpu.max": "0 0"}, "0::/\n", 16),
        ({"cpu/cpu.cfs_quota_us": "150000\n", "cpu/cpu.cfs_period_us": "100000\n"}, "4:cpu:/\n", 1.5),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, "4:cpu:/\n", 16),
    ],
)
def test_quotas_of_containers_count(tmp_path: Path, files: dict[str, str], own: str, count: float) -> None:
    """The least of the affinity and the quotas of the process's groups counts; what says nothing does not."""
    named = tmp_path / "own"
    named.write_text(own)
    for name, text in files.items():
        file = tmp_path / "groups" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert count_processors(tmp_path / "groups", named) == count


@pytest.mark.parametrize("count", [0, -1, 1.5, "2", "all", True, None])
def test_nonsense_is_refused(count: object) -> None:
    """A number of processes that cannot begin is refused before anything is done, and the error names the choices."""
    with pytest.raises(ConfigurationError, match='count: pass a number of processes, 1 or more, or "auto"'):
        Workers(SWEEP, object(), lambda: pytest.fail("nothing may be made"), count, {})  # type: ignore[arg-type]
