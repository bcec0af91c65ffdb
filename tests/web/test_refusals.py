"""What is refused, at every action: nothing is changed then, and the person reads why."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from lazymig import Phase, Repository, Sweeper, Switch, Verifier
from lazymig.control import parts_of
from lazymig.status.looking import control_of
from lazymig.web.actions.given import BODY_MAX
from lazymig.web.actions.routes import ACTIONS
from tests.sweeps import thing
from tests.web.visitors import FORM, Host, Page, Visitor
from tests.widening import WIDENING

#: What each action of a migration in `coexist` needs, so that it would be done: what its address and its form say.
ORDERS: dict[str, tuple[dict[str, str], dict[str, Any]]] = {
    "rollback": ({}, {"why": "a test"}),
    "cut-over": ({}, {"share": "0.5", "why": "a test"}),
    "pause": ({}, {"kind": "sweep", "why": "a test"}),
    "rate": ({}, {"kind": "sweep", "rate": "5"}),
    "waive": ({"id": "int:5"}, {"why": "a test"}),
    "retry": ({"id": "int:5"}, {}),
}
#: All of them pass the same guards: by default the tests try one that waits, one that does not, and one with an id.
orders = pytest.mark.parametrize("action", ORDERS if WIDENING.full else ("rollback", "pause", "waive"))


async def held(database: Any) -> Any:
    """Everything that the control collection holds, and V2."""
    return [await database[name].find({}).sort("_id", 1).to_list(None) for name in ("lazymig_control", "v1", "v2")]


async def form_of(visitor: Visitor, action: str) -> tuple[Page, dict[str, list[str]]]:
    """The form of an action, filled in so that it would be done."""
    query, typed = ORDERS[action]
    page = await visitor.open(action, **query)
    assert page.status == 200
    return page, {**page.fields, **{name: [value] for name, value in typed.items()}}


@pytest.mark.parametrize("action", ORDERS)
async def test_the_orders_are_taken(
    dead: Repository[Any, Any], server_database: Any, visitor: Visitor, action: str
) -> None:
    """Each form that the other tests spoil is taken as it is, and changes something."""
    page, filled = await form_of(visitor, action)
    before = await held(server_database)
    sent = await visitor.post(page.action, filled)
    assert sent.status == 303, sent.words
    assert await held(server_database) != before


SPOILT: dict[str, tuple[int, dict[str, str]]] = {
    "another site, as the browser says": (403, {"sec_fetch_site": "cross-site"}),
    "another host of the same site": (403, {"sec_fetch_site": "same-site"}),
    "another origin": (403, {"origin": "https://evil.example", "sec_fetch_site": ""}),
    "no word of where it comes from": (403, {"origin": "", "sec_fetch_site": ""}),
    "another type": (415, {"content_type": "text/plain"}),
    "JSON": (415, {"content_type": "application/json"}),
    "several parts": (415, {"content_type": "multipart/form-data; boundary=x"}),
}


@orders
async def test_a_forged_request_is_refused(
    dead: Repository[Any, Any], server_database: Any, visitor: Visitor, host: Host, action: str
) -> None:
    """A request that this page's own form does not make changes nothing, and the hook is not even asked."""
    page, filled = await form_of(visitor, action)
    before = await held(server_database)
    host.asked.clear()
    answers = {how: (await visitor.post(page.action, filled, **headers)).status for how, (_, headers) in SPOILT.items()}
    assert answers == {how: status for how, (status, _) in SPOILT.items()}
    assert (host.asked, await held(server_database)) == ([], before)


@orders
async def test_a_forged_token_is_refused(
    dead: Repository[Any, Any], server_database: Any, visitor: Visitor, host: Host, action: str
) -> None:
    """A form with another browser's token, with none, or from a browser that has none changes nothing."""
    page, filled = await form_of(visitor, action)
    stranger = Visitor(host.app)
    theirs, _ = await form_of(stranger, action)
    before = await held(server_database)
    host.asked.clear()
    for token in (theirs.fields["token"], [""], [], [*filled["token"], *filled["token"]]):
        sent = await visitor.post(page.action, {**filled, "token": token})
        assert (sent.status, sent.leads_to) == (403, "")
    visitor.client.cookies.clear()
    assert (await visitor.post(page.action, filled)).status == 403
    assert (host.asked, await held(server_database)) == ([], before)


