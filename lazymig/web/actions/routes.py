"""The requests for actions: a page that shows what would happen, and the form that does it.

A GET changes nothing. A POST passes every guard before anything is looked up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from functools import partial

from attrs import evolve, frozen
from pymongo.errors import PyMongoError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from lazymig.control.journal import Act
from lazymig.errors import LazymigError
from lazymig.loop.deadline import Deadline
from lazymig.switching.case import Demands
from lazymig.web.actions import guards
from lazymig.web.actions.action import LIST, Action, Case
from lazymig.web.actions.answering import ONCE_MORE_S, while_answering
from lazymig.web.actions.doing import (
    REPEATED,
    describe_busy,
    find_repeated,
    find_under_way,
    is_ill_formed,
    perform,
    run_exclusively,
)
from lazymig.web.actions.errands import Outcome
from lazymig.web.actions.every import ACTIONS, END_STEPS
from lazymig.web.actions.given import Given, parse_form
from lazymig.web.actions.reading import list_letters, show_letter
from lazymig.web.actions.sheets import Sheet
from lazymig.web.paths import Paths, paths_of
from lazymig.web.rendering import render
from lazymig.web.room import Room
from lazymig.web.trouble import describe_trouble

_CHANGED = "It has changed since this form was shown. Nothing was done; look at it again."


def action_routes(room: Room) -> list[Route]:
    """Return the routes of all actions, and of the list of dead letters."""
    return [
        Route("/m/{migration}/do/{action}", partial(_do, room), methods=["GET", "POST"], name="do"),
        Route("/m/{migration}/dead-letters", partial(list_letters, room), name="dead-letters"),
        Route("/m/{migration}/dead-letters/one", partial(show_letter, room), name="dead-letter"),
    ]


async def _do(room: Room, request: Request) -> Response:
    """Show what an action would do; with a form, do it."""
    action = ACTIONS.get(request.path_params["action"])
    if action is None and room.authorize is not None:
        raise HTTPException(404, "This page has no action of that name.")
    asked = "" if action is None else action.name
    if request.method == "POST" and room.authorize is not None:
        guards.check_sender(request)
        given, request = await guards.read_form(request)
        guards.check_token(request, given)
    else:
        given = Given()
    by = await guards.find_name(room.authorize, request, asked)
    assert action is not None  # without a hook, `find_name` has refused
    order = _Order(room, request, action)
    if request.method == "POST":
        answer = await order.do(given, by)
        # The page to which it leads shows what was done; the list of dead letters is read each time.
        if answer.status_code == 303 and action.back != LIST:
            await room.renew(request.path_params["migration"])
        return answer
    return await order.show(by)


@frozen
class _Known:
    """What is known before an order is carried out.

    Attributes:
        sheet: What its form would say now.
        busy: What else is under way.
        answer: The answer, where nothing is to be done.
    """

    sheet: Sheet
    busy: Act | None = None
    answer: Response | None = None


@frozen
class _Order:
    """One request for one action."""

    room: Room
    request: Request
    action: Action

    def case(self, given: Given, by: str) -> Case:
        """Return what the action looks at."""
        repository = self.room.find(self.request.path_params["migration"])
        return Case(repository, Demands(self.room.soak_s, self.room.max_age_s), given, by)

    def find_paths(self) -> Paths:
        """Return the paths of the migration's page."""
        return paths_of(self.request, self.room.find(self.request.path_params["migration"]).migration.name)

    async def show(self, by: str) -> Response:
        """Show what would happen. The address fills in no more than what the action is about."""
        try:
            asked = parse_form(self.request.url.query).only(self.action.asks)
        except ValueError:
            raise HTTPException(400, "The address cannot be read.") from None
        case = self.case(asked, by)
        return self.page(case, await while_answering(case, self.action.look(case)))

    async def do(self, given: Given, by: str) -> Response:
        """Do it, or show the form again with what was typed and why nothing was done."""
        case, form = self.case(given, by), given.one("form")
        if is_ill_formed(form):
            raise HTTPException(400, "The form is not one that this page made. Open the form again.")
        try:
            known = await while_answering(case, self._look(case, form))
        except (PyMongoError, LazymigError) as error:
            return self.say(case, f"{describe_trouble(error).rstrip('.')}. Nothing was done.")
        if known.answer is not None:
            return known.answer
        sheet = known.sheet
        if known.busy is not None:
            return self.again(case, sheet, describe_busy(known.busy))
        if given.one("seen") != sheet.seen:
            return self.again(case, sheet, _CHANGED)
        if sheet.button and (wrong := self.action.check(case, sheet)):
            return self.again(case, sheet, "Nothing was done.", wrong, status=422)
        if given.repeated - {one.name for one in sheet.fields if one.kind == "any"}:
            raise HTTPException(400, "The form names a field several times. Nothing was done; open the form again.")
        outcome = await self._perform(case, sheet, form)
        if outcome is None or outcome.good or outcome.words == REPEATED:
            return self.leave()
        return await self.show_outcome(case, outcome)

    async def _look(self, case: Case, form: str) -> _Known:
        """Find out what is known before anything is done."""
        busy = await find_under_way(case) if self.action.exclusive else None
        if busy is not None and busy.form == form:
            return _Known(Sheet(title=""), answer=self.leave())
        repeated = await find_repeated(case, form)
        if repeated is not None and (repeated.good or repeated.ended_at is None):
            return _Known(Sheet(title=""), answer=self.leave())
        sheet = await self.action.look(case)
        if repeated is not None:
            return _Known(sheet, answer=self.again(case, sheet, f"This form was sent before. {repeated.outcome}"))
        return _Known(sheet, busy=busy)

    async def _perform(self, case: Case, sheet: Sheet, form: str) -> Outcome | None:
        """Do it; return how it ended, or None if it is under way."""
        errands = self.room.errands
        if self.action.exclusive and sheet.button:
            return await run_exclusively(errands, self.action, case, sheet, form)
        return await asyncio.shield(errands.keep(perform(errands, self.action, case, sheet, form)))

    async def show_outcome(self, case: Case, outcome: Outcome) -> Response:
        """Show the form as it is now with how it ended; where nothing can be looked up, how it ended alone."""
        with suppress(PyMongoError, LazymigError):
            async with Deadline(None if outcome.answered else ONCE_MORE_S):
                return self.again(case, await while_answering(case, self.action.look(case)), outcome.words)
        return self.say(case, outcome.words)

    def say(self, case: Case, problem: str) -> Response:
        """Return a page that says what has become of an order, where nothing else can be looked up."""
        paths = self.find_paths()
        text = render(
            "actions/unanswered.html", title=f"{self.action.name}: {case.name}", paths=paths, mount=paths.mount,
            problem=f"{problem[:1].upper()}{problem[1:]}", action=self.action.name, migration=case.name,
            letter=self._find_letter(case),
        )  # fmt: skip
        return HTMLResponse(text, 503)

    def _find_letter(self, case: Case) -> str:
        return case.typed.one("id") if "id" in self.action.asks else ""

    def leave(self) -> Response:
        """Lead back to the page."""
        paths = self.find_paths()
        to_list = self.action.back == LIST
        return RedirectResponse(paths.dead_letters if to_list else f"{paths.page}#{self.action.back}", 303)

    def again(
        self, case: Case, sheet: Sheet, problem: str, wrong: Mapping[str, str] | None = None, *, status: int = 409
    ) -> Response:
        """Show the form again, with what was typed and what is wrong. A name that confirms is typed again."""
        kept = evolve(case, typed=Given({name: one for name, one in case.typed.fields.items() if name != "confirm"}))
        return self.page(kept, sheet, problem, wrong, status=status)

    def page(
        self, case: Case, sheet: Sheet, problem: str = "", wrong: Mapping[str, str] | None = None, *, status: int = 200
    ) -> Response:
        """Return the page of the action."""
        token, paths = guards.find_token(self.request), self.find_paths()
        text = render(
            "actions/action.html", title=sheet.title, sheet=sheet, typed=case.typed, problem=problem,
            wrong=wrong or {}, places=_find_places(sheet), token=token, token_field=guards.TOKEN_FIELD,
            form=guards.make_token(), paths=paths, mount=paths.mount, action=self.action.name,
            migration=case.name, by=case.by, letter=self._find_letter(case),
            steps=END_STEPS if self.action.name == "retire" else (),
        )  # fmt: skip
        response = HTMLResponse(text, status)
        guards.keep_token(self.request, response, token)
        return response


def _find_places(sheet: Sheet) -> Mapping[str, str]:
    """Return where each field stands on the page, by the fields' names."""
    options = {field.name: f"option-{field.name}" for field in sheet.options}
    return options | ({field.name: f"field-{field.name}" for field in sheet.fields} if sheet.button else {})
