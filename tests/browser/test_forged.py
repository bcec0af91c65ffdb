"""Requests that somebody else makes in a visitor's name are refused, and nothing changes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from starlette.responses import HTMLResponse
from starlette.routing import Route

from lazymig import Phase
from tests.browser.ordering import open_form, send
from tests.browser.serving import Host
from tests.browser.teams import Team
from tests.browser.visiting import Visitors, expect

FORM = "application/x-www-form-urlencoded"


@pytest.fixture
async def elsewhere() -> AsyncIterator[Host]:
    """Another site: another port is another origin, and another host name another site."""
    host = Host()
    host.start()
    yield host
    await host.stop()


@pytest.fixture(autouse=True)
async def begun(team: Team, visitors: Visitors) -> None:
    """A phase from which a step leads on."""
    visitors.tolerate("40[0134]|415|ERR_BLOCKED_BY_RESPONSE|Content Security Policy|frame|CORS policy|ERR_FAILED")
    await team.begin(Phase.PREPARE)


async def nothing_happened(team: Team) -> bool:
    """Whether the phase is as before, and nobody is said to have done anything."""
    standing = await team.control.standing(team.name)
    return standing is not None and standing.phase is Phase.PREPARE and not await team.acts()


@pytest.mark.parametrize("token", ["", "A" * 43, "x"])
async def test_another_token(team: Team, visitors: Visitors, token: str) -> None:
    """A form whose token is not the browser's is refused, though everything else is right."""
    page = await visitors.open(team.page)
    await open_form(page, "Advance to shadow")
    await page.locator("form.order [name=token]").evaluate("(field, token) => { field.value = token; }", token)
    await send(page, "Advance to shadow", why="forged")
    await expect(page.locator("main")).to_contain_text("not one that this browser was given")
    assert await nothing_happened(team)


async def test_a_form_of_another_browser(team: Team, visitors: Visitors) -> None:
    """The whole form of one browser is refused from another."""
    page, other = await visitors.open(team.page), await visitors.open(team.page)
    for one in (page, other):
        await open_form(one, "Advance to shadow")
    token = await other.locator("form.order [name=token]").input_value()
    await page.locator("form.order [name=token]").evaluate("(field, token) => { field.value = token; }", token)
    await send(page, "Advance to shadow", why="forged")
    await expect(page.locator("main")).to_contain_text("not one that this browser was given")
    assert await nothing_happened(team)


@pytest.mark.parametrize("site", ["127.0.0.1", "localhost"])
async def test_a_form_on_another_site(team: Team, visitors: Visitors, elsewhere: Host, site: str) -> None:
    """A form on another page is refused, though its visitor has the form's cookie; so is one in which all is known."""
    page = await visitors.open(team.page)
    await open_form(page, "Advance to shadow")
    fields = await page.locator("form.order input[type=hidden]").evaluate_all(
        "fields => fields.map(field => field.outerHTML).join('')"
    )
    action = team.page + "do/advance"
    trap = f"<form method=post action='{action}'>{fields}<input name=why value=forged><button>Win</button></form>"
    elsewhere.app.router.routes.append(Route("/trap", lambda request: HTMLResponse(trap)))
    await page.goto(f"http://{site}:{elsewhere.port}/trap")
    await page.get_by_role("button", name="Win").click()
    await expect(page.locator("main")).to_contain_text("Another site has sent this form")
    assert await nothing_happened(team)


async def test_a_script_on_another_site(team: Team, visitors: Visitors, elsewhere: Host) -> None:
    """A script elsewhere can neither read the page nor change anything, whatever it sends."""
    page = await visitors.open(team.page)
    elsewhere.app.router.routes.append(Route("/trap", lambda request: HTMLResponse("<p>a trap")))
    await page.goto(f"{elsewhere.origin}/trap")
    tried = await page.evaluate(
        """async ([action, form]) => {
          const tries = [{method: "GET"}, {method: "POST", headers: {"content-type": form}, body: "why=forged"}];
          const found = [];
          for (const one of tries)
            for (const mode of ["cors", "no-cors"])
              found.push(await fetch(action, {credentials: "include", mode, ...one}).then((it) => it.type, () => "no"));
          return found;
        }""",
        [team.page + "do/advance", FORM],
    )
    assert set(tried) <= {"no", "opaque"}
    assert await nothing_happened(team)


async def test_the_page_in_a_frame_of_another_site(team: Team, visitors: Visitors, elsewhere: Host) -> None:
    """Nobody can lay something over the page's buttons: it is not shown in a frame of another site."""
    trap = f"<iframe src='{team.page}do/advance' width=900 height=900></iframe>"
    elsewhere.app.router.routes.append(Route("/frame", lambda request: HTMLResponse(trap)))
    page = await visitors.open(f"{elsewhere.origin}/frame")
    await expect(page.frame_locator("iframe").locator("form.order")).to_have_count(0)


async def test_other_methods_and_bodies(team: Team, visitors: Visitors) -> None:
    """A link does nothing, nor does JSON, nor a request that does not say which page it comes from."""
    page = await visitors.open(team.page)
    address = team.page + "do/advance"
    await page.goto(f"{address}?why=forged&token=x&seen=1")
    origin = team.page.partition("/team")[0]
    for headers, data in (
        ({"origin": origin, "content-type": "application/json"}, "{}"), ({"content-type": FORM}, "why=forged"),
    ):  # fmt: skip
        answer = await page.request.post(address, headers=headers, data=data)
        assert answer.status in {403, 415}
    assert await nothing_happened(team)


async def test_the_guard_alone_refuses(team: Team, visitors: Visitors) -> None:
    """The form as the page made it is accepted, so that what is refused above is refused for what was forged."""
    page = await visitors.open(team.page)
    await open_form(page, "Advance to shadow")
    await send(page, "Advance to shadow", why="my own")
    await expect(page.locator("#errand .notice.good")).to_be_visible()
    assert not await nothing_happened(team)
