"""A database that hangs or is away: a form answers within seconds, and claims no more than what is known."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable
from typing import Any, Literal

import pytest
from pymongo import AsyncMongoClient
from pymongo.errors import NetworkTimeout

from lazymig import Phase, Repository, Switch
from lazymig.control import parts_of
from lazymig.control.journal import Act, Journal
from lazymig.status.looking import control_of
from lazymig.web.actions import answering, doing, routes
from lazymig.web.actions.passes import Pause
from tests.conftest import only_database
from tests.faults.proxy import Cut, Proxy
from tests.fleets import until
from tests.switches import followed, standing
from tests.web.visitors import Host, Page, Visitor, done

#: Where connecting is cancelled, the driver leaves its socket to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:.*<socket.socket:pytest.PytestUnraisableExceptionWarning")
#: Long enough that no answer comes from the driver's own bounds: those of the page must do.
PATIENT = {"serverSelectionTimeoutMS": 600_000, "connectTimeoutMS": 600_000, "directConnection": True}
#: How long a test waits for an answer that does not depend on the database.
LIMIT_S = 60
#: The statements of an order on the control collection, in their order.
ENTRY, ACT, END = range(3)
Moment = Literal["before", "after"]


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page waits for a database for a shorter time than people would."""
    for module in (answering, doing):
        monkeypatch.setattr(module, "ANSWER_S", 1.0)
    for module in (doing, routes):
        monkeypatch.setattr(module, "ONCE_MORE_S", 0.1)
    monkeypatch.setattr(answering, "_APART_S", 0.1)
    monkeypatch.setattr(doing, "_PATIENCE_S", 1.0)
    monkeypatch.setattr(doing, "_REPORT_S", 0.05)


@pytest.fixture
async def repo(proxy: Proxy) -> AsyncIterator[Repository[Any, Any]]:
    """A migration in `v2_primary` behind it."""
    async with only_database(AsyncMongoClient("127.0.0.1", proxy.port, **PATIENT)) as database:
        repo = followed(database)
        await Switch(repo).begin(Phase.V2_PRIMARY, by="me", why="a test")
        yield repo
        proxy.cut = None
        proxy.go_on()
    gc.collect()  # here, and not in another test


async def soon(answer: Awaitable[Page]) -> Page:
    """What is answered while the database does not answer."""
    async with asyncio.timeout(LIMIT_S):
        return await answer


def hang_at(proxy: Proxy, statement: int, when: Moment) -> None:
    """Let the server hang at this statement of the next order."""
    proxy.cut = Cut("update", "lazymig_control", when, 1, spared=statement, hangs=True)


async def acts(repo: Repository[Any, Any]) -> list[Act]:
    """What the journal holds."""
    return await parts_of(control_of(repo)).journal("things").find_last(10)


async def is_paused(repo: Repository[Any, Any]) -> bool:
    return (await control_of(repo).steering("things")).paused


async def ended(repo: Repository[Any, Any]) -> Act:
    """The only act, once it has an end."""

    async def has_ended() -> bool:
        return [act.ended_at is not None for act in await acts(repo)] == [True]

    await until(has_ended)
    (act,) = await acts(repo)
    return act


@pytest.mark.parametrize("action", ["rollback", "pause", "waive", "retry", "retire"])
async def test_a_form_says_that_the_database_hangs(repo: Repository[Any, Any], proxy: Proxy, action: str) -> None:
    """The form of each kind of action is not awaited for longer than a person would."""
    visitor = Visitor(Host(repo).app)
    proxy.hang()
    page = await soon(visitor.open(action, id="int:5"))
    assert (page.status, "The database does not answer." in page.words) == (503, True)
    proxy.go_on()
    assert (await visitor.open(action)).status == 200


async def test_a_look_may_take_long_while_the_database_answers(repo: Repository[Any, Any], monkeypatch: Any) -> None:
    """A look that outlasts several questions whether the database answers comes to its end."""
    asked, enough, sound, look = [], asyncio.Event(), answering._sound, Pause.look

    async def note(case: Any) -> None:
        await sound(case)
        asked.append(case)
        if len(asked) == 3:
            enough.set()

    async def slowly(self: Any, case: Any) -> Any:
        await enough.wait()
        return await look(self, case)

    monkeypatch.setattr(answering, "_sound", note)
    monkeypatch.setattr(Pause, "look", slowly)
    assert (await soon(Visitor(Host(repo).app).open("pause"))).status == 200


@pytest.mark.parametrize("action", ["rollback", "pause"])
async def test_an_order_that_cannot_be_looked_up_is_not_done(
    repo: Repository[Any, Any], proxy: Proxy, action: str
) -> None:
    """Where the database hangs before anything is written, the answer says that nothing was done, and that is so."""
    visitor = Visitor(Host(repo).app)
    page = await visitor.open(action)
    proxy.hang()
    sent = await soon(visitor.send(page, kind="sweep", why="x"))
    assert (sent.status, "The database does not answer. Nothing was done." in sent.words) == (503, True)
    assert f"{visitor.base}/#history" in sent.links
    proxy.go_on()
    assert (await acts(repo), await is_paused(repo), (await standing(repo)).epoch) == ([], False, 1)
    await done(visitor, await visitor.send(page, kind="sweep", why="x"))
    assert [act.good for act in await acts(repo)] == [True]


