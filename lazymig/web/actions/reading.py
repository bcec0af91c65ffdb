"""The pages of dead letters, which change nothing: the list, and one in full."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from lazymig.status.ids import typed
from lazymig.switching.case import Demands
from lazymig.web.actions.action import Case
from lazymig.web.actions.answering import while_answering
from lazymig.web.actions.given import Given
from lazymig.web.actions.letters import find_letter, find_listed, list_facts
from lazymig.web.actions.listing import Asked, Listing, make_listing
from lazymig.web.paths import paths_of
from lazymig.web.rendering import render
from lazymig.web.room import Room


async def list_letters(room: Room, request: Request) -> Response:
    """Show the dead letters in groups, and those of one group, a part at a time."""
    case, query = _make_case(room, request), request.query_params
    page = query.get("page", "1")
    asked = Asked(
        waived=query.get("waived") == "1", group=query.get("group", ""),
        page=int(page) if page.isascii() and page.isdecimal() and len(page) < 9 else 1,
    )  # fmt: skip
    listing = await while_answering(case, _look_up(case, asked))
    return _answer(room, request, case, "dead_letters", title=f"Dead letters of {case.name}", listing=listing)


async def _look_up(case: Case, asked: Asked) -> Listing:
    letters = case.parts.letters
    known = [letter async for letter in find_listed(case, waived=asked.waived)]
    open_count, waived_count = await letters.count_open(case.name), await letters.count_waived(case.name)
    return make_listing(known, asked, open_count=open_count, waived_count=waived_count)


async def show_letter(room: Room, request: Request) -> Response:
    """Show one dead letter in full."""
    case = _make_case(room, request)
    letter = await while_answering(case, find_letter(case, request.query_params.get("id", "")))
    if letter is None:
        raise HTTPException(404, "There is no dead letter of this id: the entity was moved, or it was deleted.")
    id = typed(letter.id)
    return _answer(
        room, request, case, "dead_letter", title=f"The dead letter of {id}", id=id, letter=letter,
        facts=list_facts(letter),
    )  # fmt: skip


def _make_case(room: Room, request: Request) -> Case:
    return Case(room.find(request.path_params["migration"]), Demands(), Given(), "")


def _answer(room: Room, request: Request, case: Case, template: str, **given: object) -> Response:
    paths = paths_of(request, case.name)
    text = render(
        f"actions/{template}.html", paths=paths, mount=paths.mount, migration=case.name,
        acts=room.authorize is not None, **given,
    )  # fmt: skip
    return HTMLResponse(text)
