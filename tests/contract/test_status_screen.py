"""What `lazymig status` shows beside the counts: the phase, the fleet, what runs, and what comes next."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from attrs import evolve
from rich.cells import cell_len

from lazymig import Control, Phase
from lazymig.cli.status import looked_up
from lazymig.cli.status import screen as screens
from lazymig.cli.status.course import Course
from lazymig.cli.status.screen import Page, bar, lines_of
from lazymig.control import MemberRecord, Moved, Running, RunRecord, Sample, Standing, Steering, parts_of
from lazymig.control.retirement import RetirementRecord, RetirementStage
from lazymig.measuring.holdings import Holdings, MovedBy
from lazymig.metrics import BEHIND, DEAD_LETTERS, DIRTY, EPOCH, MEMBERS, METRICS, MISMATCH_AGE, MISMATCHES, PHASE, SHARE
from lazymig.status import looking
from lazymig.status.gauges import show_gauges
from lazymig.status.looking import Status
from lazymig.status.objects import object_of
from lazymig.status.recorded import DarkLog, Fleet, Passes, Verified
from lazymig.status.words import describe_age
from lazymig.stores.verdicts import Verdict
from lazymig.telemetry import Tally
from tests.people import TestClock
from tests.sweeps import moved, repository, stored, thing

NOW = datetime(2026, 5, 1, 12)
PIPE, TERMINAL = Page(80, terminal=False), Page(80, terminal=True)


def member(name: str, epoch: int) -> MemberRecord:
    """A process of the fleet."""
    return MemberRecord(name, name, "service", "0.1.0", 1, epoch, 3, 15.0, NOW - timedelta(seconds=4))


def status(**changed: Any) -> Status:
    """A status in the middle of a migration, with something to say about everything."""
    hour = timedelta(hours=1)
    standing = Standing(
        "things", Phase.COEXIST, 7, None, {},
        (Moved(NOW - 30 * hour, "ada", "verified on Monday", Phase.SHADOW, Phase.COEXIST, 7),),
    )  # fmt: skip
    swept = RunRecord("things", NOW - 3 * hour, NOW - 2 * hour, True, {"migrated": 41, "filtered": 1})
    verified = RunRecord("things", NOW - hour, NOW - hour, True, {"compared": 90, "match": 88})
    running = Running(
        process="box:12", kind="sweep", since=NOW - hour, seen_at=NOW, done=1200, per_s=340.4, paused=False,
        throttle="replication lags behind", rate=500.0, concurrency=2, batch=1000,
    )  # fmt: skip
    beside = evolve(running, process="box:13", throttle="", rate=None, concurrency=1, batch=250)
    older = evolve(beside, process="box:14", batch=None)
    fields: dict[str, Any] = {
        "migration": "things", "phase": "coexist", "v1": 1000, "v2": Holdings(420, 2, 1, 3, 5, 6),
        "moved_by": MovedBy(100, 20, 302, 0, estimated=True), "dead_letters": 4, "letters": [], "runs": [swept],
        "verified": Verified(verified, {"stale": 2}, NOW - hour), "dark_reads": DarkLog(0, None),
        "conversions": {1: 400, 2: 22}, "warnings": ["something"], "at": NOW,
        "fleet": Fleet(standing, (member("box:1", 7), member("box:2", 6))),
        "passes": Passes((running, beside, older), {"sweep": Steering(rate=500.0, rate_set=True)}),
    }  # fmt: skip
    return Status(**{**fields, **changed})


def test_everything_is_said_in_a_pipe() -> None:
    """Each fact is one line, whole, so that it can be searched for; nothing is drawn."""
    lines = list(lines_of(status(), PIPE))
    assert lines[:2] == [
        "things: phase coexist, 42.4 % migrated",
        "  V2 answers first, filled from V1, which stays the source of truth.",
    ]
    for line in (
        "Phase since 2026-04-30 06:00:00 UTC (30 h ago), by ada: verified on Monday",
        "Fleet: 2 processes, epoch 7; not there yet: box:2 (epoch 6, seen 4 s ago)",
        "  V1 entities                    1,000",
        "  waiting for users              5",
        "  not taken over                 6",
        "  remaining, about               567",
        "  conversion revision 2          about 22",
        "sweep by box:12: 340/s, at most 500, 2 batches of 1,000 at a time, 1,200 done; going slowly: replication lags "
        "behind",
        "sweep by box:13: 340/s, 1 batch of 250 at a time, 1,200 done",
        "sweep by box:14: 340/s, 1,200 done",
        "Last sweep: 2026-05-01 10:00:00 UTC (2 h ago), finished, of a filter, 41 moved",
        "Last verification: 2026-05-01 11:00:00 UTC, finished, 90 entities compared, 88 agreed",
        "V1 and V2 do not agree: 2 stale, the oldest found at 2026-05-01 11:00:00 UTC. lazymig verify says where.",
        "Warning: something",
        "Next: the phase v2_primary; blocked by remaining 567, dirty 2, dead letters 4, mismatches 2",
    ):
        assert line in lines
    assert not any("█" in line for line in lines)


@pytest.mark.parametrize("width", [30, 40, 76, 80, 200])
@pytest.mark.parametrize("count", [0, 12])
def test_a_terminal_is_not_overrun(width: int, count: int) -> None:
    """No line is wider than the terminal, but where a single row is; at 80 columns all of it is one screen."""
    samples = rising(*(step / 100 for step in range(count)), every_s=10)
    lines = list(lines_of(status(), Page(width, terminal=True), samples))
    rows = [line for line in lines if line.startswith("  ") and "  " in line.strip()]
    assert all(cell_len(line) <= width for line in lines if line not in rows)
    assert all(cell_len(line) <= max(width, 46) for line in rows)
    if width >= 80:
        assert len(lines) <= 24
        assert any("V1 entities" in line and cell_len(line) > width // 2 for line in lines)  # two rows on one line


def rising(*shares: float, every_s: float = 3600) -> list[Sample]:
    """Samples of a V1 with 1,006 entities, the last one just now."""
    ago = [(len(shares) - 1 - place) * every_s for place in range(len(shares))]
    return [
        Sample(
            at=NOW - timedelta(seconds=ago_s), by="sweep a:1", phase="coexist", v1=1006, live=round(share * 1000),
            left=6,
        )
        for ago_s, share in zip(ago, shares, strict=True)
    ]  # fmt: skip


def test_the_course_of_a_day_is_one_line() -> None:
    """A terminal draws how much was migrated when, and a pipe says the first and the last, if they differ."""
    samples = rising(0.0, 0.1, 0.1, 0.4)
    assert list(lines_of(status(), TERMINAL, samples))[2].endswith("  422 of 994  ····▂▂▂▂▂▂▂█ 0.0 % 3 h ago")
    assert not any("ago" in line for line in list(lines_of(status(), Page(60, terminal=True), samples))[2:3])
    assert "Migrated: 0.0 % 3 h ago, 42.4 % now" in list(lines_of(status(), PIPE, samples))
    stood = status(v1=1006, v2=Holdings(420, 0, 0, 0, 0, 6))
    assert not any(line.startswith("Migrated") for line in lines_of(stood, PIPE, rising(0.42, 0.42)))


@pytest.mark.parametrize(
    ("samples", "text"),
    [
        (rising(*(step / 100 for step in range(12)), every_s=10), "about 9 min, at 1 per second"),
        ([], "not known: the sweep has not run for long enough"),
    ],
)
def test_the_remaining_time(samples: list[Sample], text: str) -> None:
    """While a sweep runs it is said how long the rest takes, or why that is not known; otherwise nothing is said."""
    assert f"Remaining time: {text}" in list(lines_of(status(), PIPE, samples))
    assert not any(line.startswith("Remaining") for line in lines_of(status(passes=Passes()), PIPE, samples))


@pytest.mark.parametrize("driver", ["pymongo"])
async def test_the_course_is_read_once(database: Any) -> None:
    """A second look reads what is new, keeps what it knows, and forgets what is older than a day."""
    clock = TestClock()
    kept = parts_of(Control(database["lazymig_control"], clock)).samples("things")
    course, found = Course(), status(at=clock.now())
    for step in range(3):
        await kept.record(evolve(rising(0.1)[0], at=clock.now() + timedelta(minutes=20 * step)))
    clock.time += timedelta(minutes=40)
    follow = repository(database, phase=Control(database["lazymig_control"], clock))
    await course.follow(follow, evolve(found, at=clock.now()))
    assert len(course.samples) == 3
    await database["lazymig_control"].drop()
    clock.time += timedelta(hours=10)
    await kept.record(evolve(rising(0.1)[0], at=clock.now()))
    await course.follow(follow, evolve(found, at=clock.now()))
    assert len(course.samples) == 4
    await course.follow(follow, evolve(found, at=clock.now() + timedelta(hours=15)))
    assert len(course.samples) == 1


@pytest.mark.parametrize(("share", "filled"), [(0.0, 0), (0.999, 19), (1.0, 20), (0.5, 10)])
def test_a_bar_is_full_only_when_all_is_done(share: float, filled: int) -> None:
    """It never shows more than there is."""
    assert bar(share, 20) == "█" * filled + "░" * (20 - filled)


def test_without_the_characters_a_bar_is_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """An encoding that lacks blocks gets other signs."""
    monkeypatch.setattr(screens, "encodable", lambda text, instead: instead)
    assert bar(0.5, 10) == "#####....."


def test_a_fleet_that_is_together_says_so() -> None:
    """And one whose writes are about to be held does, too."""
    found = status()
    together = evolve(found, fleet=evolve(found.fleet, members=(member("box:1", 7),)))
    assert "Fleet: 1 process, all at epoch 7" in list(lines_of(together, PIPE))
    assert found.fleet.standing is not None
    held = evolve(together, fleet=evolve(together.fleet, standing=evolve(found.fleet.standing, hold="announced")))
    assert "Fleet: 1 process, all at epoch 7; writes will be held" in list(lines_of(held, PIPE))
    assert any("lazymig phase release lets writes go on" in line for line in lines_of(held, PIPE))
    many = evolve(found, fleet=evolve(found.fleet, members=tuple(member(f"box:{n}", 1) for n in range(6))))
    assert any(line.endswith(" and 3 more") for line in lines_of(many, PIPE))


def test_a_pause_is_shown_without_a_process() -> None:
    """Who starts a sweep would wait, so it is said."""
    orders = {"sweep": Steering(True, "ada", NOW, "slow")}
    lines = list(lines_of(status(passes=Passes((), orders)), PIPE))
    assert "sweep is paused by ada since 2026-05-01 12:00:00 UTC: slow. lazymig sweep resume goes on." in lines


@pytest.mark.parametrize(
    ("phase", "said"),
    [("v1_only", "Next: the phase prepare"), ("v2_primary", "Next: the phase v2_only; blocked by"), ("v2_only", None)],
)
def test_what_comes_next(phase: str, said: str | None) -> None:
    """The phase after this one, with what the counts show to be missing; nothing after the last one and V1's end."""
    lines = [line for line in lines_of(status(phase=phase), PIPE) if line.startswith("Next")]
    assert lines == [] if said is None else lines[0].startswith(said)


