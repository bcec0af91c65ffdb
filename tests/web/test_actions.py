"""What each action does, by the forms of the page: read back where it is stored, with the name of who ordered it."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

from lazymig import Control, Phase, Repository, Switch
from lazymig.control import parts_of, read_cut_over
from lazymig.control.journal import Act
from lazymig.status.ids import typed
from lazymig.status.looking import control_of
from tests.sweeps import LaterClock, thing
from tests.switches import followed, standing
from tests.web.conftest import ODD
from tests.web.visitors import Host, Visitor, done


async def acts(repo: Repository[Any, Any]) -> list[Act]:
    """What the journal holds, oldest first."""
    return (await parts_of(control_of(repo)).journal("things").find_last(100))[::-1]


async def letters(repo: Repository[Any, Any]) -> dict[Any, str | None]:
    """The dead letters' ids, each with why it was waived."""
    return {letter.id: letter.waived async for letter in control_of(repo).dead_letters("things")}


async def test_pause_resume_and_rate(repo: Repository[Any, Any], visitor: Visitor) -> None:
    """The orders of each kind of pass change, under the name of the hook, and the journal keeps each."""
    control = control_of(repo)
    await Switch(repo).begin(Phase.COEXIST, by="me", why="a test")
    for kind in ("sweep", "verify", "rewrite"):
        await done(visitor, await visitor.order("pause", kind=kind, why="the shop is <slow>"))
        orders = await control.steering("things", kind=kind)
        assert (orders.paused, orders.paused_by, orders.reason) == (True, "Ada", "the shop is <slow>")
    assert "All are paused already." in (await visitor.open("pause")).words
    await done(visitor, await visitor.order("resume", kind="verify"))
    paused = {kind: (await control.steering("things", kind=kind)).paused for kind in ("sweep", "verify", "rewrite")}
    assert paused == {"sweep": True, "verify": False, "rewrite": True}
    for text, rate in (("500", 500.0), ("0.5", 0.5), ("none", None)):
        await done(visitor, await visitor.order("rate", kind="sweep", rate=text))
        orders = await control.steering("things")
        assert (orders.rate, orders.rate_set) == (rate, True)
    kept = [(act.by, act.action, act.what, act.outcome, act.good) for act in await acts(repo)]
    assert kept[0] == ("Ada", "pause", "sweeps: the shop is <slow>", "sweeps are paused", True)
    assert kept[3] == ("Ada", "resume", "verifications", "verifications go on", True)
    assert kept[4] == ("Ada", "rate", "sweeps: 500", "sweeps: 500 documents/s in each process", True)
    assert len(kept) == 7


async def test_the_form_chooses_the_kind_of_its_address(dead: Repository[Any, Any], visitor: Visitor) -> None:
    """A link may say which kind of pass it is about; a kind that there is not is none."""
    assert (await visitor.open("pause", kind="verify")).fields["kind"] == ["verify"]
    assert (await visitor.open("rate", kind="rewrite")).fields["kind"] == ["rewrite"]


async def test_a_pause_that_nobody_has_read_is_not_ended(dead: Repository[Any, Any], visitor: Visitor) -> None:
    """A form to resume is refused where somebody else has resumed and paused again, for a reason of their own."""
    control = control_of(dead)
    await control.pause("things", by="Bob", reason="lunch")
    page = await visitor.open("resume")
    await control.resume("things", by="Bob")
    await control.pause("things", by="Eve", reason="a fire")
    sent = await visitor.send(page)
    assert (sent.status, "a fire" in sent.words) == (409, True)
    assert (await control.steering("things")).paused_by == "Eve"


async def test_one_letter_is_waived_and_opened_again(dead: Repository[Any, Any], visitor: Visitor) -> None:
    """By its link in the list, whatever its id is: shown as text, found again, waived with a reason, and taken back."""
    for id in (*ODD, 5):
        await waive_and_unwaive(dead, visitor, id)


async def waive_and_unwaive(dead: Repository[Any, Any], visitor: Visitor, id: Any) -> None:
    """Waive the dead letter of one entity by its link, and take that back."""
    before = await letters(dead)
    listed = await visitor.get(f"{visitor.base}/dead-letters")
    assert typed(id) in listed.words or " ".join(typed(id).split()) in listed.words
    assert "<b>" not in listed.answer.text
    in_full = await visitor.get(f"{visitor.base}/dead-letters/one?id={quote(typed(id), safe='/')}")
    assert (in_full.status, "ValueError" in in_full.words) == (200, True)
    assert link_to(visitor, "waive", id) in in_full.links
    link = next(link for link in listed.links if link == link_to(visitor, "waive", id))
    page = await visitor.get(link)
    assert page.fields["id"] == [typed(id)]
    sent = await visitor.send(page, why="test <data> & 'more'")
    assert (sent.status, sent.leads_to) == (303, f"{visitor.base}/dead-letters")
    assert await letters(dead) == before | {id: "test <data> & 'more'"}
    waived = await visitor.get(f"{visitor.base}/dead-letters?waived=1")
    assert "waived: test <data> & 'more'" in waived.words
    assert (await visitor.send(await visitor.get(link_to(visitor, "unwaive", id)))).status == 303
    assert await letters(dead) == before
    assert [(act.by, act.action, act.what, act.good) for act in (await acts(dead))[-2:]] == [
        ("Ada", "waive", f"{typed(id)}: test <data> & 'more'", True),
        ("Ada", "unwaive", typed(id), True),
    ]


