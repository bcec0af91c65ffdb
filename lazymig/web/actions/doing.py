"""Doing what was ordered, once, with an entry in the journal before it and its outcome after it."""

from __future__ import annotations

import asyncio
import logging
import re
import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from attrs import evolve
from pymongo.errors import PyMongoError

from lazymig.control.journal import Act
from lazymig.errors import LazymigError
from lazymig.loop.deadline import Deadline
from lazymig.web.actions.action import Action, Case, NotDone
from lazymig.web.actions.answering import ANSWER_S, ONCE_MORE_S, is_refusal
from lazymig.web.actions.errands import Errand, Errands, Outcome
from lazymig.web.actions.every import EXCLUSIVE
from lazymig.web.actions.sheets import Sheet
from lazymig.web.trouble import describe_failed_write

_LOGGER: Final = logging.getLogger("lazymig.web")
_FORM: Final = re.compile(r"[A-Za-z0-9_-]{43}")
#: Acts among which one that is under way is looked for.
_LATELY: Final = 20
REPEATED: Final = "This form was sent already; the history shows what became of it."
#: Seconds for which a request waits for what it has ordered: what is refused at once is better shown beside its form.
_PATIENCE_S: Final = 1.0
#: How often the journal is asked to take how an action ended, where the database is away.
_END_TRIES: Final = 120
#: Seconds between two reports of an action that is under way: other processes show it by them, and see where it ends.
_REPORT_S: Final = 5.0


def is_ill_formed(form: str) -> bool:
    """Whether this identifies no form of this page."""
    return not _FORM.fullmatch(form)


async def find_under_way(case: Case) -> Act | None:
    """Find the action that is under way, at any process."""
    acts = await case.parts.journal(case.name).find_last(_LATELY)
    now = await case.parts.time.now()
    return next((act for act in acts if act.is_under_way(now) and act.action in EXCLUSIVE), None)


async def find_repeated(case: Case, form: str) -> Act | None:
    """Find the act that this form has ordered already."""
    return await case.parts.journal(case.name).find(form)


def describe_busy(busy: Errand | Act) -> str:
    """Return why nothing else can be done now."""
    # One of another process is known by its reports alone.
    silent = "" if isinstance(busy, Errand) else ", or until its process has been silent for half a minute"
    return (
        f"{busy.action} by {busy.by} is under way since {busy.began_at:%H:%M:%S} UTC. Wait until it has ended{silent}. "
        "Nothing was done."
    )


async def perform(
    errands: Errands, action: Action, case: Case, sheet: Sheet, form: str, lines: Sequence[str] = ()
) -> Outcome:
    """Do it, unless it would be refused. The journal keeps both."""
    what = action.describe(case, sheet) if sheet.button else sheet.title
    act = Act(case.parts.time.reckon(), case.by, action.name, what, form=form)
    try:
        async with Deadline(ANSWER_S):
            if not await case.parts.journal(case.name).add(act):
                return Outcome(REPEATED)
    except PyMongoError as error:
        words = f"The history could not be written ({describe_failed_write(error)}). Nothing was done."
        outcome = Outcome(words, answered=is_refusal(error))
        if not outcome.answered:
            # It may be written all the same, and must not look as if it was under way.
            errands.leave(_keep_end(case, act, outcome, lines))
        return outcome
    outcome = await _attempt(action, case, sheet)
    if not await _end(case, act, outcome, lines, ANSWER_S if outcome.answered else ONCE_MORE_S):
        errands.leave(_keep_end(case, act, outcome, lines))
    return outcome


async def _attempt(action: Action, case: Case, sheet: Sheet) -> Outcome:
    if refusal := sheet.why_not if not sheet.button else action.find_refusal(case, sheet):
        return Outcome(refusal)
    try:
        # One that is alone may wait for processes or take long, and its page shows how it goes.
        async with Deadline(None if action.exclusive else ANSWER_S):
            return Outcome(await action.act(case, sheet), good=True)
    except (NotDone, LazymigError) as error:
        return Outcome(str(error))
    except PyMongoError as error:
        # Its text may quote documents.
        return Outcome(
            f"The database failed ({describe_failed_write(error)}). It is not known whether this was done: look at the "
            "page before you order it again.",
            answered=is_refusal(error),
        )
    except Exception as error:
        # Where it was raised, without its text, which may quote a document.
        frames = "".join(traceback.format_tb(error.__traceback__))
        _LOGGER.error("%s failed: %s\n%s", action.name, type(error).__name__, frames)  # noqa: TRY400
        return Outcome(
            f"It failed ({type(error).__name__}); the log says more. It is not known how much was done: look at the "
            "page before you go on."
        )


async def _end(case: Case, act: Act, outcome: Outcome, lines: Sequence[str], within_s: float = ANSWER_S) -> bool:
    """Enter how it ended. False: the database does not take it now."""
    journal, now = case.parts.journal(case.name), case.parts.time.reckon()
    ended = evolve(act, outcome=outcome.words, good=outcome.good, ended_at=now, lines=tuple(lines))
    try:
        async with Deadline(within_s):
            for _ in range(2):
                if await journal.end(act.form, outcome.words, good=outcome.good, lines=lines):
                    break
                # The entry was not written. If it comes late, it is refused then, or has come before this one.
                if await journal.add(ended):
                    break
    except PyMongoError:
        return False
    return True


async def _keep_end(case: Case, act: Act, outcome: Outcome, lines: Sequence[str]) -> None:
    """Enter how it ended as soon as the database takes it. Otherwise it would seem to be cut off."""
    for _ in range(_END_TRIES):
        await case.parts.clock.sleep(_REPORT_S)
        if await _end(case, act, outcome, lines):
            return
    _LOGGER.warning("the outcome of %s could not be kept", act.action)


async def run_exclusively(errands: Errands, action: Action, case: Case, sheet: Sheet, form: str) -> Outcome | None:
    """Do it beside the request, as the migration's only errand; return how it ended, or None if it is under way."""
    if (busy := errands.find_busy(case.name)) is not None:
        return Outcome(REPEATED if busy.form == form else describe_busy(busy))
    now = case.parts.time.reckon
    errand = Errand(action.name, case.by, form, now())

    async def work(errand: Errand) -> Outcome:
        said = evolve(case, say=errand.say)
        doing = asyncio.ensure_future(perform(errands, action, said, sheet, form, errand.lines))
        while (await asyncio.wait({doing}, timeout=_REPORT_S))[1]:
            with suppress(PyMongoError):  # the next report says the same
                async with Deadline(ANSWER_S):
                    await case.parts.journal(case.name).report(form, errand.lines)
        return doing.result()

    task = errands.begin(case.name, errand, work, now)
    ended, _ = await asyncio.wait({task}, timeout=_PATIENCE_S)
    return task.result() if ended else None
