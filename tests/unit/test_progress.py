"""How a run's standing is shown: as lines, as JSON lines and as a bar, alone and added up from several workers."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from attrs import evolve
from rich.console import Console

from lazymig.cli import progress as shown_by
from lazymig.cli.progress import Bar, Lines, Standing
from lazymig.cli.sweep import standing
from lazymig.fleet.jobs import sum_progress
from lazymig.sweeper import Progress
from tests.people import TestClock

NOTHING = Progress(
    total=100, done=0, before=0, scanned=0, migrated=0, present=0, moved_by_clients=0, reconverted=0, healed=0,
    purged=0, dead=0, remaining=100, dirty=0, elapsed_s=0.0,
)  # fmt: skip


def told(*standings: Standing, in_json: bool = False, step_s: float = 40.0) -> Lines:
    """Lines that have heard all these, some seconds apart."""
    clock = TestClock()
    with Lines("sweep", 30.0, in_json=in_json, clock=clock) as lines:
        for one in standings:
            lines.update(one)
            clock.time += timedelta(seconds=step_s)
    return lines


def test_what_is_left_is_always_told(capsys: Any) -> None:
    """What remains, is dead and is dirty is named though it be nothing; other counts where there is something."""
    told(standing(NOTHING), standing(evolve(NOTHING, done=100, scanned=100, migrated=90, present=10, remaining=0)))
    first, last = capsys.readouterr().err.splitlines()
    assert first.endswith("; remaining 100, dead 0, dirty 0")
    assert last.startswith("sweep: 100 of about 100 (100 %)")
    assert last.endswith("; remaining 0, dead 0, dirty 0, migrated 90, present 10")


@pytest.mark.parametrize("in_json", [False, True])
def test_a_note_is_told_once(capsys: Any, in_json: bool) -> None:
    """A run that waits says so at once, in one line, however often and for however long it waits."""
    waiting = [standing(evolve(NOTHING, waiting=number % 10 != 9)) for number in range(200)]
    told(*waiting, in_json=in_json, step_s=1.0)
    lines = capsys.readouterr().err.splitlines()
    notes = [line for line in lines if "waiting for the lease of another sweeper" in line]
    assert notes == lines[:1]
    assert len(lines) <= 2 + 200 // 30 + 1
    if in_json:
        assert [json.loads(line)["event"] for line in lines] == ["note", *["sweep"] * (len(lines) - 1)]


def test_a_bar_tells_a_note_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bar of a terminal stays a bar; the note stands above it, once, whatever it holds."""
    screen = io.StringIO()
    monkeypatch.setattr(shown_by, "talk", Console(file=screen, force_terminal=True, width=200, highlight=False))
    with Bar("sweep", timed=True) as bar:
        for _ in range(5):
            bar.update(Standing(150, 100, note="waits [for] another"))
    assert screen.getvalue().count("sweep: waits [for] another") == 1
    assert "100%" in screen.getvalue()
    assert "150%" not in screen.getvalue()


@pytest.mark.parametrize(("done", "total"), [(101, 100), (5, 0), (10**9, 3), (0, 0)])
def test_no_share_is_above_the_whole(capsys: Any, done: int, total: int) -> None:
    """Whatever a run is told, it shows 100 % at most."""
    told(Standing(done, total))
    assert "(100 %)" in capsys.readouterr().err
    assert Standing(done, total).share == 1.0


def test_what_others_did_before_is_no_pace(capsys: Any) -> None:
    """A run that goes on where another was killed tells its own rate, and the time that the rest takes at that."""
    resumed = evolve(NOTHING, total=10_000, before=9_000)
    told(standing(evolve(resumed, done=9_000)), standing(evolve(resumed, done=9_400, scanned=400)), step_s=40.0)
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith("sweep: 9,000 of about 10,000 (90 %), 0/s;")
    assert last.startswith("sweep: 9,400 of about 10,000 (94 %), 10/s, 60 s left;")


def test_a_bar_tells_its_own_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """What others did before does not make a bar's rate."""
    monkeypatch.setattr(shown_by, "talk", Console(file=io.StringIO(), force_terminal=True))
    with Bar("sweep", timed=True) as bar:
        bar.update(Standing(9_000, 10_000, before=9_000))
        bar.update(Standing(9_001, 10_000, before=9_000))
        (task,) = bar._progress.tasks
        assert sum(sample.completed for sample in task._progress) <= 1
        assert task.completed == 9_001


def test_workers_add_up_and_never_go_back() -> None:
    """Workers that estimate V1 differently and look at different moments make one progress that only goes forward."""
    parts: dict[int, Progress] = {}
    story = [
        (0, evolve(NOTHING, done=40, scanned=40, migrated=40, remaining=60)),
        (1, evolve(NOTHING, total=130, done=50, scanned=10, migrated=10, remaining=80)),
        (0, evolve(NOTHING, done=70, scanned=60, migrated=60, remaining=30)),
        (2, evolve(NOTHING, total=90, done=70, scanned=0, remaining=30)),
        (1, evolve(NOTHING, total=130, done=104, scanned=44, migrated=44, remaining=0)),
        (2, evolve(NOTHING, total=110, done=110, scanned=6, migrated=6, remaining=0)),
    ]
    sums = []
    for number, progress in story:
        parts[number] = progress
        sums.append(sum_progress(list(parts.values()), progress, 3))
    for before, after in pairwise(sums):
        assert before.done / before.total <= after.done / after.total <= 1
        assert (before.done, before.migrated) <= (after.done, after.migrated)
        assert before.remaining >= after.remaining
    assert (sums[-1].scanned, sums[-1].migrated, sums[-1].done, sums[-1].remaining) == (110, 110, 110, 0)


def test_workers_wait_together_or_not_at_all() -> None:
    """A worker that waits for another of the same sweep is no news; that all of them wait is."""
    waits = evolve(NOTHING, waiting=True)
    assert not sum_progress([waits], waits, 2).waiting
    assert not sum_progress([waits, NOTHING], waits, 2).waiting
    assert sum_progress([waits, waits], waits, 2).waiting
