"""The panels, from made-up snapshots: what each shows, and that text stays text."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve, frozen

from lazymig.phases import Phase
from lazymig.status.letters import grouped
from lazymig.status.recorded import Passes, Verified
from lazymig.stores.verdicts import Verdict
from lazymig.switch import Gate
from lazymig.web.paths import Paths
from lazymig.web.snapshot import Snapshot
from lazymig.web.view.page import render_page
from lazymig.web.view.panels import PANELS, render_panels
from tests.markup import Element, find_unnamed, find_unsafe, find_wrong, read
from tests.snapshots import HOSTILE, LONG, NOTHING, NOW, SNAPSHOTS, ago, at_work, fleet, in_trouble, letter, member, run

PATHS = Paths("/ops", "people")


@frozen
class Offer:
    """An action that a panel offers."""

    action: str
    label: str


def page(snapshot: Snapshot) -> str:
    return render_page(snapshot, render_panels(snapshot, PATHS), PATHS)


def panel(name: str, snapshot: Snapshot, **given: Any) -> Element:
    """One panel, as it was read back."""
    return read(render_panels(snapshot, PATHS, **given)[name]).one("section", id=name)


@pytest.mark.parametrize("name", SNAPSHOTS)
def test_the_page_is_well_formed_and_safe(name: str) -> None:
    """Whatever a migration is like, its page is strict HTML, has no script or style in it, and can be read by ear."""
    html = page(SNAPSHOTS[name]())
    assert find_wrong(html) == []
    assert find_unsafe(html) == []
    assert find_unnamed(html) == []


@pytest.mark.parametrize("name", SNAPSHOTS)
@pytest.mark.parametrize("panel", PANELS)
def test_each_panel_stands_alone(name: str, panel: str) -> None:
    """A panel is one section by its own name, so that it can be replaced."""
    html = render_panels(SNAPSHOTS[name](), PATHS)[panel]
    assert find_wrong(html) == []
    sections = [one for one in read(html).parts if isinstance(one, Element)]
    assert [(one.tag, one.attributes["id"]) for one in sections] == [("section", panel)]


def test_the_page_has_its_landmarks() -> None:
    """One main part, to which the first link leads, below one heading of the first rank."""
    root = read(page(at_work()))
    assert next(one.attributes["href"] for one in root.all("a")) == "#main"
    assert root.one("main").attributes["id"] == "main"
    assert root.one("h1").text == "people"
    assert len(list(root.all("header"))) == len(list(root.all("nav"))) == 1


def test_what_changes_is_replaced_in_place() -> None:
    """Each panel stands in a part that takes the event of its name, and the charts stand outside of all of them."""
    root = read(page(at_work()))
    swapped = {one.attributes["sse-swap"]: one for one in root.all() if "sse-swap" in one.attributes}
    assert tuple(swapped) == PANELS
    for name, cell in swapped.items():
        assert [one.attributes["id"] for one in cell.all("section")] == [name]
        assert not any(cell.all("figure"))
    assert root.one("main").attributes["sse-connect"] == "/ops/m/people/events"
    assert any(root.one("section", id="charts").all("figure"))


def test_links_are_below_the_mount() -> None:
    """Every address in the page begins with the path at which the application is mounted."""
    root = read(page(at_work()))
    found = [one.attributes[name] for one in root.all() for name in ("href", "src") if name in one.attributes]
    assert all(address.startswith("/ops/") for address in found if address != "#main")


def test_what_people_wrote_is_text() -> None:
    """Ids, reasons and names with HTML in them are shown as they are, and what a browser obeys by escapes."""
    root = read(page(in_trouble()))
    shown = r"""<script>alert("1")</script>&amp;'"><b>\x1b[31m\u202egnp\x00"""
    for name in ("trouble", "passes", "fleet", "history", "now"):
        assert shown in root.one("section", id=name).text, name
    assert not any(root.one("main").all("b"))
    assert not any(root.one("main").all("script"))