@orders
async def test_a_get_changes_nothing(
    dead: Repository[Any, Any], server_database: Any, visitor: Visitor, action: str
) -> None:
    """An address that says all that a form would say shows the form without a reason, and does nothing."""
    page, filled = await form_of(visitor, action)
    before = await held(server_database)
    shown = await visitor.open(action, **{name: texts[0] for name, texts in filled.items() if texts})
    assert (shown.status, shown.fields.get("why", [""])) == (200, [""])
    assert (await visitor.client.head(visitor.path(action))).status_code == 200
    for method in ("PUT", "DELETE", "PATCH"):
        assert (await visitor.client.request(method, page.action)).status_code == 405
    assert await held(server_database) == before


async def test_without_a_hook_no_action_is_there(
    dead: Repository[Any, Any], server_database: Any, visitor: Visitor, host: Host
) -> None:
    """Where the application passes no hook, each action is not there, for GET and for POST; the page is, and reads."""
    _, filled = await form_of(visitor, "waive")
    reading = Visitor(evolve(host, rights=False).app)
    reading.client.cookies = visitor.client.cookies
    before = await held(server_database)
    for action in (*ACTIONS, "nothing"):
        got, posted = await reading.open(action), await reading.post(reading.path(action), filled)
        assert (got.status, posted.status) == (404, 404)
        assert "only reads" in got.words
    assert await held(server_database) == before
    listed = await reading.get(f"{reading.base}/dead-letters")
    assert (listed.status, [link for link in listed.links if "/do/" in link]) == (200, [])


@orders
async def test_who_may_not_does_nothing(
    dead: Repository[Any, Any], server_database: Any, visitor: Visitor, host: Host, action: str
) -> None:
    """A person whom the hook does not name sees no form, and a form that was open before is refused."""
    page, filled = await form_of(visitor, action)
    before = await held(server_database)
    for who in (None, "", "two\nlines"):
        host.who = who
        assert (await visitor.open(action)).status == 403
        sent = await visitor.post(page.action, filled)
        assert (sent.status, sent.leads_to) == (403, "")
        assert host.asked[-2:] == [("GET", action), ("POST", action)]
    assert await held(server_database) == before


async def test_an_unknown_action_and_migration_are_not_there(dead: Repository[Any, Any], visitor: Visitor) -> None:
    """What the page has no action or no migration for is a 404."""
    assert (await visitor.open("nothing")).status == 404
    assert (await visitor.get("/lazymig/m/other/do/pause")).status == 404
    assert (await visitor.get("/lazymig/m/other/dead-letters")).status == 404


async def test_a_form_that_is_too_long_or_made_up_is_refused(
    dead: Repository[Any, Any], server_database: Any, visitor: Visitor
) -> None:
    """More bytes than a form has, and a form without its own number, change nothing."""
    page, filled = await form_of(visitor, "pause")
    before = await held(server_database)
    assert (await visitor.post(page.action, {**filled, "why": ["x" * BODY_MAX]})).status == 413
    for form in ([""], [], ["x"], ["<b>"], ["x" * 44]):
        assert (await visitor.post(page.action, {**filled, "form": form})).status == 400
    assert (await visitor.client.post(page.action, headers={"content-type": FORM})).status_code == 403
    assert await held(server_database) == before