def test_v1s_end_comes_after_the_last_phase() -> None:
    """The command and its next step; once V2 is the only truth nothing in the counts blocks it."""
    found = status(phase="v2_only", retirement="drop")
    text = "lazymig retire show, then lazymig retire drop, to take V1 out of service for good"
    assert [line for line in lines_of(found, Page(200, terminal=False)) if line.startswith("Next")] == [f"Next: {text}"]
    assert object_of(found)["next"] == {"what": text, "blocked_by": ()}


@pytest.mark.parametrize("driver", ["pymongo"])
async def test_how_far_v1s_end_is_is_looked_up_in_the_last_phase_only(database: Any, driver: str) -> None:
    """From the record of the retirement, which an abandoned one may have left in an earlier phase."""
    control = Control(database["lazymig_control"])
    ends = parts_of(control).retirement("things")
    for phase, step in ((Phase.COEXIST, ""), (Phase.V2_ONLY, "quarantine")):
        found = await looked_up(repository(database, phase=phase), exact=True)
        assert found.retirement == step
    await ends.save(RetirementRecord(), RetirementRecord(stage=RetirementStage.DROPPED), by="ada", what="")
    for phase, step in ((Phase.COEXIST, ""), (Phase.V2_ONLY, "reduce")):
        found = await looked_up(repository(database, phase=phase), exact=True)
        assert found.retirement == step