def test_names_are_text_wherever_they_stand() -> None:
    """The migration's name and the label of an action: in the title, in headings and in links."""
    snapshot = evolve(at_work(), status=evolve(at_work().status, migration=HOSTILE))
    offers = {"phases": [Offer("advance", HOSTILE)]}
    html = render_page(snapshot, render_panels(snapshot, PATHS, offers), PATHS)
    assert find_wrong(html) == []
    root = read(html)
    shown = r"""<script>alert("1")</script>&amp;'"><b>\x1b[31m\u202egnp\x00"""
    assert root.one("h1").text == root.one("a", id="phases-advance").text == shown
    assert root.one("title", id="bar-title").text == "99.7 % migrated"
    assert root.one("head").one("title").text.startswith(f"{shown}: phase coexist")


def test_a_time_of_somebody_else_is_no_markup() -> None:
    """A time in a text is marked up, and one that cannot be is left as it was written."""
    paused = in_trouble().status.passes.orders["sweep"]
    orders = {"sweep": evolve(paused, reason="since 2026-01-02 03:04:05 UTC or 2026-99-99 99:99:99 <b>")}
    found = panel("passes", evolve(in_trouble(), status=evolve(NOTHING, passes=Passes((), orders))))
    times = [one.attributes["datetime"] for one in found.all("time")]
    assert times == ["2026-11-28T11:30:05Z", "2026-01-02T03:04:05Z"]
    assert "2026-99-99 99:99:99 <b>" in found.text


def test_phases() -> None:
    """Steps in their order with the present one marked, what it means, and what blocks the next one first."""
    found = panel("phases", at_work())
    steps = list(found.one("ol", class_="steps").all("li"))
    assert [one.text for one in steps] == [
        "✓ v1_only done", "✓ prepare done", "✓ shadow done", "4 coexist present", "5 v2_primary to come",
        "6 v2_only to come",
    ]  # fmt: skip
    assert [one.attributes.get("aria-current") for one in steps] == [None, None, None, "step", None, None]
    assert "V2 answers first, filled from V1" in found.text
    assert "blocked by 3 of 5 conditions" in found.text
    gates = [one.text.split()[1] for one in found.one("ul", class_="gates").all("li")]
    assert gates == ["closed", "closed", "unknown", "ok", "accepted"]


def test_a_gate_says_what_to_do_only_where_it_blocks() -> None:
    """A condition that is met, or accepted, has no remedy."""
    gates = [Gate("a", "closed", "seen", "do this"), Gate("b", "closed", "seen", "do that", True, True)]
    plan = evolve(at_work().status.plan, gates=tuple(gates))
    found = panel("phases", evolve(at_work(), status=evolve(at_work().status, plan=plan)))
    assert [one.text for one in found.all("span", class_="remedy")] == ["do this"]


def test_one_document_has_no_prepare() -> None:
    """Where both shapes share a document, the walk has five phases."""
    steps = panel("phases", SNAPSHOTS["in place"]()).one("ol", class_="steps")
    assert [one.text.split()[1] for one in steps.all("li")] == ["v1_only", "shadow", "coexist", "v2_primary", "v2_only"]


def test_one_collection_has_no_phases() -> None:
    """Where documents are only brought up, nothing is migrated: versions are what counts."""
    snapshot = SNAPSHOTS["alone"]()
    assert not any(panel("phases", snapshot).all("ol"))
    assert "one collection whose documents are brought up" in panel("phases", snapshot).text
    assert panel("progress", snapshot).one("dl").text == "documents 100"
    assert "schema 3 (newest) 88" in panel("conversions", snapshot).text
    assert "The upcaster of version 1 may be deleted" in panel("conversions", snapshot).text


def test_the_end_names_what_follows() -> None:
    """In the last phase the next step is V1's end."""
    assert "lazymig retire watch" in panel("phases", SNAPSHOTS["at the end"]()).text


