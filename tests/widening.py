"""How far a proof goes: pytest's options for it, read before the tests that they widen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attrs import define, fields

from tests.leaping import Leaps
from tests.tracing import PARTS


@define
class Widening:
    """What a person asked for; without options, what a run of all tests takes."""

    full: bool = False
    walk_seed: int = 20_240_101
    wide: bool = False
    soak_s: float = 6.0
    seed: int | None = None
    ledger: Path | None = None
    part: str = PARTS[0]
    leaps: int | None = None
    leap_every: int = 400
    longest_leap_s: float = 2.0


WIDENING = Widening()


def add_options(parser: Any) -> None:
    """Tell pytest of the options."""
    group = parser.getgroup("proof", "how far the proof goes")
    group.addoption(
        "--full", action="store_true", help="explore every pair of calls from every state, and more triples"
    )
    group.addoption("--walk-seed", type=int, default=WIDENING.walk_seed, help="draw the random walks anew")
    group.addoption("--wide", action="store_true", help="four times the calls, kills, step-downs and examples")
    group.addoption("--soak-s", type=float, default=WIDENING.soak_s, metavar="SECONDS", help="the length of the soak")
    group.addoption("--seed", type=int, help="repeat a run's choices; printed, and fixed where CI is set")
    group.addoption("--part", choices=PARTS, default=PARTS[0], help="only what runs under coverage, or all else")
    group.addoption("--leaps", type=int, metavar="SEED", help="let the clocks leap, as on a machine that stalls")
    group.addoption("--leap-every", type=int, default=WIDENING.leap_every, metavar="LOOKS", help="how seldom they leap")
    group.addoption(
        "--longest-leap-s", type=float, default=WIDENING.longest_leap_s, metavar="SECONDS", help="how far they leap"
    )
    group.addoption("--ledger", type=Path, metavar="FILE", help="keep what was tried, for tests.faults.report")


def take_options(config: Any) -> None:
    """Take over what was asked for: ahead of the modules, whose parameters depend on it."""
    for field in fields(Widening):
        setattr(WIDENING, field.name, config.getoption(field.name))
    if WIDENING.leaps is not None:
        leaps = Leaps(WIDENING.leaps, WIDENING.leap_every, WIDENING.longest_leap_s)
        config.pluginmanager.register(leaps)
        leaps.start()
