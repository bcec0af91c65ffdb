"""Two browsers, two processes and two clicks at once: one order is done once, and the others are refused in words."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve
from pymongo.errors import AutoReconnect, OperationFailure

from lazymig import Phase, Repository, Switch
from lazymig.control import parts_of
from lazymig.control.journal import Act
from lazymig.status.looking import control_of
from lazymig.web.actions import doing
from lazymig.web.actions.cut_over import ChangeCutOver
from lazymig.web.actions.errands import CUT_OFF, find_shown
from lazymig.web.actions.passes import Pause
from lazymig.web.actions.phase import Rollback
from tests.fleets import until
from tests.switches import followed, parts, process, standing
from tests.web.visitors import Host, Visitor, done


@pytest.fixture
async def begun(repo: Repository[Any, Any]) -> Repository[Any, Any]:
    """The migration in `v2_primary`, from which two steps lead back."""
    await Switch(repo).begin(Phase.V2_PRIMARY, by="me", why="a test")
    return repo


def other_process(database: Any, who: str = "Bob") -> Visitor:
    """Somebody else, at another process that serves the page of the same migration."""
    return Visitor(Host(followed(database), who).app)


async def acts(repo: Repository[Any, Any]) -> list[Act]:
    """What the journal holds, oldest first."""
    return (await parts_of(control_of(repo)).journal("things").find_last(100))[::-1]


async def hold_up(repo: Repository[Any, Any]) -> Any:
    """Let a process be there that has not acknowledged the last step, which every step waits for."""
    late = process(epoch=0, lease_s=3600.0)
    await parts(repo).members("things").register(late)
    return late


async def acknowledge(repo: Repository[Any, Any], late: Any, epoch: int) -> None:
    """Let this process acknowledge a step, once it is made."""

    async def is_made() -> bool:
        return (await standing(repo)).epoch == epoch

    await until(is_made)
    assert await parts(repo).members("things").renew(evolve(late, epoch=epoch, beat=late.beat + epoch))


async def test_a_form_that_is_sent_twice_acts_once(begun: Repository[Any, Any], visitor: Visitor) -> None:
    """Two clicks on one button make one step, at once and one after the other; both lead back to the page."""
    page = await visitor.open("rollback")
    sent = await asyncio.gather(*(visitor.send(page, why="twice") for _ in range(3)))
    sent.append(await visitor.send(page, why="later"))
    assert [one.status for one in sent] == [303] * 4
    assert [moved.why for moved in (await standing(begun)).history] == ["a test", "twice"]
    assert len(await acts(begun)) == 1


async def test_a_form_that_is_sent_to_two_processes_acts_once(
    begun: Repository[Any, Any], server_database: Any, visitor: Visitor
) -> None:
    """Where several processes serve the page, the second one of them finds out that the form was sent already."""
    again = other_process(server_database, "Ada")
    for action, typed in (("pause", {"kind": "sweep"}), ("rollback", {"why": "x"})):
        page = await visitor.open(action)
        again.client.cookies = visitor.client.cookies
        sent = await asyncio.gather(visitor.send(page, **typed), again.send(page, **typed))
        sent.append(await again.send(page, **typed))
        assert [one.status for one in sent] == [303] * 3
    assert [(act.action, act.good) for act in await acts(begun)] == [("pause", True), ("rollback", True)]
    assert len((await standing(begun)).history) == 2


async def test_a_form_that_was_refused_says_why_again(begun: Repository[Any, Any], visitor: Visitor) -> None:
    """A form whose order was refused does not act when it is sent again, and shows the reason again."""
    page = await visitor.open("pause")
    await control_of(begun).pause("things", by="Bob")
    for kind in ("verify", "rewrite"):
        await control_of(begun).pause("things", by="Bob", kind=kind)
    sent = await visitor.send(page, seen="", kind="sweep")
    assert (sent.status, "All are paused already." in sent.words) == (409, True)
    sent = await visitor.send(page, seen="", kind="sweep")
    assert (sent.status, "This form was sent before. All are paused already." in sent.words) == (409, True)
    assert len(await acts(begun)) == 1


@pytest.mark.parametrize("apart", [False, True], ids=["one process", "two processes"])
async def test_two_people_make_one_step(
    begun: Repository[Any, Any], host: Host, server_database: Any, apart: bool
) -> None:
    """Two people who order one step at once make one; the other one is refused, and reads who moved the fleet."""
    ada = Visitor(host.app)
    bob = other_process(server_database) if apart else Visitor(ada.app)
    pages = [await ada.open("rollback"), await bob.open("rollback")]
    sent = await asyncio.gather(ada.send(pages[0], why="mine"), bob.send(pages[1], why="mine too"))
    assert sorted(one.status for one in sent) == [303, 409]
    found = await standing(begun)
    assert (found.phase, len(found.history)) == (Phase.COEXIST, 2)
    refused = next(one for one in sent if one.status == 409)
    reasons = ("has changed since", "is under way since", "meanwhile")
    assert any(reason in refused.words for reason in reasons), refused.words


async def test_the_epoch_holds_until_the_step(begun: Repository[Any, Any], visitor: Visitor, monkeypatch: Any) -> None:
    """A step that somebody else makes between the look at the form and the order is found out by the record."""
    page = await visitor.open("rollback")
    act = Rollback.act

    async def overtaken(self: Any, case: Any, sheet: Any) -> str:
        await Switch(begun).rollback(by="Bob", why="first")
        return await act(self, case, sheet)

    monkeypatch.setattr(Rollback, "act", overtaken)
    sent = await visitor.send(page, why="second")
    assert sent.status == 409
    assert "things has changed since you looked at it (Bob: coexist): it is in coexist at epoch 2." in sent.words
    assert [moved.by for moved in (await standing(begun)).history] == ["me", "Bob"]


async def test_the_epoch_holds_until_the_change(repo: Repository[Any, Any], visitor: Visitor, monkeypatch: Any) -> None:
    """A change of the cut-over that somebody else makes between the look and the order is not overwritten."""
    await Switch(repo).begin(Phase.SHADOW, by="me", why="a test")
    act = ChangeCutOver.act

    async def overtaken(self: Any, case: Any, sheet: Any) -> str:
        await control_of(repo).cut_over("things", share=0.5, by="Bob", why="first")
        return await act(self, case, sheet)

    monkeypatch.setattr(ChangeCutOver, "act", overtaken)
    sent = await visitor.order("cut-over", share="0.1", why="second")
    assert (sent.status, "has changed meanwhile; nothing was done" in sent.words) == (409, True)
    assert [one.by for one in (await standing(repo)).changes] == ["Bob"]


async def test_a_step_outlives_its_request(
    begun: Repository[Any, Any], server_database: Any, visitor: Visitor, monkeypatch: Any
) -> None:
    """A step that waits for a process answers with the page, is shown with what it waits for, and then is made."""
    monkeypatch.setattr(doing, "_PATIENCE_S", 0.01)
    late = await hold_up(begun)
    sent = await visitor.order("rollback", why="p99 has doubled")
    assert (sent.status, sent.leads_to) == (303, f"{visitor.base}/#errand")
    errand = visitor.room.errands.find("things")
    assert errand is not None
    assert (errand.action, errand.by, errand.ended_at) == ("rollback", "Ada", None)

    refused = await visitor.order("rollback", why="again")
    assert (refused.status, "rollback by Ada is under way since" in refused.words) == (409, True)
    bob = other_process(server_database)
    refused = await bob.order("rollback", why="at another process")
    assert (refused.status, "rollback by Ada is under way since" in refused.words) == (409, True)
    assert (await visitor.order("pause", kind="sweep", why="at any time")).status == 303

    async def says() -> bool:
        return bool(errand.lines)

    await until(says)
    assert errand.lines == ["waiting for web:1 to acknowledge epoch 1"]
    for epoch in (1, 2):
        await acknowledge(begun, late, epoch)
    await done(visitor, sent)
    assert (await standing(begun)).phase is Phase.COEXIST
    assert errand.outcome == "things is in coexist now (epoch 2)"
    step, pause = await acts(begun)
    assert (step.outcome, step.lines, step.good) == (errand.outcome, tuple(errand.lines), True)
    assert (pause.action, pause.good) == ("pause", True)


async def test_an_order_is_done_though_nobody_waits(
    begun: Repository[Any, Any], visitor: Visitor, monkeypatch: Any
) -> None:
    """A person who leaves while an order is carried out does not cut it off: it is done, and the history says so."""
    going, go_on = asyncio.Event(), asyncio.Event()
    act = Pause.act

    async def slowly(self: Any, case: Any, sheet: Any) -> str:
        going.set()
        await go_on.wait()
        return await act(self, case, sheet)

    monkeypatch.setattr(Pause, "act", slowly)
    page = await visitor.open("pause")
    request = asyncio.ensure_future(visitor.send(page, kind="sweep"))
    await going.wait()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    go_on.set()

    async def is_kept() -> bool:
        return [act.good for act in await acts(begun)] == [True]

    await until(is_kept)
    assert (await control_of(begun).steering("things")).paused


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OperationFailure("secret of a document", 11000), "The database failed (OperationFailure)."),
        (AutoReconnect("mongodb://user:secret@host"), "The database failed (AutoReconnect)."),
        (RuntimeError("secret"), "It failed (RuntimeError); the log says more."),
    ],
)
async def test_what_fails_says_what_it_was_and_no_more(
    begun: Repository[Any, Any], visitor: Visitor, monkeypatch: Any, caplog: Any, error: Exception, words: str
) -> None:
    """An action that fails shows the error's class, and no text that may quote a document; the history keeps that."""

    async def fail(self: Any, case: Any, sheet: Any) -> str:
        raise error

    for action in (Rollback, Pause):
        monkeypatch.setattr(action, "act", fail)
    for sent in (await visitor.order("rollback", why="x"), await visitor.order("pause", kind="sweep")):
        assert (sent.status, words in sent.words, "secret" in sent.answer.text) == (409, True, False)
    kept = await acts(begun)
    assert [(act.good, words in act.outcome, "secret" in act.outcome) for act in kept] == [(False, True, False)] * 2
    assert ("in fail" in caplog.text, "secret" in caplog.text) == (isinstance(error, RuntimeError), False)


