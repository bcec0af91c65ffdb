"""The answers of the page's application: where each path leads, in memory and on a server, wherever it is mounted."""

from __future__ import annotations

import json
import re
from contextlib import asynccontextmanager
from datetime import UTC, timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from litestar import Litestar, asgi
from pymongo.errors import OperationFailure
from starlette.applications import Starlette
from starlette.routing import Mount

import lazymig.web
from lazymig import Control, Phase, Repository
from lazymig.control import parts_of
from lazymig.control.samples import Sample
from lazymig.errors import ConfigurationError
from lazymig.status.json_text import as_json
from lazymig.status.looking import looked_up
from lazymig.status.objects import object_of
from lazymig.stores.counts import Counts
from tests.clocks import StandingClock
from tests.layouts import Layout
from tests.older import alone, document
from tests.pages_of import POLICY, begin, find_links, follow, open_client
from tests.people import ada_v1, people
from tests.sweeps import repository, thing, things

IN_MEMORY = pytest.mark.parametrize("driver", ["mock"])
PATHS = ("", "status.json", "samples.json", "report.html")


async def test_the_page_is_shown_on_every_driver(database: Any) -> None:
    """The page, its data and its report are answered, with the same numbers, and nothing is stored."""
    control, repo = follow(database)
    await begin(repo)
    await database["v1"].insert_many([thing(id) for id in range(12)])
    before = await stored(database)
    async with open_client(lazymig.web.app(control)) as client:
        answers = [await client.get(f"/m/things/{path}") for path in PATHS]
    assert [answer.status_code for answer in answers] == [200] * 4
    page, status, samples, report = answers
    assert status.json()["v1"] == 12
    assert samples.json()["at"] == []
    assert "shadow" in page.text
    assert "shadow" in report.text
    assert await stored(database) == before


async def stored(database: Any) -> dict[str, list[Any]]:
    """All that a database holds."""
    return {name: await database[name].find().to_list(None) for name in ("v1", "v2", "lazymig_control")}


@pytest.mark.parametrize("driver", ["mock", "pymongo"])
async def test_the_status_is_that_of_the_command(database: Any) -> None:
    """At rest the object is the one of `lazymig status --json`, but for when it was looked up."""
    control, repo = follow(database)
    await begin(repo)
    await database["v1"].insert_many([thing(id) for id in range(12)])
    for id in range(3):
        await repo.get(id)
    async with open_client(lazymig.web.app(control)) as client:
        shown = (await client.get("/m/things/status.json")).json()
    said = json.loads(as_json(object_of(await looked_up(repo, exact=False))))
    for found in (shown, said):
        del found["at"], found["slow_at"]
        for running in found["passes"]["running"]:
            del running["seen_at"]
    assert shown == said
    assert shown["moved_by"]["read"] == 3


@IN_MEMORY
async def test_the_index_leads_to_the_only_page_or_lists_all(database: Any) -> None:
    """With one migration the index is its page, with several a list, whatever their names are."""
    names = ["people", "orders 2026", "a/b?c#d%e", "<b>'&\"", "..", "größe"]
    repos = [repository(database, migration=things(name=name)) for name in names]
    async with open_client(lazymig.web.app(repos[0])) as client:
        answer = await client.get("/", follow_redirects=True)
        assert (answer.status_code, answer.url.path) == (200, "/m/people/")
        assert (await client.get("/m/people", follow_redirects=True)).url.path == "/m/people/"
    async with open_client(lazymig.web.app(repos)) as client:
        index = await client.get("/")
        assert "<b>" not in index.text
        links = {link for link in find_links(index) if "/m/" in link}
        assert len(links) == len(names)
        shown = [(await client.get(f"{link}status.json")).json()["migration"] for link in links]
        assert sorted(shown) == sorted(names)


def mount_in_starlette(app: Any) -> Any:
    return Starlette(routes=[Mount("/team/migrations", app)])


def mount_in_fastapi(app: Any) -> Any:
    host = FastAPI()
    host.mount("/team/migrations", app)
    return host


def mount_in_fastapi_twice(app: Any) -> Any:
    inner, host = FastAPI(), FastAPI()
    inner.mount("/migrations", app)
    host.mount("/team", inner)
    return host


def mount_in_litestar(app: Any) -> Any:
    @asgi("/team/migrations", is_mount=True, copy_scope=True)
    async def mounted(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)

    return Litestar([mounted])