@pytest.mark.parametrize("one", [True, False])
def test_programs_read_the_names_that_they_know(one: bool) -> None:
    """Where there is one collection only is `alone` in JSON; what one look keeps for the next is not there."""
    made = object_of(status(upcasting_only=one))
    assert made["alone"] is one
    assert not {"facts", "upcasting_only"} & made.keys()


@pytest.mark.parametrize(
    ("elapsed_s", "said"),
    [(-5, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "120 min"), (7200, "2 h"), (200_000, "2 d")],
)
def test_ages_have_one_unit(elapsed_s: float, said: str) -> None:
    """Seconds for two minutes, minutes for two hours, hours for two days."""
    assert describe_age(NOW - timedelta(seconds=elapsed_s), NOW) == f"{said} ago"


def test_gauges_are_set_by_status(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is a gauge of the table with its attributes; a verdict that no entity has is 0. The share is the page's."""
    tally, shown = Tally("things"), dict[Any, float]()
    monkeypatch.setattr(tally, "show", lambda name, value, **of: shown.update({(name, *of.values()): value}))
    show_gauges(tally, status())
    assert all(METRICS[name].kind == "gauge" for name, *_ in shown)
    assert shown[(SHARE,)] == status().share == evolve(rising(0.422)[0], v1=1000).share == 422 / 994
    assert (shown[(PHASE,)], shown[(EPOCH,)], shown[(MEMBERS,)], shown[(BEHIND,)]) == (3, 7, 2, 1)
    assert (shown[(DIRTY,)], shown[(DEAD_LETTERS,)], shown[(MISMATCH_AGE,)]) == (2, 4, 3600)
    assert (shown[(MISMATCHES, "stale")], shown[(MISMATCHES, Verdict.MISSING)]) == (2, 0)


@pytest.mark.parametrize("driver", ["pymongo"])
async def test_a_fleet_is_looked_at_without_joining(database: Any, driver: str) -> None:
    """A repository that follows a control collection is shown with its fleet and its gates; nothing is written."""
    control = Control(database["lazymig_control"])
    phases = parts_of(control).phases("things")
    begun = await phases.begin(Phase.SHADOW, by="ada", why="all announce")
    assert begun is not None
    await phases.move(begun, Phase.COEXIST, by="bob", why="compared")
    await database["v1"].insert_many([thing(id) for id in range(5)])
    await database["v2"].insert_many([moved(id) for id in range(3)])
    await parts_of(control).runners("things").report(
        "one",
        {
            "process": "box:1", "of": "sweep", "since": begun.last.at, "done": 3, "per_s": 1.0, "paused": False,
            "throttle": "", "rate": None, "concurrency": 2,
        },
    )  # fmt: skip
    before = [await stored(database[name]) for name in ("v1", "v2", "lazymig_control")]
    found = await looked_up(repository(database, phase=control), exact=True)
    assert [await stored(database[name]) for name in ("v1", "v2", "lazymig_control")] == before
    assert (found.phase, found.remaining, found.fleet.members) == ("coexist", 2, ())
    assert found.fleet.standing is not None
    assert [one.process for one in found.passes.running] == ["box:1"]
    assert found.plan is not None
    assert found.plan.target is Phase.V2_PRIMARY
    shown = "\n".join(lines_of(found, PIPE))
    assert "by bob: compared" in shown
    assert f"Next: lazymig phase advance, to v2_primary; blocked by {len(found.plan.blocking)} of" in shown
    assert "  remaining: " in shown or "more: lazymig phase show" in shown
    in_json = object_of(found)
    assert in_json["meaning"] == "V2 answers first, filled from V1, which stays the source of truth."
    assert in_json["behind"] == []


@pytest.mark.parametrize("driver", ["pymongo"])
async def test_what_costs_more_is_looked_up_now_and_then(
    database: Any, driver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a status of a moment ago, counts are new and samples and gates are kept, until the fleet moves on."""
    control, looks = Control(database["lazymig_control"]), list[None]()
    slowly = looking._look_up_slowly

    async def counted(*given: Any, **options: Any) -> Any:
        looks.append(None)
        return await slowly(*given, **options)

    monkeypatch.setattr(looking, "_look_up_slowly", counted)
    phases = parts_of(control).phases("things")
    standing = await phases.begin(Phase.SHADOW, by="ada", why="all announce")
    assert standing is not None
    repo = repository(database, phase=control)
    first = await looked_up(repo, exact=False)
    await database["v1"].insert_one(thing(1))
    second = await looked_up(repo, exact=False, before=first)
    assert (second.v1, second.plan, second.slow_at, len(looks)) == (1, first.plan, first.slow_at, 1)
    await looked_up(repo, exact=False, before=evolve(second, slow_at=second.slow_at - timedelta(seconds=31)))
    assert len(looks) == 2
    await phases.move(standing, Phase.COEXIST, by="ada", why="compared")
    third = await looked_up(repo, exact=False, before=second)
    assert (third.phase, len(looks)) == ("coexist", 3)
    assert third.plan is not None
    assert third.plan.target is Phase.V2_PRIMARY
