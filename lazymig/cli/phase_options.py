"""The options of `lazymig phase`, and the questions that it asks in a terminal."""

from __future__ import annotations

import sys
from typing import Annotated

from attrs import frozen
from cyclopts import Group, Parameter

from lazymig.cli.failures import Unusable
from lazymig.cli.options import Flag, find_user
from lazymig.cli.output import talk
from lazymig.cli.sweep_options import Seconds, Text
from lazymig.phases import Phase
from lazymig.switch import Plan

DEMANDS = Group("Conditions")
#: A phase by its value, as status and history show it.
Named = Annotated[Phase, Parameter(name_transform=lambda name: name.lower())]


class Declined(Exception):
    """A person was asked, and did not agree."""


@frozen(kw_only=True)
class Author:
    """Who changes what the fleet follows.

    Args:
        by: Who does this, for the history. By default the user of this machine.
        why: The reason, for the history.
    """

    by: Text = None
    why: Text = None

    @property
    def name(self) -> str:
        """Who it is."""
        return self.by or find_user()


@frozen(kw_only=True)
class Who(Author):
    """Who moves the fleet, and whether to ask.

    Args:
        by: Who does this, for the history. By default the user of this machine.
        why: The reason, for the history. Asked for in a terminal.
        yes: Do not ask.
    """

    yes: Flag = False

    def ask_why(self) -> str:
        """Return the reason. Raises `Unusable` where there is none and nobody to ask."""
        reason = self.why or (_ask("Why? ") if _can_ask() and not self.yes else "")
        if not reason.strip():
            raise Unusable("--why: say for what reason; the history keeps it")
        return reason.strip()

    def agrees(self, question: str) -> bool:
        """Whether the user agrees. Raises `Unusable` where nobody can be asked."""
        if self.yes:
            return True
        if not _can_ask():
            raise Unusable("--yes: pass it where nobody can be asked, such as in a script")
        return _ask(f"{question} [y/N] ").strip().lower() in ("y", "yes")


@frozen(kw_only=True)
class Demanded:
    """What a step demands.

    Args:
        soak: Seconds for which verifications must have found nothing before V2 is trusted.
        max_age: Seconds that the last full verification may be old then.
        wait: Seconds to wait for acknowledgements.
        accept: A condition that need not be met: soak, indexes, outside-writes, seal or waiting. Give it once for each.
            The history keeps it.
    """

    soak: Seconds = 3600.0
    max_age: Seconds = 86_400.0
    wait: Seconds = 90.0
    accept: Annotated[tuple[str, ...], Parameter(negative="", show_default=False)] = ()


def ask_confirmation(plan: Plan, given: str | None) -> str | None:
    """Return the migration's name, which confirms a step without a way back; None where it needs nothing.

    Raises `Declined` where a person typed something else, and `Unusable` where nobody can be asked.
    """
    if not plan.confirm or given is not None:
        return given
    if not _can_ask():
        raise Unusable(f"--confirm: pass the migration's name, {plan.confirm}; there is no way back from {plan.target}")
    typed = _ask(f"There is no way back from {plan.target}. Type the migration's name to go on: ").strip()
    if typed != plan.confirm:
        raise Declined
    return typed


def _ask(question: str) -> str:
    # On stderr: stdout is for the result.
    talk.print(question, end="", soft_wrap=True, markup=False)
    return sys.stdin.readline()


def _can_ask() -> bool:
    return sys.stdin.isatty()
