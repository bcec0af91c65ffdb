"""What a look finds for the page, and what it does not ask for again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve

from lazymig import Phase, RunRecord
from lazymig.control import CutOver, FiguresRecord, GroupFigures, parts_of, set_cut_over
from lazymig.control.journal import Act
from lazymig.control.samples import Sample
from lazymig.switching.case import Demands
from lazymig.verifying.options import KIND as VERIFY
from lazymig.web.looks import ACTS, MOVES, look_up
from lazymig.web.snapshot import Snapshot
from tests.clocks import StandingClock
from tests.contract.conftest import Watched
from tests.pages_of import begin, follow
from tests.sweeps import thing
from tests.watching import steps

IN_MEMORY = pytest.mark.parametrize("driver", ["mock"])


class Looking:
    """Looks at one migration, one after the other, with a clock that only the test moves."""

    def __init__(self, database: Any) -> None:
        self.clock = StandingClock()
        self.control, self.repo = follow(database, clock=self.clock)
        self.parts = parts_of(self.control)
        self.last: Snapshot | None = None

    async def look(self, after_s: float = 1.0) -> Snapshot:
        """Look once more, after some seconds."""
        self.clock.move(after_s)
        self.last = await look_up(self.repo, Demands(), self.last)
        return self.last

    def sample(self, ago_s: float, live: int) -> Sample:
        """A sample of some time ago."""
        at = self.clock.now() - timedelta(seconds=ago_s)
        return Sample(at=at, by="sweep here:1", phase="shadow", v1=10, live=live)

    def run(self, ago_s: float) -> RunRecord:
        """A run that began some time ago."""
        at = self.clock.now() - timedelta(seconds=ago_s)
        return RunRecord("things", at, at + timedelta(seconds=1), finished=True, counts={"migrated": 1})


@pytest.mark.parametrize("driver", ["mock", "pymongo"])
async def test_everything_is_found(database: Any) -> None:
    """Changes of the phase and beside it, runs of all kinds, figures, samples and acts, each in its order."""
    on = Looking(database)
    await begin(on.repo)
    await database["v1"].insert_one(thing(1))
    await set_cut_over(on.parts.phases("things"), share=0.5, by="ada", why="to try")
    for kind, ago_s in (("sweep", 30.0), (VERIFY, 20.0), ("rewrite", 10.0)):
        await on.parts.runs.record(on.run(ago_s), kind=kind)
    group = GroupFigures()
    group.counts["matched"] = 3
    figures = FiguresRecord("a", "here:1", CutOver(0.5), (), {"share": group}, on.clock.now())
    await on.parts.figures("things").record(figures)
    for minute in (2, 1):
        await on.parts.samples("things").record(on.sample(minute * 60, 10 - minute))
    for number in range(ACTS + 5):
        await on.parts.journal("things").add(Act(on.clock.now(), "ada", "pause", f"act {number}"))
    found = await on.look()
    assert [(moved.what, moved.after) for moved in found.moves] == [("", Phase.SHADOW), ("share 0.5", Phase.SHADOW)]
    assert [kind for kind, _ in found.runs] == ["rewrite", "verify", "sweep"]
    assert [(one.name, one.groups["share"].counts["matched"]) for one in found.figures] == [("here:1", 3)]
    assert [one.live for one in found.samples] == [8, 9]
    assert [act.what for act in found.acts] == [f"act {number}" for number in range(ACTS + 4, 4, -1)]
    assert (found.trouble, found.age_s) == ("", 0.0)


@IN_MEMORY
async def test_new_samples_are_added(database: Any) -> None:
    """New samples come after ten seconds, and those that are known are not read again until all of them are."""
    on = Looking(database)
    await begin(on.repo)
    samples = on.parts.samples("things")
    await samples.record(on.sample(60, 1))
    assert [one.live for one in (await on.look()).samples] == [1]
    await samples.record(on.sample(0, 2))
    assert [one.live for one in (await on.look(5.0)).samples] == [1]
    assert [one.live for one in (await on.look(6.0)).samples] == [1, 2]
    await database["lazymig_control"].delete_many({"kind": "samples"})
    await samples.record(on.sample(0, 3))
    assert [one.live for one in (await on.look(11.0)).samples] == [1, 2, 3]
    assert [one.live for one in (await on.look(601.0)).samples] == [3]


@IN_MEMORY
async def test_a_run_that_ends_is_seen_at_once(database: Any) -> None:
    """Runs of each kind are there at the next look, though they are not asked for at every look."""
    on = Looking(database)
    await begin(on.repo)
    assert (await on.look()).runs == []
    for kind in ("sweep", VERIFY, "rewrite"):
        await on.parts.runs.record(on.run(0), kind=kind)
        assert (await on.look()).runs[0][0] == kind


@IN_MEMORY
async def test_the_history_is_bounded(database: Any) -> None:
    """Of many changes the last ones are shown."""
    on = Looking(database)
    await begin(on.repo)
    for number in range(MOVES + 3):
        await set_cut_over(on.parts.phases("things"), share=number / 100, by="ada", why=f"why {number}")
    found = await on.look()
    assert [moved.why for moved in found.moves] == [f"why {number}" for number in range(3, MOVES + 3)]


async def test_a_clock_that_goes_back_asks_again(watched: Watched) -> None:
    """Where the machine's clock was set back, samples are read again instead of never."""
    on = Looking(watched.database)
    await begin(on.repo)
    await on.look()
    assert on.last is not None
    ahead = on.clock.now() + timedelta(days=1)
    on.last = evolve(on.last, samples_read_at=ahead, samples_all_read_at=ahead)
    await on.parts.samples("things").record(on.sample(5, 7))
    with watched.sent() as sent:
        assert [one.live for one in (await on.look()).samples] == [7]
    assert any(step.startswith("lazymig_control") for step in steps(sent))
