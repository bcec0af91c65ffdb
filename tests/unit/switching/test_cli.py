"""`lazymig phase`: what it prints, what it asks, and its exit codes."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from mongomock_motor import AsyncMongoMockClient

from lazymig import Phase
from lazymig.cli.verbs import run
from lazymig.control.retirement import RetirementRecord, RetirementStage
from tests import switch_app
from tests.switches import Ready, standing

APP = ("--app", "tests.switch_app:repository")
Shown = tuple[int, str, str]


class Terminal(io.StringIO):
    """What a person types."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def ready() -> Ready:
    """A migration in memory, which the application of these tests opens."""
    made = Ready(AsyncMongoMockClient()["memory"])
    switch_app.DATABASE.update(now=made.database, clock=made.clock)
    return made


@pytest.fixture
def phase(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Shown]:
    """Run a command, with what a person types if one is there: its exit code, stdout and stderr."""

    def command(*words: str, app: tuple[str, str] = APP, typed: str | None = None) -> Shown:
        monkeypatch.setattr("sys.stdin", io.StringIO() if typed is None else Terminal(typed))
        code = run(["phase", *words, *app])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return command


def phase_of(ready: Ready) -> Phase:
    """The recorded phase."""
    return asyncio.run(standing(ready.repo)).phase


def test_a_migration_without_a_record_says_how_to_begin(ready: Ready, phase: Any) -> None:
    """Show and advance fail and name the command; begin records who, when and why, once."""
    for words in (["show"], ["advance", "--yes", "--why", "x"]):
        code, _, errors = phase(*words)
        assert (code, "lazymig phase begin" in errors) == (1, True)
    assert phase("begin", "v1_only", "--yes")[0] == 2  # no reason, and nobody to ask
    assert phase("begin", "v1_only", "--why", "now")[0] == 2  # nobody to ask whether
    assert phase("begin", "v1_only", "--why", "now", "--by", "ada", "--yes")[:2] == (
        0,
        "things is in v1_only now (epoch 1).\n",
    )
    code, _, errors = phase("begin", "coexist", "--why", "now", "--yes")
    assert (code, "by ada" in errors) == (1, True)
    assert phase_of(ready) is Phase.V1_ONLY


def test_a_fixed_phase_is_refused_with_what_to_pass(ready: Ready, phase: Any) -> None:
    """The exit code is 2, and the message names phase=Control."""
    for words in (["show"], ["advance"], ["rollback"], ["history"], ["begin", "v1_only"], ["release"]):
        code, _, errors = phase(*words, app=("--app", "tests.switch_app:fixed"))
        assert (code, "phase=Control(collection)" in errors) == (2, True)


def test_show_prints_both_ways_and_what_blocks(ready: Ready, phase: Any) -> None:
    """Within 80 columns: the phase, each gate with its remedy, and the way back. The exit code is 3 when blocked."""
    asyncio.run(ready.begin(Phase.COEXIST))
    assert phase("show", "--soak", "0")[0] == 0
    asyncio.run(ready.dead_letter())
    code, shown, _ = phase("show", "--soak", "0")
    assert code == 3
    assert "things is in coexist: V2 answers first, filled from V1" in shown
    assert "Next: v2_primary, refused" in shown
    assert "  CLOSED   dead-letters    1 entities could not be moved" in shown
    assert "-> lazymig dead-letters list shows them" in shown
    assert "Back: shadow" in shown
    assert max(map(len, shown.splitlines())) <= 80
    found = json.loads(phase("show", "--soak", "0", "--json")[1])
    assert (found["phase"], found["advance"]["blocked"], found["rollback"]["blocked"]) == ("coexist", True, False)


def test_a_person_is_asked(ready: Ready, phase: Any) -> None:
    """No answer but yes moves; the reason is asked for, and the history keeps both."""
    asyncio.run(ready.begin(Phase.SHADOW))
    for typed in ("", "\n", "n\n"):
        assert phase("advance", "--why", "x", typed=typed)[0] == 1
        assert phase_of(ready) is Phase.SHADOW
    code, shown, asked = phase("advance", "--by", "ada", typed="y\nbecause\n")
    assert (code, "things is in coexist now" in shown) == (0, True)
    assert "Move things from shadow to coexist? [y/N]" in asked
    kept = json.loads(phase("history", "--json")[1])["history"][-1]
    assert (kept["by"], kept["why"], kept["after"]) == ("ada", "because", "coexist")