async def pause_while_it_hangs(
    repo: Repository[Any, Any], proxy: Proxy, statement: int, when: Moment
) -> tuple[Visitor, Page, Any]:
    """Order a pause, at whose statement the database hangs: who ordered it, by which page, and the answer."""
    visitor = Visitor(Host(repo).app)
    page = await visitor.open("pause")
    hang_at(proxy, statement, when)
    sent = await soon(visitor.send(page, kind="sweep", why="x"))
    assert proxy.hangs
    return visitor, page, sent


@pytest.mark.parametrize("when", ["before", "after"])
async def test_an_order_without_an_entry_is_not_done(repo: Repository[Any, Any], proxy: Proxy, when: Moment) -> None:
    """Where the database hangs at the entry of the history, nothing was done; an entry that stands then says so."""
    _, _, sent = await pause_while_it_hangs(repo, proxy, ENTRY, when)
    words = "The history could not be written (NetworkTimeout). Nothing was done."
    assert (sent.status, words in sent.words) == (503, True)
    proxy.go_on()
    act = await ended(repo)
    assert (act.outcome, act.good, act.by) == (words, False, "Ada")
    assert not await is_paused(repo)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_an_order_that_may_have_been_done_is_said_to_be_unknown(
    repo: Repository[Any, Any], proxy: Proxy, when: Moment, monkeypatch: Any
) -> None:
    """Where the database hangs at the statement itself, neither the answer nor the history claims an outcome."""
    monkeypatch.setattr(answering, "_APART_S", 600)  # a person has waited already when the form is looked up again
    visitor, page, sent = await pause_while_it_hangs(repo, proxy, ACT, when)
    words = "The database failed (NetworkTimeout). It is not known whether this was done"
    assert (sent.status, words in sent.words, "Nothing was done" in sent.words) == (503, True, False)
    proxy.go_on()
    act = await ended(repo)
    assert (act.outcome.startswith(words), act.good) == (True, False)
    again = await visitor.send(page, kind="sweep", why="x")
    assert (again.status, words in again.words) == (409, True)
    assert len(await acts(repo)) == 1


@pytest.mark.parametrize("when", ["before", "after"])
async def test_an_order_that_was_done_is_kept_as_done(repo: Repository[Any, Any], proxy: Proxy, when: Moment) -> None:
    """Where the database hangs at the outcome, the order was done: the answer is the page, and the history follows."""
    _, _, sent = await pause_while_it_hangs(repo, proxy, END, when)
    assert sent.status == 303
    proxy.go_on()
    assert (await ended(repo)).good
    assert await is_paused(repo)


@pytest.mark.parametrize("comes", ["never", "at once", "late"])
async def test_an_entry_of_which_nothing_is_known_is_there_once(
    repo: Repository[Any, Any], monkeypatch: Any, comes: str
) -> None:
    """However late an entry is carried out that was given up, the history has one, and it says how that ended."""
    add, entries = Journal.add, []

    async def give_up(self: Any, act: Act) -> bool:
        entries.append(act)
        if (len(entries), comes) in {(1, "at once"), (2, "late")}:
            assert await add(self, entries[0])
        if len(entries) == 1:
            raise NetworkTimeout
        return await add(self, act)

    visitor = Visitor(Host(repo).app)
    page = await visitor.open("pause")
    monkeypatch.setattr(Journal, "add", give_up)
    assert "Nothing was done." in (await visitor.send(page, kind="sweep", why="x")).words
    act = await ended(repo)
    assert ("Nothing was done." in act.outcome, act.good, act.by) == (True, False, "Ada")


async def test_a_step_is_shown_while_the_database_hangs(repo: Repository[Any, Any], proxy: Proxy) -> None:
    """A step whose database hangs answers with the page, which shows it as under way and the trouble; then it is made.

    The page cannot look anything up then: this process knows what it was ordered to do.
    """
    visitor = Visitor(Host(repo).app)
    assert (await visitor.get(f"{visitor.base}/")).status == 200
    page = await visitor.open("rollback")
    hang_at(proxy, ACT, "before")
    sent = await soon(visitor.send(page, why="x"))
    assert (proxy.hangs, sent.status) == (True, 303)

    async def is_late() -> bool:
        shown = await soon(visitor.get(f"{visitor.base}/"))
        return "the database has not answered" in shown.words and "rollback, ordered by Ada" in shown.words

    await until(is_late)
    proxy.go_on()
    await done(visitor, sent)
    assert ((await ended(repo)).good, (await standing(repo)).phase) == (True, Phase.COEXIST)


async def test_a_database_that_is_away_is_one_that_hangs(repo: Repository[Any, Any], proxy: Proxy) -> None:
    """Where no connection is accepted, forms say so as soon, and act once the database is back."""
    visitor = Visitor(Host(repo).app)
    page = await visitor.open("pause")
    proxy.close()
    assert (await soon(visitor.open("pause"))).status == 503
    sent = await soon(visitor.send(page, kind="sweep", why="x"))
    assert (sent.status, "Nothing was done." in sent.words) == (503, True)
    proxy.closed = False

    async def is_back() -> bool:
        return (await visitor.send(page, kind="sweep", why="x")).status == 303

    await until(is_back)
    assert [act.good for act in await acts(repo)] == [True]
