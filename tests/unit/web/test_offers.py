"""What a page offers to do, and how it lists dead letters."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from lazymig.control import Steering
from lazymig.phases import Phase
from lazymig.stores.records import DeadLetter
from lazymig.web.actions.every import ACTIONS, END_STEPS, EXCLUSIVE
from lazymig.web.actions.listing import GROUPS_MAX, PER_PAGE, Asked, Listing, make_listing
from lazymig.web.actions.offers import find_offers
from lazymig.web.paths import Paths
from lazymig.web.snapshot import Snapshot
from tests.snapshots import HOSTILE, SNAPSHOTS, at_the_end, at_work, fleet, in_trouble, letter


def offered(snapshot: Snapshot) -> dict[str, list[str]]:
    """The actions of each panel."""
    return {panel: [one.action for one in offers] for panel, offers in find_offers(snapshot).items()}


@pytest.mark.parametrize("name", SNAPSHOTS)
def test_only_actions_are_offered(name: str) -> None:
    """Whatever a page shows, each offer is an action that there is, with words on its link."""
    for offers in find_offers(SNAPSHOTS[name]()).values():
        assert {one.action for one in offers} <= {*ACTIONS, "dead-letters"}
        assert all(one.label for one in offers)
        assert len({one.action for one in offers}) == len(offers)


def test_what_fits_the_phase_is_offered() -> None:
    """A step on and back, the cut-over before V2 answers, what was left held, and at last V1's end."""
    assert offered(at_work()) == {
        "phases": ["advance", "rollback", "cut-over"], "trouble": ["dead-letters"], "passes": ["pause", "rate"],
    }  # fmt: skip
    assert offered(in_trouble()) == {
        "phases": ["advance", "rollback", "cut-over", "release"], "trouble": ["dead-letters", "retry"],
        "passes": ["pause", "resume"],
    }  # fmt: skip
    assert offered(at_the_end())["phases"] == ["retire"]
    first = evolve(at_work(), status=evolve(at_work().status, fleet=fleet(Phase.V1_ONLY)))
    assert offered(first)["phases"] == ["advance", "cut-over"]
    last = evolve(at_work(), status=evolve(at_work().status, fleet=fleet(Phase.V2_PRIMARY)))
    assert offered(last)["phases"] == ["advance", "rollback"]


def test_a_fixed_phase_is_not_offered_to_be_moved() -> None:
    """Without a record of the phase there is nothing to move; passes can be steered."""
    fixed = evolve(at_work(), status=evolve(at_work().status, fleet=evolve(at_work().status.fleet, standing=None)))
    assert offered(fixed) == {"trouble": ["dead-letters"], "passes": ["pause", "rate"]}


def test_who_only_reads_is_offered_to_read() -> None:
    """Where nobody may act, the list of dead letters is offered alone, at an address that is no action's."""
    assert find_offers(in_trouble(), acts=False).keys() == {"trouble"}
    (more,) = find_offers(in_trouble(), acts=False)["trouble"]
    assert Paths("", "people").action(more.action) == "/m/people/dead-letters"
    assert Paths("/x", "people").action("retry") == "/x/m/people/do/retry"


def test_orders_to_passes_are_never_held_up() -> None:
    """What slows a sweep down may be done at any time; what moves anything may not be done twice at once."""
    assert set(ACTIONS) - EXCLUSIVE == {"pause", "resume", "rate", "waive", "unwaive"}
    assert set(END_STEPS) <= EXCLUSIVE


def test_a_pause_of_one_kind_is_ended() -> None:
    """Resume is offered as soon as one kind of pass is paused."""
    status = at_work().status
    paused = evolve(status, passes=evolve(status.passes, orders={"verify": Steering(paused=True)}))
    assert "resume" in offered(evolve(at_work(), status=paused))["passes"]


def listed(known: list[DeadLetter], **asked: Any) -> Listing:
    """The list of letters that are all there are."""
    waived = sum(one.waived is not None for one in known)
    return make_listing(known, Asked(**asked), open_count=len(known) - waived, waived_count=waived)


def test_letters_are_listed_by_cause_and_in_parts() -> None:
    """Each group has a name of its own, shows its letters alone, and comes in parts that leave none out."""
    one = [letter(id) for id in range(PER_PAGE * 2 + 1)]
    two = [letter(f"{HOSTILE}{id}", error="KeyError", path=HOSTILE) for id in range(3)]
    known = [*one, *two, letter("w", waived="known")]
    first = listed(known)
    assert (first.open_count, first.waived_count, first.total) == (len(one) + 3, 1, len(one) + 3)
    assert [line.group.count for line in first.groups] == [len(one), 3]
    assert (first.before, first.after, len(first.letters), first.cut) == (None, 2, PER_PAGE, None)
    assert make_listing(one, Asked(), open_count=len(one) + 1, waived_count=0).cut == len(one)
    keys = [line.key for line in first.groups]
    assert all(key.isalnum() for key in keys)
    seen: list[object] = []
    number: int | None = 1
    while number is not None:
        part = listed(known, group=keys[0], page=number)
        assert part.first == len(seen) + 1
        seen += [found.id for _, found in part.letters]
        number = part.after
    assert seen == list(range(len(one)))
    assert [found.error for _, found in listed(known, group=keys[1]).letters] == (["KeyError"] * 3)
    assert [found.id for _, found in listed(known, waived=True).letters] == ["w"]


@pytest.mark.parametrize(("group", "page"), [("nothing", 1), ("<b>", 7), ("", 10**6), ("", -3)])
def test_what_is_not_there_is_an_empty_or_the_nearest_part(group: str, page: int) -> None:
    """A group that there is not has no letters, and a part beyond the last one is the last one."""
    found = listed([letter(1), letter(2)], group=group, page=page)
    assert (found.total, len(found.letters), found.before, found.after) == (
        (0, 0, None, None) if group else (2, 2, None, None)
    )
    assert listed([], group=group, page=page).letters == ()


def test_a_part_of_very_many_groups_is_listed() -> None:
    """Of very many groups the largest are listed, with how many there are; each other one can still be asked for."""
    known = [letter(id, line=f"m.py:{line} in f") for line in range(GROUPS_MAX + 5) for id in range(2 if line else 1)]
    listing = make_listing(known, Asked(), open_count=len(known), waived_count=0)
    assert (len(listing.groups), listing.group_count) == (GROUPS_MAX, GROUPS_MAX + 5)
    assert {one.group.count for one in listing.groups} == {2}
    alone = make_listing(known[:1], Asked(), open_count=1, waived_count=0).groups[0].key
    assert make_listing(known, Asked(group=alone), open_count=len(known), waived_count=0).total == 1