def test_trouble() -> None:
    """Dead letters by their causes with counts and ids, and one by one; ids by the text that commands take."""
    found = panel("trouble", in_trouble())
    assert "Something needs a person." in found.text
    groups, letters = found.all("table")
    rows = [[cell.text for cell in [*row.all("th"), *row.all("td")]] for row in groups.one("tbody").all("tr")]
    assert [(row[0], row[4]) for row in rows] == [("ValueError", "3"), ("ValueError", "1"), ("WriteError", "1")]
    assert rows[0][5].endswith(", int:5, str:5")
    assert [one.text for one in letters.one("tbody").all("th")][2:4] == ["int:5", "str:5"]
    assert "5 of 1,312" in groups.one("caption").text
    assert f"{LONG}-1" in letters.text


def test_no_trouble() -> None:
    """Where nothing needs a person, the panel says so."""
    found = panel("trouble", Snapshot(NOTHING))
    assert "Nothing needs a person." in found.text
    assert not any(found.all("table"))


@pytest.mark.parametrize(
    "change",
    [{"warnings": ["a"]}, {"foreign": ("a",)}, {"dead_letters": 1}, {"verified": Verified(None, {"stale": 1}, None)}],
)
def test_each_trouble_counts(change: dict[str, Any]) -> None:
    """A warning, a foreign document, a dead letter and a mismatch each need a person."""
    assert "Something needs a person." in panel("trouble", Snapshot(evolve(NOTHING, **change))).text


def test_mismatches_by_verdict() -> None:
    """Each verdict that stands is a row with its meaning and its count."""
    counts = {str(verdict): number + 1_000 for number, verdict in enumerate(Verdict) if verdict not in _AGREEING}
    found = panel("verification", Snapshot(evolve(NOTHING, verified=Verified(None, counts, ago(days=2)))))
    rows = [row.text for row in next(found.all("tbody")).all("tr")]
    assert "missing in V1, not in V2 1,004" in rows
    assert len(rows) == len(counts)
    assert "oldest mismatch 2 d ago" in found.text


_AGREEING = {Verdict.MATCH, Verdict.WAITING, Verdict.LEFT, Verdict.BEHIND}


def test_dark_reads_by_group() -> None:
    """Cohorts first, then the share and the rest: both sides with their latency, and how many agree."""
    rows = [row.text for row in panel("verification", at_work()).one("tbody").all("tr")]
    assert rows[0] == "staff V1 9,120 0.03289 % 4.12 4.12 99.82 % 9,117"
    assert [row.split(" V")[0] for row in rows] == ["staff", "staff", "by share", "by share", "the rest", "the rest"]


def test_what_a_verification_proves() -> None:
    """A full one says what it shows and what it cannot; one that was stopped proves nothing."""
    _, full = run("verify", 1, compared=3, match=3)
    found = panel("verification", Snapshot(evolve(NOTHING, verified=Verified(full, {}, None)))).text
    assert "What it shows An entity that agrees at one look" in found
    assert "A mistake that both conversions share passes both checks." in found
    stopped = evolve(full, finished=False)
    found = panel("verification", Snapshot(evolve(NOTHING, verified=Verified(stopped, {}, None)))).text
    assert "What it shows" not in found
    assert "nothing is proven" in found


def test_fleet() -> None:
    """Who follows, who is behind, and whose lease is over."""
    found = panel("fleet", in_trouble())
    assert "writes are held" in found.text
    assert "If nobody is at it, lazymig phase release lets writes go on." in found.text
    states = [list(row.all("td"))[-1].text for row in found.one("tbody").all("tr")]
    assert states == ["ok", "behind, lease is over", "behind"]


def test_passes() -> None:
    """What runs, how fast, and what slows it; who paused it, when and why."""
    row = panel("passes", at_work()).one("tbody").text
    assert row == "sweep sweep-1/881 910 1,000 2 of 500 640,112 12 min ago going slowly: replication lags by 12 s"
    found = panel("passes", in_trouble()).text
    assert "sweep is paused by eve" in found
    assert "lazymig sweep resume goes on." in found