@IN_MEMORY
@pytest.mark.parametrize("mount", [mount_in_starlette, mount_in_fastapi, mount_in_fastapi_twice, mount_in_litestar])
@pytest.mark.parametrize("root", ["", "/behind"])
@pytest.mark.parametrize("acts", [False, True])
async def test_every_link_works_wherever_it_is_mounted(database: Any, mount: Any, root: str, acts: bool) -> None:
    """All that a page names lies below its mount and is answered, in each framework, behind a proxy's path too."""
    control, repo = follow(database)
    await begin(repo)
    app = mount(lazymig.web.app(control, authorize=(lambda request, action: "Ada") if acts else None))
    base = f"{root}/team/migrations"
    async with open_client(app, root_path=root) as client:
        page = await client.get(f"{base}/", follow_redirects=True)
        assert (page.status_code, page.url.path) == (200, f"{base}/m/things/")
        links = {link for link in find_links(page) if not link.endswith("/events")}
        assert {link for link in links if not link.startswith(f"{base}/")} == set()
        assert any("/do/" in link for link in links) == acts
        assert any(link.endswith(".css") for link in links)
        answers = {link: (await client.get(link, follow_redirects=True)).status_code for link in links}
        assert {link: status for link, status in answers.items() if status != 200} == {}


@IN_MEMORY
async def test_a_function_says_later_what_is_shown(database: Any) -> None:
    """The function is called for each request: the page follows what the application has made meanwhile."""
    host = Starlette()
    host.mount("/lazymig", lazymig.web.app(lambda: host.state.control))

    @asynccontextmanager
    async def lifespan() -> Any:
        control, repo = follow(database)
        await begin(repo)
        host.state.control = control
        yield repo

    async with open_client(host) as client, lifespan():
        assert (await client.get("/lazymig/m/things/")).status_code == 200
        other = Control(database["other_control"])
        repo = Repository(things(name="others"), v1=database["v1"], v2=database["v2"], phase=other)
        await begin(repo)
        host.state.control = other
        assert (await client.get("/lazymig/m/things/")).status_code == 404
        assert (await client.get("/lazymig/m/others/")).status_code == 200


@IN_MEMORY
async def test_a_page_without_repositories_says_what_to_do(database: Any) -> None:
    """Before a repository follows the control collection, the answer says so, and the page opens again by itself."""
    async with open_client(lazymig.web.app(Control(database["lazymig_control"]))) as client:
        answer = await client.get("/")
        assert answer.status_code == 503
        assert "make it with phase=control" in answer.text
        assert 'http-equiv="refresh"' in answer.text


@IN_MEMORY
async def test_before_the_first_phase_the_page_says_so(database: Any) -> None:
    """Without a recorded phase each path answers 503 and names the command; then the page opens."""
    clock = StandingClock()
    control, repo = follow(database, clock=clock)
    async with open_client(lazymig.web.app(control)) as client:
        for path in (*PATHS, "events"):
            answer = await client.get(f"/m/things/{path}")
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
            assert "lazymig phase begin" in answer.text
        await begin(repo)
        clock.move(1.0)
        assert (await client.get("/m/things/")).status_code == 200


@IN_MEMORY
async def test_who_may_act_can_begin(database: Any) -> None:
    """Where people may act, the page without a phase leads to the form that records the first one."""
    control, _ = follow(database)
    async with open_client(lazymig.web.app(control, authorize=lambda request, action: "Ada")) as client:
        page = await client.get("/m/things/")
        assert "/m/things/do/begin" in find_links(page)
        assert (await client.get("/m/things/do/begin")).status_code == 200
    async with open_client(lazymig.web.app(control)) as client:
        assert "/m/things/do/begin" not in find_links(await client.get("/m/things/"))


def fixed(database: Any) -> Any:
    return repository(database, phase=Phase.COEXIST)


def in_one_document(database: Any) -> Any:
    return Layout.ONE.open(database, people())


def upcasting_only(database: Any) -> Any:
    return Repository(alone(), v1=database["v1"], phase=Phase.V1_ONLY)


@pytest.mark.parametrize("make", [fixed, in_one_document, upcasting_only])
@pytest.mark.parametrize("driver", ["mock", "pymongo"])
async def test_every_kind_of_migration_has_a_page(database: Any, make: Any) -> None:
    """With a fixed phase, with both shapes in one document, and with upcasters alone: all paths are answered."""
    await database["v1"].insert_one(document(3, 1) if make is upcasting_only else ada_v1() | {"n": 1})
    repo = make(database)
    async with open_client(lazymig.web.app(repo)) as client:
        answers = [await client.get(f"/m/{repo.migration.name}/{path}") for path in PATHS]
    assert [answer.status_code for answer in answers] == [200] * 4
    assert answers[1].json()["alone"] == (make is upcasting_only)