def test_what_is_refused_changes_nothing(ready: Ready, phase: Any) -> None:
    """A closed gate, a dry run, another target, a gate that nobody may accept, and no way back."""
    asyncio.run(ready.begin(Phase.COEXIST))
    order = ("--why", "x", "--yes")
    assert phase("advance", *order)[0] == 3
    assert phase("advance", *order, "--soak", "0", "--dry-run")[0] == 0
    assert phase("advance", *order, "--soak", "0", "--to", "shadow")[0] == 1
    assert phase("advance", *order, "--accept", "verification")[0] == 2
    assert phase_of(ready) is Phase.COEXIST
    assert phase("advance", *order, "--accept", "soak", "--to", "v2_primary", "--json")[0] == 0
    assert phase("rollback", *order, "--to", "coexist")[0] == 0
    assert phase_of(ready) is Phase.COEXIST


def test_the_last_step_needs_the_name(ready: Ready, phase: Any) -> None:
    """`--yes` is not enough, a wrong name is refused, a typed name is the answer, and then there is no way back."""
    asyncio.run(ready.begin(Phase.V2_PRIMARY))
    order = ("--why", "x", "--yes", "--soak", "0", "--accept", "seal", "--accept", "outside-writes")
    assert phase("advance", *order)[0] == 2
    assert phase("advance", *order, "--confirm", "thing")[0] == 1
    assert phase("advance", *order, typed="nothing\n")[0] == 1
    assert phase_of(ready) is Phase.V2_PRIMARY
    asked = [word for word in order if word != "--yes"]
    assert phase("advance", *asked, typed="things\n")[0] == 0
    assert phase_of(ready) is Phase.V2_ONLY
    code, _, errors = phase("rollback", "--why", "x", "--yes")
    assert (code, "migration.reversed(name)" in errors) == (1, True)


@pytest.mark.parametrize(
    ("stage", "doing", "step"),
    [
        ("serving", "", "quarantine"),
        ("dropped", "", "reduce"),
        ("quarantined", "restore", "restore"),
        ("retired", "", None),
    ],
)
def test_in_the_last_phase_v1s_end_comes_next(
    ready: Ready, phase: Any, stage: str, doing: str, step: str | None
) -> None:
    """Show names the command and the step that comes next or was cut off; once V1's end is finished nothing is left."""
    asyncio.run(ready.begin(Phase.V2_ONLY))
    record = RetirementRecord(stage=RetirementStage(stage), doing=doing)
    asyncio.run(ready.parts.retirement("things").save(RetirementRecord(), record, by="ada", what=""))
    code, shown, _ = phase("show")
    assert (code, "Back: none" in shown) == (0, True)
    if step is None:
        assert ("lazymig retire" in shown, "Next: none" in shown) == (False, True)
    else:
        assert f"lazymig retire show, then lazymig retire {step}" in " ".join(shown.split())
    assert max(map(len, shown.splitlines())) <= 80
    assert json.loads(phase("show", "--json")[1])["retirement"] == (step or "")


def test_a_hold_that_was_left_is_shown_and_released(ready: Ready, phase: Any) -> None:
    """Show names it and exits with 3; release undoes it, and says so."""
    asyncio.run(ready.begin(Phase.V2_PRIMARY))

    async def hold() -> None:
        assert await ready.parts.phases("things").change(await standing(ready.repo), hold="writes")

    asyncio.run(hold())
    code, shown, _ = phase("show", "--soak", "0", "--accept", "seal", "--accept", "outside-writes")
    assert (code, "was cut off: writes are held" in shown) == (3, True)
    assert phase("release")[:2] == (0, "things: writes go on\n")
    assert phase("release")[:2] == (0, "things: nothing was left to undo\n")
    assert asyncio.run(standing(ready.repo)).hold is None
