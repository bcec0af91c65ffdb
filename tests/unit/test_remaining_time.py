"""How long the rest takes: near the truth where the pace is steady, and not said where it would be a guess."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from lazymig.control import Running, Sample
from lazymig.status.remaining_time import RemainingTime, describe_remaining_time, estimate

NOW = datetime(2024, 5, 1, 12)
WHOLE = 10_000_000
SWEEP = Running(
    process="a:1", kind="sweep", since=NOW - timedelta(minutes=20), seen_at=NOW, done=1, per_s=1.0, paused=False,
    throttle="", rate=None, concurrency=1,
)  # fmt: skip


def sample(ago_s: float, live: float) -> Sample:
    at = NOW - timedelta(seconds=ago_s)
    return Sample(at=at, by="sweep a:1", phase="coexist", v1=WHOLE, live=round(live))


def steady(pace: float, *, count: int = 25, every_s: float = 10, noise: float = 0) -> list[Sample]:
    """Samples of a sweep at this pace until now, of which every other one is off by a part of what a slot moves."""
    off = [noise * pace * every_s * (step % 2) for step in range(count)]
    return [sample((count - step) * every_s, 1000 + step * every_s * pace + off[step]) for step in range(count)]


@given(
    pace=st.floats(5, 5000), left=st.integers(1, WHOLE), every_s=st.floats(8, 14), count=st.integers(9, 40),
    noise=st.floats(0, 0.3),
)  # fmt: skip
def test_a_steady_pace(pace: float, left: int, every_s: float, count: int, noise: float) -> None:
    """While the pace is steady, the time is that of the pace, also where the counts are a little off."""
    found = estimate(left, [SWEEP], steady(pace, count=count, every_s=every_s, noise=noise), NOW)
    assert found.seconds is not None
    assert found.seconds == pytest.approx(left / pace, rel=0.15)
    assert found.per_s == pytest.approx(pace, rel=0.15)


@given(
    ago=st.lists(st.floats(0, 400), max_size=40, unique=True),
    lives=st.lists(st.integers(0, WHOLE), min_size=40, max_size=40),
    left=st.integers(0, WHOLE), paused=st.booleans(), runs=st.booleans(),
)  # fmt: skip
def test_whatever_the_samples_are(ago: list[float], lives: list[int], left: int, paused: bool, runs: bool) -> None:
    """There is a time above 0 with its pace, or a reason; never a time for a sweep that is paused or does not run."""
    samples = [sample(one, live) for one, live in zip(sorted(ago, reverse=True), lives, strict=False)]
    found = estimate(left, [evolve(SWEEP, paused=paused)] if runs else [], samples, NOW)
    known = found.seconds is not None
    assert known == (found.per_s is not None) == (not found.why)
    assert not known or (found.seconds or 0) > 0
    assert not known or (runs and not paused and left > 0)


@given(pace=st.floats(5, 5000), part=st.integers(0, 2), factor=st.sampled_from([0.0, 0.2, 3.0]))
def test_a_pace_that_changes(pace: float, part: int, factor: float) -> None:
    """Where a third of the last minutes was much slower or faster, nothing is said."""
    live, samples = 1000.0, []
    for step in range(25):
        samples.append(sample((25 - step) * 10, live))
        live += 10 * pace * (factor if step // 8 == part else 1)
    assert estimate(1000, [SWEEP], samples, NOW).seconds is None


@pytest.mark.parametrize(
    ("left", "sweeps", "samples", "why"),
    [
        (0, [SWEEP], steady(10), "nothing is left that a sweep can move"),
        (5, [], steady(10), "no sweep is running"),
        (5, [evolve(SWEEP, paused=True)], steady(10), "the sweep is paused"),
        (5, [SWEEP], steady(10, count=5), "the sweep has not run for long enough"),
        (5, [SWEEP], steady(10, count=20, every_s=2), "the sweep has not run for long enough"),
        (5, [evolve(SWEEP, since=NOW - timedelta(seconds=45))], steady(10), "the sweep has not run for long enough"),
        (5, [SWEEP], steady(10)[:-4], "the last sample is too old"),
        (5, [SWEEP], steady(0), "nothing was moved lately, or more came in"),
        (5, [SWEEP], steady(-3), "nothing was moved lately, or more came in"),
    ],
)
def test_why_it_is_not_known(left: int, sweeps: list[Running], samples: list[Sample], why: str) -> None:
    """Each reason for which nothing is said."""
    assert estimate(left, sweeps, samples, NOW) == RemainingTime(why=why)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (5.0, "a minute or less, at 1,200 per second"),
        (100.0, "about two minutes, at 1,200 per second"),
        (600.0, "about 10 min, at 1,200 per second"),
        (9000.0, "about 2 h, at 1,200 per second"),
        (400_000.0, "about 5 d, at 1,200 per second"),
    ],
)
def test_words(seconds: float, text: str) -> None:
    """It is said in one unit, with the pace on which it rests."""
    assert describe_remaining_time(RemainingTime(seconds, 1200.4)) == text


def test_words_without_a_time() -> None:
    """Where it is not known, the reason is said."""
    assert describe_remaining_time(RemainingTime(why="no sweep is running")) == "not known: no sweep is running"
