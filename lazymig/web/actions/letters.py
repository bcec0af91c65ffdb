"""Dead letters: accept a failure with a reason, take that back, and try entities again.

An id travels as the text of `typed`. It is looked up among the dead letters that there are, and never read as a value.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncGenerator, Mapping
from hashlib import sha256
from typing import ClassVar

from attrs import evolve

from lazymig.status.ids import typed
from lazymig.status.words import describe_moment
from lazymig.stores.records import DeadLetter
from lazymig.sweeping.retry import retry_dead
from lazymig.web.actions.action import LIST, Action, Case, NotDone, check_why
from lazymig.web.actions.listing import LISTED_MAX
from lazymig.web.actions.sheets import WHY, Sheet

#: What the form for all letters carries, so that it is not taken for that of one whose id got lost.
_ALL = "all"
_GONE = "There is no dead letter of this id any more: the entity was moved, or it was deleted."

_CHANGED = "The dead letter has just changed. Nothing was done; look at it again."


async def find_letter(case: Case, text: str) -> DeadLetter | None:
    """Find the dead letter whose id has this text, with its type, among those that lists show; None elsewhere."""
    if not text:
        return None
    for waived in (False, True):
        async for letter in find_listed(case, waived=waived):
            if typed(letter.id) == text:
                return letter
    return None


async def find_listed(case: Case, *, waived: bool) -> AsyncGenerator[DeadLetter]:
    """Yield the open or the waived dead letters, the oldest `LISTED_MAX`: no request reads millions."""
    left = LISTED_MAX
    async for page in case.parts.letters.find_pages(case.name, waived=waived):
        for letter in page[:left]:
            yield letter
        left -= len(page)
        if left <= 0:
            return


def list_facts(letter: DeadLetter) -> tuple[tuple[str, str], ...]:
    """Return what is recorded of a letter, by names, without what is empty."""
    first, last = ("" if at is None else describe_moment(at) for at in (letter.first_at, letter.last_at))
    facts = {
        "Id": typed(letter.id), "Step": letter.direction, "Error": letter.error, "Line": letter.line,
        "Field": letter.path, "Message": letter.message, "Revision of V1": str(letter.revision),
        "Attempts": str(letter.attempts), "First tried": first, "Last tried": last, "Waived": letter.waived or "",
    }  # fmt: skip
    return tuple((name, value) for name, value in facts.items() if value)


def _make_seen(letter: DeadLetter) -> str:
    """Return a text that changes when the failure, or its waiver, is another one."""
    known = (typed(letter.id), str(letter.revision), letter.error, letter.line, letter.path, letter.waived)
    return sha256(repr(known).encode()).hexdigest()[:32]


class _OfOne(Action):
    """An action on one dead letter."""

    exclusive = False
    asks = frozenset({"id"})
    back = LIST
    titles: ClassVar[tuple[str, str]]

    async def look(self, case: Case) -> Sheet:
        letter = await find_letter(case, case.typed.one("id"))
        if letter is None:
            return Sheet(title=self.titles[0], why_not=_GONE)
        return self.make_sheet(
            letter,
            Sheet(title=self.titles[1].format(typed(letter.id)), facts=list_facts(letter), seen=_make_seen(letter)),
        )

    @abstractmethod
    def make_sheet(self, letter: DeadLetter, sheet: Sheet) -> Sheet:
        """Return the sheet of a letter that is there."""

    def describe(self, case: Case, sheet: Sheet) -> str:
        why = case.typed.words("why")
        return f"{case.typed.one('id')}{f': {why}' if why else ''}"

    async def find(self, case: Case, sheet: Sheet) -> DeadLetter:
        """Find the letter again. Raises `NotDone` where it is gone, or another one than the form has shown."""
        letter = await find_letter(case, case.typed.one("id"))
        if letter is None:
            raise NotDone(_GONE)
        if _make_seen(letter) != sheet.seen:
            raise NotDone(_CHANGED)
        return letter


class Waive(_OfOne):
    """Accept one failure."""

    name = "waive"
    titles = ("Waive a dead letter", "Waive the dead letter of {}")

    def make_sheet(self, letter: DeadLetter, sheet: Sheet) -> Sheet:
        if letter.waived is not None:
            return evolve(sheet, why_not="It is waived already.")
        return evolve(
            sheet, fields=(WHY,), button="Waive it",
            text=("The failure no longer needs a person and no longer blocks a step, until V1's document changes. The "
                  "entity stays in V1 alone.",),
        )  # fmt: skip

    def check(self, case: Case, sheet: Sheet) -> Mapping[str, str]:
        return check_why(case)

    async def act(self, case: Case, sheet: Sheet) -> str:
        letter = await self.find(case, sheet)
        if not await case.parts.letters.waive(case.name, letter.id, case.typed.words("why"), seen=letter):
            raise NotDone(_CHANGED)
        return f"waived {typed(letter.id)}"


class Unwaive(_OfOne):
    """Take a waiver back."""

    name = "unwaive"
    titles = ("Take a waiver back", "Take the waiver of {} back")

    def make_sheet(self, letter: DeadLetter, sheet: Sheet) -> Sheet:
        if letter.waived is None:
            return evolve(sheet, why_not="It is not waived.")
        text = "The failure needs a person again, and blocks the steps that trust V2."
        return evolve(sheet, text=(text,), button="Take it back")

    async def act(self, case: Case, sheet: Sheet) -> str:
        letter = await self.find(case, sheet)
        if not await case.parts.letters.unwaive(case.name, letter.id, seen=letter):
            raise NotDone(_CHANGED)
        return f"the dead letter of {typed(letter.id)} is open again"


class Retry(Action):
    """Try to move entities again: one, or all that have an open dead letter."""

    name = "retry"
    asks = frozenset({"id"})

    async def look(self, case: Case) -> Sheet:
        text = "An entity that fails again keeps its dead letter, with the new error. A sweep does this by itself."
        if not case.typed.one("id"):
            count = await case.control.dead_count(case.name)
            title = f"Try the dead letters of {case.name} again"
            if not count:
                return Sheet(title=title, why_not="No dead letter is open.", seen=_ALL)
            facts = (("Open", f"{count:,}"),)
            return Sheet(title=title, text=(text,), facts=facts, button=f"Try {count:,} again", seen=_ALL)
        letter = await find_letter(case, case.typed.one("id"))
        if letter is None:
            return Sheet(title="Try an entity again", why_not=_GONE)
        one = typed(letter.id)
        return Sheet(
            title=f"Try {one} again", text=(text,), facts=list_facts(letter), button="Try it again", seen=f"one {one}"
        )

    def describe(self, case: Case, sheet: Sheet) -> str:
        return case.typed.one("id") or "all open dead letters"

    async def act(self, case: Case, sheet: Sheet) -> str:
        ids, tried = [], await case.control.dead_count(case.name)
        if case.typed.one("id"):
            letter = await find_letter(case, case.typed.one("id"))
            if letter is None:
                raise NotDone(_GONE)
            ids, tried = [letter.id], 1
        removed = await retry_dead(case.repository, case.control, ids) if tried else 0
        left = await case.control.dead_count(case.name)
        return (
            f"entities retried {tried:,}, dead letters removed {removed:,}, still failing {max(tried - removed, 0):,}; "
            f"open dead letters {left:,}"
        )