WRONG: dict[str, tuple[str, dict[str, str], dict[str, Any], str]] = {
    "no reason to go back": ("rollback", {}, {"why": "  "}, "Say for what reason"),
    "a reason with control characters": ("rollback", {}, {"why": "a\x1b[31m"}, "Use up to 500"),
    "a reason that is too long": ("rollback", {}, {"why": "x" * 501}, "Use up to 500"),
    "no reason for a waiver": ("waive", {"id": "int:5"}, {"why": ""}, "Say for what reason"),
    "no reason for a cut-over": ("cut-over", {}, {"share": "0.5", "why": ""}, "Say for what reason"),
    "a share that is none": ("cut-over", {}, {"share": "2", "why": "x"}, "from 0 to 1"),
    "a share that is no number": ("cut-over", {}, {"share": "nan", "why": "x"}, "from 0 to 1"),
    "no share": ("cut-over", {}, {"share": "", "why": "x"}, "from 0 to 1"),
    "a dark share that is none": ("cut-over", {}, {"dark_share": "-1", "why": "x"}, "leave it empty"),
    "an unknown cohort": ("cut-over", {}, {"cohort": "<b>", "why": "x"}, "declares no such cohort: <b>"),
    "an unknown kind": ("pause", {}, {"kind": "follow"}, "Choose one"),
    "two kinds": ("pause", {}, {"kind": ["sweep", "verify"]}, "Choose one"),
    "no rate": ("rate", {}, {"rate": ""}, "documents per second above 0"),
    "a rate of nothing": ("rate", {}, {"rate": "0"}, "documents per second above 0"),
    "an endless rate": ("rate", {}, {"rate": "inf"}, "documents per second above 0"),
}


async def test_what_was_typed_wrong_comes_back(
    dead: Repository[Any, Any], server_database: Any, visitor: Visitor
) -> None:
    """The form comes back with what was typed and what is wrong, in words that get the focus; nothing is changed."""
    before = await held(server_database)
    for what, (action, query, typed, words) in WRONG.items():
        page = await visitor.order(action, query, **typed)
        assert (page.status, words in page.words) == (422, True), what
        assert {"tabindex": "-1", "autofocus": None}.items() <= page.roles["alert"].items()
        for name in {"why", "share", "dark_share", "rate"} & set(typed):
            assert page.fields[name] == [typed[name].replace("\x1b", "\\x1b")], what
    assert await held(server_database) == before


async def journal(repo: Repository[Any, Any]) -> list[tuple[str, str, str, bool]]:
    """What the journal holds, the newest first."""
    found = await parts_of(control_of(repo)).journal("things").find_last(100)
    return [(act.action, act.what, act.outcome, act.good) for act in found]


async def test_a_record_that_has_changed_refuses_the_step(
    dead: Repository[Any, Any], server_database: Any, visitor: Visitor
) -> None:
    """A form that was shown for another epoch does nothing, whatever happened since, and says so."""
    page, filled = await form_of(visitor, "rollback")
    await control_of(dead).cut_over("things", share=0.5, by="Bob", why="meanwhile")
    before = await held(server_database)
    sent = await visitor.post(page.action, filled)
    assert sent.status == 409
    assert "It has changed since this form was shown." in sent.words
    assert sent.fields["why"] == ["a test"]
    assert sent.fields["seen"] != page.fields["seen"]
    assert await held(server_database) == before


async def test_gates_refuse_and_the_history_keeps_it(repo: Repository[Any, Any], visitor: Visitor) -> None:
    """A step whose conditions are not met has no form; one that is sent anyway is refused, which the journal keeps."""
    await Switch(repo).begin(Phase.COEXIST, by="me", why="a test")
    page = await visitor.open("advance")
    assert (page.action, "Not met: verification" in page.words) == ("", True)
    assert "run lazymig verify to its end" in page.words
    filled = {**(await visitor.open("rollback")).fields, "why": ["I want to"], "accept": ["verification", "soak"]}
    sent = await visitor.post(visitor.path("advance"), filled)
    assert sent.status == 409
    standing = await control_of(repo).standing("things")
    assert standing is not None
    assert (standing.phase, standing.epoch) == (Phase.COEXIST, 1)
    ((action, what, outcome, good),) = await journal(repo)
    assert (action, what, good) == ("advance", "Advance things from coexist to v2_primary", False)
    assert "Not met: " in outcome