def link_to(visitor: Visitor, action: str, id: Any) -> str:
    """The link to an action on one letter, with its id quoted as in any address."""
    return f"{visitor.path(action)}?id={quote(typed(id), safe='/')}"


NO_IDS = ("", "5", "str:int:5", "int:1", "int:05", "oid:zzz", "json:{'$gt': ''}", "x" * 5000)


async def test_only_ids_of_dead_letters_are_ids(dead: Repository[Any, Any], visitor: Visitor) -> None:
    """A text that no dead letter has is no id, whatever it looks like: there is no form, and one that is sent fails."""
    before = await letters(dead)
    for id in NO_IDS:
        for action in ("waive", "unwaive"):
            page = await visitor.open(action, id=id)
            assert (page.action, "There is no dead letter of this id any more" in page.words) == ("", True)
        assert (await visitor.get(f"{visitor.base}/dead-letters/one?id={quote(id)}")).status == 404
        filled = {**(await visitor.open("waive", id="int:5")).fields, "id": [id], "why": ["a test"]}
        assert (await visitor.post(visitor.path("waive"), filled)).status == 409
    assert await letters(dead) == before
    assert not any(act.good for act in await acts(dead))


async def test_a_letter_that_has_changed_is_read_again(
    dead: Repository[Any, Any], server_database: Any, visitor: Visitor
) -> None:
    """A waiver for a failure that is another one by now is refused, and the form shows the new one."""
    page = await visitor.open("waive", id="int:5")
    where = {"kind": "dead", "id": 5}
    await server_database["lazymig_control"].update_one(where, {"$set": {"error": "KeyError", "revision": 7}})
    sent = await visitor.send(page, why="it is known")
    assert (sent.status, "KeyError" in sent.words, sent.fields["why"]) == (409, True, ["it is known"])
    assert (await letters(dead))[5] is None
    assert (await visitor.send(sent)).status == 303
    assert (await letters(dead))[5] == "it is known"


async def test_a_long_list_is_cut(dead: Repository[Any, Any], visitor: Visitor, monkeypatch: Any) -> None:
    """A list is made of the oldest letters, and says so where there are more; the counts are of all."""
    monkeypatch.setattr("lazymig.web.actions.letters.LISTED_MAX", 3)
    listed = await visitor.get(f"{visitor.base}/dead-letters")
    assert f"{len(ODD) + 2} open, 0 waived." in listed.words
    assert "This is the list of the oldest 3. lazymig dead-letters list shows all." in listed.words
    ones = [link for link in listed.links if "/dead-letters/one?" in link]
    assert len(ones) == 3


async def test_an_id_is_looked_for_among_the_listed_letters_alone(
    dead: Repository[Any, Any], visitor: Visitor, monkeypatch: Any
) -> None:
    """Each listed letter, open or waived, has a page; an id makes the server read no more letters than the lists do."""
    assert await control_of(dead).waive("things", 6, "known")
    monkeypatch.setattr("lazymig.web.actions.letters.LISTED_MAX", 3)
    listed = [await visitor.get(f"{visitor.base}/dead-letters?waived={waived}") for waived in (0, 1)]
    shown = {link for page in listed for link in page.links if "/dead-letters/one?" in link}
    assert len(shown) == 4
    assert {(await visitor.get(link)).status for link in shown} == {200}
    every = [f"{visitor.base}/dead-letters/one?id={quote(typed(id), safe='/')}" for id in await letters(dead)]
    assert sorted([(await visitor.get(link)).status for link in every]) == [200] * 4 + [404] * (len(every) - 4)


async def test_a_page_of_dead_letters_waits_for_a_database_that_hangs_no_longer_than_a_person(
    dead: Repository[Any, Any], visitor: Visitor, monkeypatch: Any
) -> None:
    """Where no answer comes, the pages of dead letters say so, as the others do."""

    async def hang(self: Any, *arguments: Any, **options: Any) -> Any:
        await asyncio.Event().wait()

    monkeypatch.setattr("lazymig.stores.rows.Rows.find_page", hang)
    monkeypatch.setattr("lazymig.control.journal.Journal.find_last", hang)
    monkeypatch.setattr("lazymig.web.actions.answering.ANSWER_S", 0.01)
    monkeypatch.setattr("lazymig.web.actions.answering._APART_S", 0.01)
    for path in ("dead-letters", "dead-letters/one?id=int:5"):
        page = await visitor.get(f"{visitor.base}/{path}")
        assert (page.status, "The database does not answer." in page.words) == (503, True)


