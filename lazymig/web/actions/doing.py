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
from lazymig.web.actions.action import Action, Case, NotDone
from lazymig.web.actions.errands import Errand, Errands, Outcome
from lazymig.web.actions.every import ALONE
from lazymig.web.actions.sheets import Sheet
from lazymig.web.trouble import describe_failed_write

_LOGGER: Final = logging.getLogger("lazymig.web")
_FORM: Final = re.compile(r"[A-Za-z0-9_-]{43}")
#: Acts among which one that is under way is looked for.
_LATELY: Final = 20
REPEATED: Final = "This form was sent already; the history shows what became of it."
#: Seconds for which a request waits for what it has ordered: what is refused at once is better shown beside its form.
_PATIENCE_S: Final = 1.0
#: Seconds between two reports of an action that is under way: other processes show it by them, and see where it ends.
_REPORT_S: Final = 5.0


def is_ill_formed(form: str) -> bool:
    """Whether this identifies no form of this page."""
    return not _FORM.fullmatch(form)


async def find_under_way(case: Case) -> Act | None:
    """Find the action that is under way, at any process."""
    acts = await case.parts.journal(case.name).find_last(_LATELY)
    now = await case.parts.time.now()
    return next((act for act in acts if act.is_under_way(now) and act.action in ALONE), None)


async def find_repeated(case: Case, form: str) -> Act | None:
    """Find the act that this form has ordered already."""
    return await case.parts.journal(case.name).find(form)


def describe_busy(busy: Errand | Act) -> str:
    """Return why nothing else can be done now."""
    return f"{busy.action} by {busy.by} is under way since {busy.began_at:%H:%M:%S} UTC. Wait until it has ended."


async def perform(action: Action, case: Case, sheet: Sheet, form: str, lines: Sequence[str] = ()) -> Outcome:
    """Do it, unless it would be refused. The journal keeps both."""
    journal = case.parts.journal(case.name)
    what = action.describe(case, sheet) if sheet.button else sheet.title
    try:
        if not await journal.add(Act(await case.parts.time.now(), case.by, action.name, what, form=form)):
            return REPEATED, False
    except PyMongoError as error:
        return f"The history could not be written ({describe_failed_write(error)}). Nothing was done.", False
    outcome, good = await _attempt(action, case, sheet)
    try:
        await journal.end(form, outcome, good=good, lines=lines)
    except PyMongoError as error:
        _LOGGER.warning("the outcome of %s could not be kept: %s", action.name, type(error).__name__)
    return outcome, good


async def _attempt(action: Action, case: Case, sheet: Sheet) -> Outcome:
    if refusal := sheet.why_not if not sheet.button else action.find_refusal(case, sheet):
        return refusal, False
    try:
        return await action.act(case, sheet), True
    except (NotDone, LazymigError) as error:
        return str(error), False
    except PyMongoError as error:
        # Its text may quote documents.
        words = describe_failed_write(error)
        return f"The database failed ({words}). It may have been done or not: look at the page.", False
    except Exception as error:
        # Where it was raised, without its text, which may quote a document.
        frames = "".join(traceback.format_tb(error.__traceback__))
        _LOGGER.error("%s failed: %s\n%s", action.name, type(error).__name__, frames)  # noqa: TRY400
        return f"It failed ({type(error).__name__}); the log says more. Look at the page before you go on.", False


async def run_alone(errands: Errands, action: Action, case: Case, sheet: Sheet, form: str) -> Outcome | None:
    """Do it beside the request, as the migration's only errand; return how it ended, or None if it is under way."""
    if (busy := errands.find_busy(case.name)) is not None:
        return (REPEATED if busy.form == form else describe_busy(busy)), False
    time = case.parts.time
    errand = Errand(action.name, case.by, form, time.reckon())

    async def work(errand: Errand) -> Outcome:
        doing = asyncio.ensure_future(perform(action, evolve(case, say=errand.say), sheet, form, errand.lines))
        while (await asyncio.wait({doing}, timeout=_REPORT_S))[1]:
            with suppress(PyMongoError):  # the next report says the same
                await case.parts.journal(case.name).report(form, errand.lines)
        return doing.result()

    task = errands.begin(case.name, errand, work, time.reckon)
    await asyncio.wait({task}, timeout=_PATIENCE_S)
    return None if errand.ended_at is None else (errand.outcome, errand.good)