async def test_without_the_history_nothing_is_done(
    begun: Repository[Any, Any], visitor: Visitor, monkeypatch: Any
) -> None:
    """Where the journal cannot be written, the order is refused before it does anything."""
    page = await visitor.open("rollback")

    async def fail(self: Any, act: Act) -> bool:
        raise AutoReconnect("secret")

    monkeypatch.setattr("lazymig.control.journal.Journal.add", fail)
    sent = await visitor.send(page, why="x")
    assert (sent.status, "The history could not be written (AutoReconnect). Nothing was done." in sent.words) == (
        409, True,
    )  # fmt: skip
    assert (await standing(begun)).phase is Phase.V2_PRIMARY
    own = visitor.room.errands.find("things")
    shown = find_shown(own, await parts(begun).journal("things").find_last(5), parts(begun).clock.now())
    assert (shown, own is not None) == (own, True)  # it stands nowhere else


async def test_a_user_who_may_only_read_reads_what_is_missing(
    begun: Repository[Any, Any], visitor: Visitor, monkeypatch: Any
) -> None:
    """Where the database lets the service only read, every order says which role it needs, and not that it has it."""

    async def fail(self: Any, act: Act) -> bool:
        raise OperationFailure("secret", 13)

    monkeypatch.setattr("lazymig.control.journal.Journal.add", fail)
    for sent in (await visitor.order("rollback", why="x"), await visitor.order("pause", kind="sweep")):
        assert (sent.status, "it needs the role readWrite to act). Nothing was done." in sent.words) == (409, True)
        assert ("the role read on both" in sent.words, "secret" in sent.answer.text) == (False, False)


async def test_what_is_shown_of_other_processes(begun: Repository[Any, Any]) -> None:
    """An act of another process is shown while it reports, as cut off when it is silent, and not long after its end."""
    journal = parts(begun).journal("things")
    await journal.add(Act(await parts(begun).time.now(), "Bob", "advance", "to coexist", form="a"))
    assert await journal.report("a", ["waiting for web:1"])

    async def shown(later_s: float) -> Any:
        (act,) = await journal.find_last(5)
        last = act.ended_at or act.seen_at
        assert last is not None
        return find_shown(None, [act], last + timedelta(seconds=later_s))

    under_way = await shown(20)
    assert (under_way.by, under_way.lines, under_way.ended_at) == ("Bob", ["waiting for web:1"], None)
    silent = await shown(60)
    assert (silent.outcome, silent.good, silent.ended_at is None) == (CUT_OFF, False, False)
    assert await journal.end("a", "things is in coexist now", good=True, lines=["waiting for web:1"])
    ended = await shown(60)
    assert (ended.outcome, ended.good) == ("things is in coexist now", True)
    assert await shown(3600) is None