@IN_MEMORY
async def test_every_answer_is_guarded(database: Any) -> None:
    """Each answer, errors and redirects included, has the policy, is not kept, and is what it says that it is."""
    control, repo = follow(database)
    await begin(repo)
    async with open_client(lazymig.web.app(control)) as client:
        for path in ("/", "/m/things/", "/m/things/status.json", "/m/none/", "/nowhere", "/m/things/do/advance"):
            headers = (await client.get(path)).headers
            assert headers["content-security-policy"].startswith(POLICY)
            assert "unsafe" not in headers["content-security-policy"]
            assert headers["cache-control"] == "no-store"
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "same-origin"
        page = await client.get("/m/things/")
        assert re.search(r"<script(?![^>]* src=)|<style|\son\w+=|\sstyle=", page.text) is None
        report = await client.get("/m/things/report.html")
        assert "script-src" not in report.headers["content-security-policy"]
        assert re.fullmatch(
            r'attachment; filename="lazymig-things-[\d-]+\.html"', report.headers["content-disposition"]
        )
        static = await client.get("/static/lazymig.css")
        assert static.headers["cache-control"] == "no-cache"
        again = await client.get("/static/lazymig.css", headers={"If-None-Match": static.headers["etag"]})
        assert again.status_code == 304


@IN_MEMORY
async def test_what_is_not_there_is_said_in_words(database: Any) -> None:
    """An unknown path, a name that is markup, another method: an error in words that quotes nothing of the request."""
    async with open_client(lazymig.web.app(fixed(database))) as client:
        for path in ("/nowhere", "/m/%3Cb%3Ex/", "/m/things/%3Cb%3Ex", "/static/../room.py", "/static/%3Cb%3Ex"):
            answer = await client.get(path)
            assert answer.status_code == 404
            assert "<b>" not in answer.text
            assert "<h1>Not Found</h1>" in answer.text
        refused = await client.post("/m/things/")
        assert (refused.status_code, "GET" in refused.headers["allow"]) == (405, True)
        assert (await client.get("/m/things/samples.json?since=<b>")).json() == {
            "error": "since: pass seconds since 1970, such as 1790000000."
        }
        for since in ("nan", "inf", "-inf", "1e999"):
            assert (await client.get(f"/m/things/samples.json?since={since}")).status_code == 400
        assert (await client.head("/m/things/")).status_code == 200


@IN_MEMORY
@pytest.mark.parametrize("error", [OperationFailure("{name: 'Ada'}", 13), ZeroDivisionError("{name: 'Ada'}")])
async def test_an_error_never_quotes_a_document(
    database: Any, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """What fails while it is looked up is a 503 in words, without what the error's own text says."""

    async def fail(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(Counts, "count_all", fail)
    async with open_client(lazymig.web.app(fixed(database))) as client:
        for path in PATHS:
            answer = await client.get(f"/m/things/{path}")
            assert answer.status_code == 503
            assert "Ada" not in answer.text


@IN_MEMORY
async def test_a_mistake_is_answered_in_words_too(database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the page itself fails, the answer is a guarded one, without the error's text; the server gets the error."""

    def fail(*_: Any) -> str:
        raise ZeroDivisionError("{name: 'Ada'}")

    monkeypatch.setattr("lazymig.web.page.render_page", fail)
    app = lazymig.web.app(fixed(database))
    async with open_client(app, raise_app_exceptions=False) as client:
        answer = await client.get("/m/things/")
    assert (answer.status_code, "Ada" in answer.text, "ZeroDivisionError" in answer.text) == (500, False, True)
    assert answer.headers["content-security-policy"].startswith(POLICY)
    async with open_client(app) as client:
        with pytest.raises(ZeroDivisionError):
            await client.get("/m/things/")


@IN_MEMORY
async def test_the_samples_after_a_moment(database: Any) -> None:
    """Only the samples after `since` are answered, with a value of each line for each of them."""
    control, repo = follow(database)
    await begin(repo)
    parts = parts_of(control)
    kept, now = parts.samples("things"), parts.clock.now()
    moments = []
    for minute in range(5):
        at = now - timedelta(minutes=10 - minute)
        await kept.record(Sample(at=at, by="sweep here:1", phase="shadow", v1=10, live=minute))
        moments.append(at.replace(tzinfo=UTC).timestamp())
    async with open_client(lazymig.web.app(control)) as client:
        everything = (await client.get("/m/things/samples.json")).json()
        later = (await client.get(f"/m/things/samples.json?since={moments[2]}")).json()
    assert everything["at"] == moments
    assert later["at"] == moments[3:]
    assert {len(line["values"]) for chart in later["charts"] for line in chart["series"]} == {2}


def test_numbers_that_cannot_work_are_refused() -> None:
    """An interval of nothing and demands below nothing are refused where the page is made."""
    for wrong in ({"refresh_s": 0.0}, {"soak_s": -1.0}, {"max_age_s": -1.0}):
        with pytest.raises(ConfigurationError, match="refresh_s"):
            lazymig.web.app([], **wrong)


@IN_MEMORY
async def test_two_migrations_of_one_name_are_refused(database: Any) -> None:
    """A name says which page: two repositories of one name are a mistake that the page names."""
    async with open_client(lazymig.web.app([fixed(database), fixed(database)])) as client:
        answer = await client.get("/")
        assert answer.status_code == 503
        assert "pass each migration once" in answer.text
