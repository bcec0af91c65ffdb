"""The gradual cut-over in one document: V2's part answers for chosen entities, and V1's part for the rest."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from lazymig import Control, Phase
from lazymig.control import parts_of
from lazymig.repository import calls_of
from lazymig.stores.positions import measure_position
from tests.people import PersonV1, PersonV2, ada_v1, people, split
from tests.whole_people import ORDER, whole

IDS = range(1, 21)
#: Those that a quarter chooses.
QUARTER = {id for id in IDS if measure_position(id) < 0.25}

pytestmark = pytest.mark.parametrize("driver", ["mock", "pymongo"])


def forgetful(v1: PersonV1) -> PersonV2:
    """A conversion that cannot keep what V1 does not express."""
    return split(v1)


async def noted(repo: Any) -> set[int]:
    """The entities that V2's part answers, by every way to read them: only it holds their notes."""
    found = {id for id in IDS if (person := await repo.get(id)) and person.note}
    assert {id for id, person in (await repo.get_many(IDS)).items() if person.note} == found
    listed = [person async for person in repo.list()]
    assert [person.id for person in listed] == list(IDS)
    assert {person.id for person in listed if person.note} == found
    assert [await repo.exists(id) for id in (1, 19, 99)] == [True, True, False]
    assert await repo.count() == len(IDS)
    return found


async def test_the_choice_follows_the_record(database: Any, client: Any, driver: str) -> None:
    """The share and the cohorts choose, forth and back, in one process; what only V2's part holds is never lost."""
    control = Control(database["lazymig_control"])
    control.cohort("odd", lambda id: id % 2)
    await parts_of(control).phases("people").begin(Phase.COEXIST, **ORDER)
    await database["people"].insert_many([ada_v1(id) for id in IDS])
    migration = people(upgrade=forgetful)
    async with whole(database, migration=migration) as repo, whole(database, control, migration=migration) as odd:
        for id in IDS:
            await repo.update(id, lambda person: evolve(person, note="only in V2"))
        for changes, chosen, by_odd in (
            ({}, set(IDS), set(IDS)),
            ({"share": 0}, set(), set()),
            ({"cohorts": ["odd"]}, set(), set(IDS[::2])),  # one process does not declare the cohort: V1 answers
            ({"share": 0.25}, QUARTER, QUARTER | set(IDS[::2])),
            ({"share": 1, "cohorts": []}, set(IDS), set(IDS)),
        ):
            await control.cut_over("people", **changes)
            for one, expected in ((repo, chosen), (odd, by_odd)):
                await calls_of(one).stages.member.exchange()  # type: ignore[attr-defined]
                assert await noted(one) == expected
                # Outside writes count for both groups, and writes of the rest keep what only V2's part holds.
                await database["people"].update_many({}, {"$inc": {"age": 1}})
                ages = {person.age async for person in one.list()}
                assert len(ages) == 1
                for id in IDS:
                    await repo.update(id, lambda person: evolve(person, note="only in V2"))
        if driver == "pymongo":
            async with client.start_session() as session:
                bound = repo.with_session(session)
                assert len(await bound.get_many(IDS)) == len(IDS)
