"""One action: what it is about, what it asks for, and what it does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar

from attrs import frozen

from lazymig.control import Control, Parts, parts_of
from lazymig.repository import calls_of
from lazymig.status.looking import AnyRepository, control_of
from lazymig.switch import Switch, mover_of
from lazymig.switching.case import Demands
from lazymig.switching.moves import Mover
from lazymig.web.actions.given import Given
from lazymig.web.actions.sheets import Sheet

#: What an action names as `back` that leads to the list of dead letters.
LIST = "dead-letters"


class NotDone(Exception):
    """An action was refused, or changed nothing; the text says why."""


def silent(_: str) -> None:
    """Say nothing."""


@frozen
class Case:
    """One request for an action.

    Attributes:
        repository: The migration's.
        demands: What the steps demand of the past.
        typed: The form, or what the address says.
        by: Who asks, as the application names them.
        say: Called with a line about what is waited for.
    """

    repository: AnyRepository
    demands: Demands
    typed: Given
    by: str
    say: Callable[[str], None] = silent

    @property
    def name(self) -> str:
        """The migration's name."""
        return self.repository.migration.name

    @property
    def control(self) -> Control:
        """The control collection."""
        return control_of(self.repository)

    @property
    def parts(self) -> Parts:
        """Its parts."""
        return parts_of(self.control)

    @property
    def follows(self) -> bool:
        """Whether the repository follows a recorded phase."""
        return calls_of(self.repository).control is not None

    @property
    def switch(self) -> Switch[object, object]:
        """What moves the fleet. Raises `ConfigurationError` where the phase is fixed."""
        soak_s, max_age_s = self.demands.soak_s, self.demands.max_age_s
        return Switch(self.repository, soak_s=soak_s, max_age_s=max_age_s, on_wait=self.say)

    @property
    def mover(self) -> Mover[object, object]:
        """What it is composed of."""
        return mover_of(self.switch)


class Action(ABC):
    """One action that the page offers.

    Attributes:
        name: Its name in the path; `authorize` is asked about it.
        exclusive: Whether it is refused while another one is under way.
        asks: The fields that the address of its form may fill in.
        back: The part of the page that shows what it did.
    """

    name: ClassVar[str]
    exclusive: ClassVar[bool] = True
    asks: ClassVar[frozenset[str]] = frozenset()
    back: ClassVar[str] = "errand"

    @abstractmethod
    async def look(self, case: Case) -> Sheet:
        """Find out what would happen now. Changes nothing."""

    def check(self, case: Case, sheet: Sheet) -> Mapping[str, str]:
        """Return what is wrong with what was typed, by the names of the fields."""
        return {}

    def find_refusal(self, case: Case, sheet: Sheet) -> str:
        """Return why it is refused as it was ordered; "" where it is not. The history keeps that."""
        return ""

    def describe(self, case: Case, sheet: Sheet) -> str:
        """Return what the action is about, for the history: ids and words only."""
        return case.typed.words("why")

    @abstractmethod
    async def act(self, case: Case, sheet: Sheet) -> str:
        """Do it, and return what was done, in words. Raises `NotDone` where nothing was."""


def check_why(case: Case) -> Mapping[str, str]:
    """Return what is wrong with the reason, or that there is none."""
    return check_length(case) if case.typed.words("why") else {"why": "Say for what reason; the history keeps it."}


def check_length(case: Case) -> Mapping[str, str]:
    """Return what is wrong with the reason, which may be left out."""
    why = case.typed.words("why")
    return {} if why.isprintable() and len(why) <= 500 else {"why": "Use up to 500 letters, digits and signs."}


def check_name(case: Case) -> Mapping[str, str]:
    """Return what is wrong with the migration's name as it was typed, if anything."""
    if case.typed.one("confirm").strip() == case.name:
        return {}
    return {"confirm": f"This is not the migration's name, {case.name}. Nothing was done."}