async def test_what_may_be_accepted_must_be(server_database: Any, repo: Repository[Any, Any], host: Host) -> None:
    """A condition that a person may accept refuses the step until they do; the form offers no other one."""
    await ready(server_database, repo, Phase.COEXIST)
    visitor = Visitor(evolve(host, options={"soak_s": 3600.0}).app)
    page = await visitor.open("advance")
    assert ("Accept" in page.words, "accept" in page.fields) == (True, False)
    sent = await visitor.send(page, why="no accepted gate")
    assert (sent.status, sent.fields["why"]) == (409, ["no accepted gate"])
    assert "Refused. Not met, and not accepted: soak." in sent.words
    assert (await journal(repo))[0][:2] == ("advance", "coexist to v2_primary: no accepted gate")
    sent = await visitor.send(await visitor.open("advance"), why="it is small", accept=["soak", "verification"])
    assert sent.status == 303
    standing = await control_of(repo).standing("things")
    assert standing is not None
    assert (standing.phase, standing.last.why) == (Phase.V2_PRIMARY, "it is small (accepted: soak)")


async def ready(database: Any, repo: Repository[Any, Any], phase: Phase) -> None:
    """Record a phase whose next step has nothing in its way."""
    await database["v1"].insert_many([thing(id, code=str(id)) for id in range(3)])
    await Switch(repo).begin(phase, by="me", why="a test")
    await Sweeper(repo).run()
    assert (await Verifier(repo, min_age_s=0).run()).agrees


async def test_the_last_step_needs_the_name(server_database: Any, repo: Repository[Any, Any], visitor: Visitor) -> None:
    """Into v2_only the migration's name is typed; another text does nothing, and is not filled in again."""
    await ready(server_database, repo, Phase.V2_PRIMARY)
    for typed in ("", "thing", "Things"):
        page = await visitor.order("advance", why="the end", accept=["outside-writes"], confirm=typed)
        assert page.status == 422
        assert "This is not the migration's name, things. Nothing was done." in page.words
    assert (page.fields["confirm"], page.fields["why"], page.fields["accept"]) == (
        [""],
        ["the end"],
        ["outside-writes"],
    )
    standing = await control_of(repo).standing("things")
    assert standing is not None
    assert standing.phase is Phase.V2_PRIMARY
    filled = await visitor.open("advance", confirm="things", why="x")
    assert (filled.fields["confirm"], filled.fields["why"]) == ([""], [""])


async def test_v1_stays_before_the_last_phase(
    dead: Repository[Any, Any], server_database: Any, visitor: Visitor
) -> None:
    """In every phase but v2_only no step of V1's end has a form, and one that is sent anyway is refused."""
    names = set(await server_database.list_collection_names())
    steps = ["quarantine", "restore", "archive", "drop", "reduce", "finish"]
    for action in steps:
        page = await visitor.open(action)
        assert (page.action, "V1 is needed" in page.words) == ("", True)
        fields = {**(await visitor.open("pause")).fields, "seen": [""], "confirm": ["things"]}
        assert (await visitor.post(visitor.path(action), fields)).status == 409
    assert set(await server_database.list_collection_names()) == names
    assert [(act[0], act[3]) for act in reversed(await journal(dead))] == [(step, False) for step in steps]


@pytest.mark.parametrize("ids", [[], ["int:5", "int:6"]], ids=["none", "two"])
async def test_a_form_for_one_entity_never_means_all(
    dead: Repository[Any, Any], server_database: Any, visitor: Visitor, ids: list[str]
) -> None:
    """The form that tries one entity again, without its id or with two of them, tries none."""
    page, filled = await form_of(visitor, "retry")
    before = await held(server_database)
    sent = await visitor.post(page.action, {**filled, "id": ids})
    assert (sent.status, await held(server_database)) == (409, before)


@orders
async def test_a_field_that_comes_twice_is_refused(
    dead: Repository[Any, Any], server_database: Any, visitor: Visitor, action: str
) -> None:
    """Which of two reasons or names was meant is not guessed."""
    page, filled = await form_of(visitor, action)
    before = await held(server_database)
    sent = await visitor.post(page.action, {**filled, "confirm": ["things", "other"]})
    assert (sent.status, await held(server_database)) == (400, before)