def test_history_is_newest_first() -> None:
    """Steps, orders and runs, each with the last one first."""
    moves, acts, runs = panel("history", at_work()).all("tbody")
    assert [list(row.all("td"))[1].text for row in moves.all("tr")] == ["coexist", "shadow", "prepare", "v1_only"]
    assert "sweep at 1,000 per second ada@example.org set" in acts.text
    assert [next(row.all("td")).text for row in runs.all("tr")] == ["verify", "sweep"]


def test_actions_are_links_with_names_that_stay() -> None:
    """What may be done is offered in its panel, by a link with an id, by which it gets the focus back."""
    offers = {"phases": [Offer("advance", "Advance to <v2>")], "passes": [Offer("pause", "Pause")]}
    link = panel("phases", at_work(), offers=offers).one("a")
    assert link.text == "Advance to <v2>"
    assert link.attributes == {"class": "action", "id": "phases-advance", "href": "/ops/m/people/do/advance"}
    assert not any(panel("phases", at_work()).all("a"))


@frozen
class Errand:
    """An action that takes a while."""

    action: str = "advance"
    by: str = HOSTILE
    began_at: Any = NOW
    lines: Any = ("waits for web-1", HOSTILE)
    ended_at: Any = None
    outcome: str = ""
    good: bool = False


def test_an_errand_shows_while_it_is_under_way_and_how_it_ended() -> None:
    """Nothing without one; its lines while it is at work; its outcome when it has ended."""
    assert "hidden" in panel("errand", at_work()).attributes
    busy = panel("errand", evolve(at_work(), errand=Errand()))
    assert "busy" in busy.attributes["class"]
    assert "waits for web-1" in busy.text
    assert "under way" in busy.text
    ended = Errand(ended_at=ago(seconds=5), outcome="refused: <b>", good=False)
    assert "✗ refused: <b> (2026-11-28 14:30:00 UTC)" in panel("errand", evolve(at_work(), errand=ended)).text


def test_an_old_snapshot_says_so() -> None:
    """Where the last look failed, the page says why, beside the time of what it shows."""
    found = panel("now", in_trouble()).text
    assert found.startswith("Looked up at 2026-11-28 14:30:05 UTC ! Not looked up since: no server answers")
    assert "Not looked up" not in panel("now", at_work()).text


def test_the_letters_ids_are_of_one_list() -> None:
    """Ids of one text and two types keep their types, so that an action finds the right one."""
    letters = [letter(7), letter("seven")]
    status = evolve(NOTHING, dead_letters=2, letters=letters, causes=tuple(grouped(letters)))
    names = panel("trouble", Snapshot(status)).text
    assert "7, seven" in names


def test_a_part_of_very_many_is_shown() -> None:
    """Each page that is open gets a panel as a whole: of very many groups and processes it shows a part."""
    letters = [letter(id, line=f"model.py:{line} in f") for line in range(25) for id in range(26 - line)]
    status = evolve(NOTHING, dead_letters=len(letters), letters=letters[:10], causes=tuple(grouped(letters)))
    groups, _ = panel("trouble", Snapshot(status)).all("table")
    assert "the 20 largest of 25 groups" in groups.one("caption").text
    assert [list(row.all("td"))[3].text for row in groups.one("tbody").all("tr")] == [
        str(26 - line) for line in range(20)
    ]
    ok = [member(f"ok-{number}", 4) for number in range(60)]
    late = [member("late", 4, seen_at=ago(hours=1)), member("behind", 1)]
    many = panel("fleet", Snapshot(evolve(NOTHING, at=NOW, fleet=fleet(Phase.COEXIST, *ok, *late))))
    table = many.one("table")
    assert "Processes (50 of 62, what is late first)" in table.one("caption").text
    assert {row.one("th").text for row in list(table.one("tbody").all("tr"))[:2]} == {"late", "behind"}