async def test_retry_one_and_all(dead: Repository[Any, Any], server_database: Any, visitor: Visitor) -> None:
    """One entity is tried again, then all: those that convert by now have no letter any more, and are counted."""
    await server_database["v1"].update_many({"_id": {"$in": [5, 6, ODD[0]]}}, {"$set": {"n": 1}})
    await done(visitor, await visitor.order("retry", {"id": "int:5"}))
    assert set(await letters(dead)) == {*ODD, 6}
    await done(visitor, await visitor.order("retry"))
    assert set(await letters(dead)) == set(ODD[1:])
    assert await server_database["v2"].count_documents({"_id": {"$in": [5, 6, ODD[0]]}}) == 3
    one, all_ = await acts(dead)
    counted = "entities retried 1, dead letters removed 1, still failing 0; open dead letters 7"
    assert (one.what, one.outcome) == ("int:5", counted)
    counted = "entities retried 7, dead letters removed 2, still failing 5; open dead letters 5"
    assert (all_.what, all_.outcome) == ("all open dead letters", counted)


async def test_the_cut_over_is_changed_a_part_at_a_time(server_database: Any) -> None:
    """Share, cohorts and dark share change for all processes; what the form leaves as it was stays as it was."""
    control = Control(server_database["lazymig_control"])
    control.cohort("staff", [1, 2])
    repo = followed(server_database, phase=control)
    visitor = Visitor(Host(repo).app)
    await Switch(repo).begin(Phase.SHADOW, by="me", why="a test")

    async def now() -> tuple[float, tuple[str, ...], float | None]:
        found = read_cut_over((await standing(repo)).settings)
        return found.share, found.cohorts, found.dark_share

    await done(visitor, await visitor.order("cut-over", share="0", cohort=["staff"], why="staff first"))
    assert await now() == (0.0, ("staff",), None)
    await done(visitor, await visitor.order("cut-over", share="0.1", dark_share="0.25", why="p99 is fine"))
    assert await now() == (0.1, ("staff",), 0.25)
    await done(visitor, await visitor.order("cut-over", dark_share="", cohort=[], why="enough"))
    assert await now() == (0.1, (), None)
    changed = (await standing(repo)).changes
    assert [(one.by, one.why) for one in changed] == [("Ada", "staff first"), ("Ada", "p99 is fine"), ("Ada", "enough")]
    page = await visitor.order("cut-over", why="nothing new")
    assert (page.status, "This is how it is already." in page.words) == (409, True)
    assert (await standing(repo)).changes == changed
    assert [act.good for act in await acts(repo)] == [True, True, True, False]


async def test_the_first_phase_is_recorded_once(repo: Repository[Any, Any], visitor: Visitor) -> None:
    """Begin records the phase that was chosen; a second form, also one that was open before, is refused."""
    first, second = await visitor.open("begin"), await visitor.open("begin")
    wrong = await visitor.send(first, phase="v3", why="all run")
    assert (wrong.status, "Choose the phase" in wrong.words) == (422, True)
    await done(visitor, await visitor.send(wrong, phase="prepare", why="all run"))
    assert (await standing(repo)).phase is Phase.PREPARE
    assert (await visitor.send(second, phase="v1_only", why="no, this")).status == 409
    assert "things is in prepare already" in (await visitor.open("begin")).words
    assert [(moved.after, moved.by, moved.why) for moved in (await standing(repo)).history] == [
        (Phase.PREPARE, "Ada", "all run")
    ]


async def test_what_a_step_left_is_released(server_database: Any) -> None:
    """A hold on writes that a step left is ended by its form, which first waits to see whether the step is at work."""
    repo = followed(server_database, LaterClock())
    visitor = Visitor(Host(repo).app)
    await Switch(repo).begin(Phase.V2_PRIMARY, by="me", why="a test")
    assert "Nothing is left to undo." in (await visitor.open("release")).words
    assert await parts_of(control_of(repo)).phases("things").change(await standing(repo), hold="writes") is not None
    page = await visitor.open("release")
    assert "a hold on writes (writes)" in page.words
    await done(visitor, await visitor.send(page))
    assert (await standing(repo)).hold is None
    (act,) = await acts(repo)
    assert (act.what, act.outcome, act.good) == ("a hold on writes (writes)", "writes go on", True)
    assert act.lines[0] == "a step into v2_only is at work, or was cut off; waiting to see which"


async def test_a_fixed_phase_is_moved_by_no_form(server_database: Any) -> None:
    """Where the phase is fixed, no form moves it; passes and dead letters can still be acted on."""
    repo = followed(server_database, phase=Phase.COEXIST)
    visitor = Visitor(Host(repo).app)
    await server_database["v1"].insert_one(thing(1))
    for action in ("begin", "advance", "rollback", "release"):
        page = await visitor.open(action)
        assert (page.action, "is fixed" in page.words) == ("", True)
    assert (await visitor.open("cut-over")).action == ""
    await done(visitor, await visitor.order("pause", kind="sweep", why="a test"))
    assert (await control_of(repo).steering("things")).paused
