"""The pages that walk through all phases: their commands are real, and the walk goes all the way."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from cyclopts import CycloptsError

from lazymig import Phase
from lazymig.cli.verbs import command_line
from tests.pages import DOCS, blocks
from tests.phases.transcript import typed

WALK = DOCS / "walk.md"
APP = ["--app", "examples.service.app:repository"]


def shown(page: Path) -> list[str]:
    """The commands of lazymig that a page shows: in its transcripts, and in backticks."""
    in_blocks = [one.command for block in blocks(page) if block.language == "text" for one in typed(block.text)]
    prose = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return [one for one in [*in_blocks, *re.findall(r"`(lazymig [^`]*)`", prose)] if one.startswith("lazymig ")]


def misused(command: str) -> str:
    """Why the command line does not take a command; an empty text where it does."""
    words = shlex.split(command)[1:]
    verb, *_ = command_line().parse_commands(words)
    if len(verb) == len(words) and verb:
        return ""  # a command without its options, as prose names it
    try:
        command_line().parse_args([*words, *APP], exit_on_error=False, print_error=False)
    except CycloptsError as error:
        return f"{command}: {error}"
    return ""


@pytest.mark.parametrize("page", [WALK, DOCS / "procedures.md"], ids=lambda page: page.name)
def test_commands_are_real(page: Path) -> None:
    """Each command of the page names a verb that exists, with options and values that it takes."""
    commands = shown(page)
    assert len(commands) > 10
    assert [why for command in commands if (why := misused(command))] == []


@pytest.mark.parametrize(
    "command", ["lazymig phase jump", "lazymig phase advance --faster", "lazymig retire drop --confirm"]
)
def test_made_up_commands_are_noticed(command: str) -> None:
    """A verb that does not exist, an unknown option and a missing value are found."""
    assert misused(command)


def test_the_walk_goes_all_the_way() -> None:
    """What the tool printed names each phase as the one that the fleet is in, in order, and V1 as retired."""
    printed = "\n".join(block.text for block in blocks(WALK) if block.language == "text")
    entered = re.findall(r"^customers is in (\w+) now", printed, re.MULTILINE)
    assert [phase for phase in dict.fromkeys(entered) if phase != Phase.V1_ONLY] == list(Phase)[1:]
    assert "V1 is gone, and its retirement is finished" in printed


def test_no_client_saw_a_wrong_answer() -> None:
    """The page's last figures: thousands of requests, and no customer whose answers no order explains."""
    figures = dict(re.findall(r"^(\S.*\S) {2,}([\d,]+)$", blocks(WALK)[-1].text, re.MULTILINE))
    assert int(figures["requests"].replace(",", "")) > 1000
    assert figures["customers whose answers no order explains"] == "0"
