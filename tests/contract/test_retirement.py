"""V1's retirement on every driver: each step, each refusal by trying it, and each step killed at every statement."""

from __future__ import annotations

import asyncio
import gzip
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import bson
import pytest
from attrs import evolve

from lazymig import (
    AlreadyExists,
    ConfigurationError,
    Control,
    ForeignDocument,
    LazymigError,
    Migration,
    NotFound,
    Phase,
    PhaseError,
    Repository,
    Retirement,
)
from lazymig.control import parts_of
from lazymig.control.retirement import OvertakenError
from lazymig.stores.fences import MongoFence
from lazymig.stores.fencing import Ability, Barrier
from lazymig.stores.records import DeadLetter
from tests.people import PersonV2, ada, ada_v1, people
from tests.retiring import (
    DAY_S,
    META,
    NEVER,
    day,
    filled,
    names,
    quiet,
    record,
    repository,
    retirement,
    watched,
)
from tests.sweeps import LaterClock, control
from tests.widening import WIDENING

SERVER = pytest.mark.parametrize("driver", ["pymongo"])
CONFIRM = {"confirm": "people"}


@pytest.fixture(params=["pymongo", "mock"])
def driver(request: pytest.FixtureRequest) -> str:
    """Motor goes all the way once; time is short."""
    return str(request.param)


async def to_quarantine(database: Any) -> Retirement[Any, Any]:
    await filled(database)
    retiring = retirement(database)
    await retiring.quarantine()
    return retiring


async def to_drop(database: Any) -> Retirement[Any, Any]:
    retiring = await to_quarantine(database)
    await retiring.drop(**CONFIRM)
    return retiring


@pytest.mark.parametrize("driver", ["pymongo", "motor", "mock"])
async def test_all_the_way(database: Any) -> None:
    """From report to finish: V1 is gone, V2 holds entities and revisions, the phase and this end stay recorded."""
    await filled(database)
    parts, clock = parts_of(control(database)), LaterClock()
    await parts.phases("people").begin(Phase.V2_ONLY, by="me", why="")
    await parts.conversions.remember("people", 1, "x")
    retiring = retirement(database, clock=clock)
    before = await names(database)
    report = await retiring.report()
    assert (report.stage, report.next, report.blocked) == ("serving", "quarantine", False)
    assert await names(database) == before
    report = await retiring.quarantine()
    quarantined = f"v1_lazymig_quarantine_{day(clock)}"
    assert await names(database) == {"v2", quarantined}
    assert (report.stage, report.next) == ("quarantined", "drop")
    await retiring.archive("people_of_old")
    kept = await database["people_of_old"].find().to_list(None)
    assert kept == await database[quarantined].find().to_list(None)
    report = await retiring.drop(**CONFIRM)
    assert (report.stage, report.conditions, await names(database)) == ("dropped", (), {"v2", "people_of_old"})
    done = await retiring.reduce(grace_s=0)
    assert (done.scanned, done.reduced, done.tombstones, done.left, done.finished) == (4, 2, 1, 0, True)
    assert {tuple(row[META]) async for row in database["v2"].find()} == {("rev", "intent")}
    report = await retiring.finish()
    assert (report.stage, report.next, report.goes) == ("retired", "", ())
    kinds = {row["kind"] async for row in database["lazymig_control"].find()}
    assert kinds == {"phase", "retirement"}
    said = [what for _, by, what in await parts.retirement("people").find_history() if by == "me"]
    assert said[-1] == "finished"
    async with Repository(people(), v1=database["v1"], v2=database["v2"], phase=control(database)) as repo:
        assert await repo.update(1, lambda person: evolve(person, age=40)) == ada(age=40)
    assert [person.id async for person in repository(database).list()] == [1, 2, 4]


async def test_quarantine_is_undone_by_one_step(database: Any) -> None:
    """V1 has its name, documents and indexes again, and may go into quarantine another time."""
    before = await filled_v1(database)
    retiring = retirement(database)
    await retiring.quarantine()
    report = await retiring.restore()
    assert (report.stage, await names(database)) == ("serving", {"v1", "v2"})
    assert await filled_v1(database, fill=False) == before
    await retiring.quarantine()
    assert "v1" not in await names(database)


async def filled_v1(database: Any, *, fill: bool = True) -> Any:
    if fill:
        await filled(database)
    return await database["v1"].find().to_list(None), set(await database["v1"].index_information())


# ---- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.V2_ONLY], ids=str)
@pytest.mark.parametrize("driver", ["mock"])
async def test_every_other_phase_is_refused(database: Any, phase: Phase) -> None:
    """By the repository's own phase, and by the recorded one, which counts before it."""
    await filled(database)
    for call in ("report", "quarantine", "restore", "finish", "reduce", "watch"):
        with pytest.raises(PhaseError, match=f"in the phase {phase} V1 is needed"):
            await getattr(retirement(database, repo=repository(database, phase=phase)), call)()
    await parts_of(control(database)).phases("people").begin(phase, by="me", why="")
    with pytest.raises(PhaseError, match=f"in the phase {phase} V1 is needed"):
        await retirement(database).quarantine()
    assert "v1" in await names(database)


@pytest.mark.parametrize("driver", ["mock"])
async def test_it_works_in_the_control_collection_that_the_repository_follows(database: Any) -> None:
    """Not in the one beside V2, where no phase is recorded."""
    await filled(database)
    followed = Control(database["steering"])
    await parts_of(followed).phases("people").begin(Phase.V2_ONLY, by="me", why="")
    retiring = Retirement(repository(database, phase=followed), soak_s=0, unwatched=True)
    assert (await retiring.quarantine()).stage == "quarantined"
    assert (await parts_of(followed).retirement("people").find()).stage == "quarantined"
    assert "lazymig_control" not in await database.list_collection_names()


@pytest.mark.parametrize("driver", ["mock"])
async def test_an_unknown_phase_is_refused(database: Any) -> None:
    """A repository under control, of which no phase is recorded."""
    repo = repository(database, phase=control(database))
    with pytest.raises(PhaseError, match="no phase is recorded"):
        await retirement(database, repo=repo).quarantine()


async def test_each_step_needs_the_one_before(database: Any, tmp_path: Path) -> None:
    """Out of order, and a second time, each step is refused and changes nothing."""
    await filled(database)
    retiring = retirement(database)
    before = await names(database)
    for step in (
        retiring.restore(),
        retiring.drop(**CONFIRM),
        retiring.archive("x"),
        retiring.archive(tmp_path / "x.bson"),
    ):
        with pytest.raises(PhaseError, match="run lazymig retire quarantine first"):
            await step
    with pytest.raises(PhaseError, match="run lazymig retire drop first"):
        await retiring.reduce()
    with pytest.raises(PhaseError, match="run lazymig retire reduce first"):
        await retiring.finish()
    assert await names(database) == before
    await retiring.quarantine()
    with pytest.raises(PhaseError, match="done already"):
        await retiring.quarantine()
    with pytest.raises(PhaseError, match="run lazymig retire drop first"):
        await retiring.reduce()
    await retiring.drop(**CONFIRM)
    for step in (retiring.restore(), retiring.drop(**CONFIRM), retiring.archive("x")):
        with pytest.raises(PhaseError, match="done already"):
            await step


async def test_a_drop_is_confirmed_by_name(database: Any) -> None:
    """Another text drops nothing."""
    retiring = await to_quarantine(database)
    for text in ("", "yes", "PEOPLE"):
        with pytest.raises(ConfigurationError, match="cannot be undone"):
            await retiring.drop(confirm=text)
    assert len(await names(database)) == 2


@pytest.mark.parametrize("driver", ["mock"])
async def test_open_dead_letters_keep_v1(database: Any) -> None:
    """Their entities are in V1 alone. A waiver accepts that, and the report goes on to count them."""
    await filled(database)
    parts = parts_of(control(database))
    letter = DeadLetter("people", 9, 0, "upgrade", "ValueError", "no name", "", NEVER, NEVER, 1, None, "")
    await parts.letters.record([letter])
    retiring = retirement(database)
    with pytest.raises(PhaseError, match="1 entities are in V1 alone"):
        await retiring.quarantine()
    await parts.letters.waive("people", 9, "test data")
    assert "1 entities whose dead letters were waived" in " ".join((await retiring.quarantine()).warnings)


async def test_unfinished_writes_keep_v1(database: Any) -> None:
    """V1 may hold newer data than V2 then; `replace` decides and ends the write."""
    await filled(database)
    await database["v2"].update_one({"_id": 1}, {"$inc": {f"{META}.intent": 1}, "$set": {f"{META}.at": NEVER}})
    retiring = retirement(database)
    with pytest.raises(PhaseError, match=r"V1 may hold newer data than V2: 1;"):
        await retiring.quarantine()
    await repository(database).replace(ada(1))
    await retiring.quarantine()


async def test_an_insert_that_died_between_v1_and_v2_keeps_v1(database: Any) -> None:
    """V1 holds its entity, and V2 its announcement; one that V1 knows nothing of is no matter."""
    await filled(database)
    open_meta = {"rev": -1, "intent": 1, "gone": True, "at": NEVER}
    await database["v2"].insert_many([{"_id": 8, META: open_meta}, {"_id": 9, META: open_meta}])
    retiring = retirement(database)
    await database["v1"].insert_one(ada_v1(8))
    with pytest.raises(PhaseError, match=r"V1 may hold newer data than V2: 8;"):
        await retiring.quarantine()
    await repository(database).insert(ada(8))
    await retiring.quarantine()


@SERVER
async def test_entities_that_wait_keep_v1_and_left_ones_go_with_it(database: Any) -> None:
    """The first are needed, the others were given up by `upgrade`; both marks go with the reduction."""
    await filled(database)
    for id, why in ((8, "waiting"), (9, "left")):
        await database["v2"].insert_one({"_id": id, META: {"rev": 1, "intent": 1, "gone": True, "unmoved": why}})
    retiring = retirement(database)
    with pytest.raises(PhaseError, match="1 entities wait in V1 alone"):
        await retiring.quarantine()
    await repository(database).insert(ada(8))
    assert any("1 entities that upgrade leaves" in one for one in (await retiring.quarantine()).warnings)
    await retiring.drop(**CONFIRM)
    await retiring.reduce(grace_s=0)
    assert await database["v2"].find_one({"_id": 9}) is None


@pytest.mark.parametrize("driver", ["mock"])
async def test_processes_that_have_not_followed_keep_v1(database: Any) -> None:
    """A process of the fleet that has not acknowledged `v2_only` may still write V1."""
    await filled(database)
    parts = parts_of(control(database))
    begun = await parts.phases("people").begin(Phase.V2_PRIMARY, by="me", why="")
    assert begun is not None
    async with Repository(people(), v1=database["v1"], v2=database["v2"], phase=control(database)) as repo:
        await repo.get(1)
        (member,) = await parts.members("people").find_all()
        await parts.phases("people").move(begun, Phase.V2_ONLY, by="me", why="")
        await parts.members("people").register(evolve(member, key="late", name="elsewhere:7"))
        with pytest.raises(PhaseError, match=r"not known to be in v2_only \(.*elsewhere:7"):
            await retirement(database).quarantine()


async def test_a_soak_begins_anew_with_each_stray_write(database: Any) -> None:
    """V1 must have been watched and quiet for long enough: before quarantine, and again before it is dropped."""
    await filled(database)
    clock = LaterClock()
    options = {"unwatched": False, "soak_s": 7 * DAY_S, "clock": clock}
    retiring = retirement(database, **options)
    with pytest.raises(PhaseError, match="nobody watches V1; run lazymig retire watch"):
        await retiring.quarantine()
    await watched(database, clock, since=timedelta(days=6))
    with pytest.raises(PhaseError, match=r"quiet for 6\.0 days, of 7\.0 days; wait until"):
        await retiring.quarantine()
    clock.ahead_s += 2 * DAY_S
    with pytest.raises(PhaseError, match="the watch does not run, it last did at"):
        await retiring.quarantine()
    hour = clock.now().replace(minute=0, second=0, microsecond=0)
    stray = {"changes": {(hour, "insert"): 2}, "last_change": clock.now()}
    await note_again(database, clock, **stray)
    with pytest.raises(
        PhaseError, match=r"2 changes \(insert\), the last write at .*; quiet for 0\.0 hours, of 7\.0 days"
    ):
        await retiring.quarantine()
    clock.ahead_s += 8 * DAY_S
    await note_again(database, clock)
    await retiring.quarantine()
    with pytest.raises(PhaseError, match=r"quiet for 0\.0 hours, of 7\.0 days"):
        await retiring.drop(**CONFIRM)
    clock.ahead_s += 8 * DAY_S
    await note_again(database, clock)
    await retiring.drop(**CONFIRM)


async def note_again(database: Any, clock: LaterClock, **more: Any) -> None:
    """Let the watch record its position again."""
    from lazymig.control.watching import Noted

    log = parts_of(control(database, clock)).watching("people")
    clock.ahead_s += 60  # behind the lease of before
    claim = await log.claim("me")
    assert claim is not None
    assert await log.note(claim, {"_data": "00"}, Noted(**more))


async def test_a_program_that_creates_v1_again_blocks_the_drop_and_the_way_back(database: Any) -> None:
    """A write under the old name is a stray one: nothing is dropped or renamed over it."""
    retiring = await to_quarantine(database)
    await database["v1"].insert_one({"_id": 9, "name": "Stray Writer"})
    with pytest.raises(PhaseError, match="exists again: a program wrote it"):
        await retiring.drop(**CONFIRM)
    with pytest.raises(PhaseError, match="exists again, because a program wrote it"):
        await retiring.restore()
    assert (await retiring.report()).blocked
    assert len(await names(database)) == 3


@SERVER
async def test_a_view_under_v1s_name_counts_as_v1_again(database: Any) -> None:
    """Readers of it would read V1 in quarantine: nothing is dropped or renamed while it is there."""
    retiring = await to_quarantine(database)
    await database.create_collection("v1", viewOn=(await record(database)).quarantine)
    with pytest.raises(PhaseError, match=r"v1 exists again"):
        await retiring.drop(**CONFIRM)
    with pytest.raises(PhaseError, match=r"v1 exists again"):
        await retiring.restore()
    assert (await retiring.report()).blocked
    await database["v1"].drop()
    assert (await retiring.restore()).stage == "serving"


@SERVER
async def test_only_the_collection_that_was_put_there_is_dropped(database: Any) -> None:
    """Another collection under the name in quarantine stays."""
    retiring = await to_quarantine(database)
    name = (await record(database)).quarantine
    await database[name].rename("elsewhere")
    await database[name].insert_one({"_id": 1})
    with pytest.raises(PhaseError, match="is not the collection that was put there"):
        await retiring.drop(**CONFIRM)
    with pytest.raises(PhaseError, match="V1 is neither"):
        await retiring.restore()
    assert await names(database) == {"v2", name, "elsewhere"}


async def test_without_v1_there_is_nothing_to_quarantine(database: Any) -> None:
    """Where somebody has dropped V1, retirement goes on with V2."""
    await filled(database)
    await database["v1"].drop()
    assert (await retirement(database).quarantine()).stage == "dropped"


async def test_two_operators_do_not_overwrite_each_other(database: Any) -> None:
    """A step that was recorded meanwhile wins."""
    await filled(database)
    retirements = parts_of(control(database)).retirement("people")
    seen = await retirements.find()
    await retirements.save(seen, evolve(seen, doing="quarantine"), by="one", what="x")
    for before in (seen, evolve(seen, version=7)):
        with pytest.raises(OvertakenError):
            await retirements.save(before, seen, by="two", what="x")
    assert (await record(database)).doing == "quarantine"


@pytest.mark.parametrize("driver", ["mock"])
async def test_another_v1_is_refused(database: Any) -> None:
    """The record is of one collection; a repository on another one must not go on with it."""
    await to_quarantine(database)
    with pytest.raises(ConfigurationError, match="this repository has"):
        await retirement(database, repo=repository(database, v1=database["other"])).report()


# ---- archives -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["old.bson", "old.bson.gz"])
async def test_a_file_holds_every_document(database: Any, tmp_path: Path, name: str) -> None:
    """As BSON documents, which `bson.decode_file_iter` reads."""
    retiring = await to_quarantine(database)
    report = await retiring.archive(tmp_path / name)
    assert report.archive == str(tmp_path / name)
    opening: Any = gzip.open if name.endswith("gz") else open
    with opening(tmp_path / name, "rb") as file:
        kept = list(bson.decode_file_iter(file))
    assert kept == await database[(await record(database)).quarantine].find().to_list(None)
    assert os.listdir(tmp_path) == [name]
    await retiring.drop(**CONFIRM)


async def test_an_archive_overwrites_nothing(database: Any, tmp_path: Path) -> None:
    """A place that is taken, a second archive, and a name that is none are refused."""
    retiring = await to_quarantine(database)
    taken = tmp_path / "taken.bson"
    taken.write_bytes(b"mine")
    for place in (taken, "v2", f"{database.name}.v2"):
        with pytest.raises(PhaseError, match="exists; name another place"):
            await retiring.archive(place)
    for place in (tmp_path / "x.txt", ".x", "x."):
        with pytest.raises(ConfigurationError, match="into: name"):
            await retiring.archive(place)
    await retiring.archive("once")
    with pytest.raises(PhaseError, match="archived already, in"):
        await retiring.archive("twice")
    assert taken.read_bytes() == b"mine"


async def test_a_copy_that_differs_is_no_archive(database: Any, tmp_path: Path) -> None:
    """What an earlier run left is compared, by count and by bytes, and nothing goes on before it is right."""
    retiring = await to_quarantine(database)
    parts = parts_of(control(database)).retirement("people")
    seen, path = await record(database), tmp_path / "old.bson"
    from lazymig.control.retirement import Archive

    await parts.save(seen, evolve(seen, doing="archive", archive=Archive("file", str(path))), by="", what="")
    stored = await database[seen.quarantine].find().to_list(None)
    for documents in (stored[:-1], [*stored[:-1], {**stored[-1], "age": 99}]):
        path.write_bytes(b"".join(map(bson.encode, documents)))
        with pytest.raises(LazymigError, match="or their bytes differ"):
            await retiring.archive(path)
        with pytest.raises(PhaseError, match="archive has begun and is not done"):
            await retiring.drop(**CONFIRM)
    path.write_bytes(b"".join(map(bson.encode, stored))[:-3])
    with pytest.raises(LazymigError, match="cannot be read as BSON documents"):
        await retiring.archive(path)
    path.unlink()
    assert (await retiring.archive(path)).archive


async def test_an_archive_that_cannot_be_made_does_not_keep_v1_away(database: Any, tmp_path: Path) -> None:
    """The error names the place; V1 gets its name back all the same, and may be archived elsewhere later."""
    retiring = await to_quarantine(database)
    (tmp_path / "file").touch()
    with pytest.raises(LazymigError, match=r"old\.bson cannot be written"):
        await retiring.archive(tmp_path / "file" / "old.bson")
    assert (await retiring.report()).interrupted == "archive"
    assert (await retiring.restore()).stage == "serving"
    assert await names(database) == {"v1", "v2"}
    await retiring.quarantine()
    assert (await retiring.archive(tmp_path / "old.bson")).archive


async def test_an_archive_is_verified_again_before_the_drop(database: Any, tmp_path: Path) -> None:
    """An archive that is gone or has changed, and a V1 that has changed since, stop the drop."""
    retiring = await to_quarantine(database)
    await retiring.archive("old")
    name = (await record(database)).quarantine
    await database["old"].update_one({"_id": 1}, {"$set": {"age": 99}})
    with pytest.raises(PhaseError, match="has changed since it was verified"):
        await retiring.drop(**CONFIRM)
    await database["old"].drop()
    with pytest.raises(PhaseError, match="is gone"):
        await retiring.drop(**CONFIRM)
    await database[name].update_one({"_id": 1}, {"$set": {"age": 98}})
    with pytest.raises(PhaseError, match="V1 has changed in quarantine"):
        await retiring.drop(**CONFIRM)
    assert name in await names(database)


# ---- what is left in V2 ---------------------------------------------------------------------------------------------


async def test_reduction_loses_no_write_beside_it(database: Any) -> None:
    """A write that read its entity before wins as it would have done."""
    retiring = await to_drop(database)
    repo = repository(database)

    async def reduced_meanwhile(person: PersonV2) -> PersonV2:
        await retiring.reduce(grace_s=0)
        return evolve(person, age=77)

    assert await repo.update(2, reduced_meanwhile) == ada(2, age=77)
    await repo.insert(ada(3, age=5))
    assert {person.id: person.age async for person in repo.list()} == {1: 36, 2: 77, 3: 5, 4: 36}
    await retiring.reduce(grace_s=0)
    assert {tuple(row[META]) async for row in database["v2"].find()} == {("rev", "intent")}


@SERVER
async def test_reduction_loses_no_write_of_many(database: Any) -> None:
    """Beside crossing writes, deletes and inserts, each write that was acknowledged stays counted."""
    retiring, repo = await to_drop(database), repository(database, max_attempts=1000)
    ids = range(100, 110)
    for id in ids:
        await repo.insert(ada(id, age=0))

    async def count(id: int) -> None:
        for _ in range(12):
            await repo.update(id, lambda person: evolve(person, age=(person.age or 0) + 1))
        await repo.delete(id + 1000)
        await repo.insert(ada(id + 1000, age=1))

    async def reduce_on() -> None:
        while not writers.done():
            await retiring.reduce(grace_s=0)

    for id in ids:
        await repo.insert(ada(id + 1000))
    await database["v2"].update_many({}, {"$set": {f"{META}.by": "sweep"}})
    writers = asyncio.gather(*(count(id) for id in (*ids, *ids)), return_exceptions=True)
    await reduce_on()
    lost = [one for one in await writers if one is not None and not isinstance(one, AlreadyExists | NotFound)]
    assert lost == []
    assert {id: person.age for id, person in (await repo.get_many(ids)).items()} == dict.fromkeys(ids, 24)
    assert all(person.age == 1 for person in (await repo.get_many([id + 1000 for id in ids])).values())


async def test_young_tombstones_stay(database: Any) -> None:
    """They are removed once they are older than the grace period, also by a later run."""
    retiring = await to_drop(database)
    done = await retiring.reduce()
    assert (done.tombstones, done.left) == (0, 1)
    await retiring.finish()
    assert (await retiring.reduce(grace_s=0)).tombstones == 1
    assert (await record(database)).stage == "retired"
    with pytest.raises(ConfigurationError, match="grace_s"):
        await retiring.reduce(grace_s=-1)


async def test_an_open_write_is_not_reduced(database: Any) -> None:
    """Its mark is needed to find it."""
    retiring = await to_drop(database)
    await database["v2"].update_one({"_id": 1}, {"$inc": {f"{META}.intent": 1}, "$set": {f"{META}.at": NEVER}})
    await retiring.reduce(grace_s=0)
    assert (await database["v2"].find_one({"_id": 1}))[META]["at"] == NEVER


async def test_reduction_goes_on_where_it_was_stopped(database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the last id of each batch, of whatever type it is."""
    monkeypatch.setattr("lazymig.retiring.reduction._BATCH", 1)
    retiring = await to_drop(database)
    await database["v2"].insert_one({"_id": None, "x": 1, META: {"rev": 1, "intent": 1, "by": "sweep"}})
    stopped = retirement(database)
    done = await stopped.reduce(grace_s=0, on_progress=lambda found: stopped.stop() if found.scanned == 2 else None)
    assert (done.scanned, done.finished) == (2, False)
    assert (await retiring.report()).interrupted == "reduce"
    with pytest.raises(PhaseError, match="reduce has begun and is not done"):
        await retiring.finish()
    rest = await retiring.reduce(grace_s=0)
    assert (rest.scanned, rest.finished) == (3, True)


async def test_strip_takes_everything_out(database: Any, driver: str) -> None:
    """Only confirmed by name; then V2 holds plain documents, and lazymig has nothing more to do there."""
    retiring = await to_drop(database)
    for text in (None, "yes"):
        with pytest.raises(ConfigurationError, match="no process can use V2 through lazymig any more"):
            await retiring.reduce(strip=True, confirm=text)
    assert (await retiring.reduce(strip=True, **CONFIRM)).finished
    assert all(META not in row for row in await database["v2"].find().to_list(None))
    assert [row["_id"] async for row in database["v2"].find()] == [1, 2, 4]
    with pytest.raises(PhaseError, match="nothing is left to reduce"):
        await retiring.reduce()
    assert (await retiring.finish()).stage == "retired"
    # There is no V1 to adopt from, so nobody is sent there.
    left = Repository(people(), v1=database["v1"], v2=database["v2"], phase=Phase.V2_ONLY)
    if driver != "mock":  # which needs no check
        with pytest.raises(ConfigurationError, match="--strip was run, use V2 without lazymig") as caught:
            await left.check()
        assert "--adopt" not in str(caught.value)
    await database["v2"].delete_many({"_id": {"$gt": 1}})  # so few are no back-fill
    with pytest.raises(ForeignDocument, match=r"in v2_only remove it .* or, if .* --strip was run, use V2 without"):
        await left.get(1)


@pytest.mark.parametrize("driver", ["mock"])
async def test_strip_is_refused_while_a_process_lives(database: Any) -> None:
    """One whose heartbeat goes on during its lease; a dead one does not count."""
    await to_drop(database)
    parts = parts_of(control(database))
    await parts.phases("people").begin(Phase.V2_ONLY, by="me", why="")
    async with Repository(people(), v1=database["v1"], v2=database["v2"], phase=control(database)) as repo:
        await repo.get(1)
        (member,) = await parts.members("people").find_all()
    await parts.members("people").register(member)

    class Waiting(LaterClock):
        def __init__(self, beats: int) -> None:
            super().__init__()
            self.beats = beats

        async def sleep(self, delay_s: float) -> None:
            assert delay_s > member.lease_s
            await parts.members("people").renew(evolve(member, beat=member.beat + self.beats))

    with pytest.raises(PhaseError, match="1 processes still use V2"):
        await retirement(database, clock=Waiting(1)).reduce(strip=True, **CONFIRM)
    assert (await database["v2"].find_one({"_id": 1}))[META]
    await parts.members("people").renew(member)
    assert (await retirement(database, clock=Waiting(0)).reduce(strip=True, **CONFIRM)).finished


@SERVER
async def test_finish_removes_the_fence_and_the_indexes_that_are_lazymigs(database: Any) -> None:
    """The user's own validator and indexes stay."""
    own = {"first": {"$type": "string"}}
    retiring = await to_drop(database)
    await database.command("collMod", "v2", validator=own, validationLevel="moderate")
    await MongoFence(database["v2"], "v2").put_up("key", 5.0)
    await repository_indexes(database)
    await retiring.reduce(grace_s=0)
    await retiring.finish()
    (found,) = await (await database.list_collections(filter={"name": "v2"})).to_list(None)
    assert (found["options"]["validator"], found["options"]["validationLevel"]) == (own, "moderate")
    assert set(await database["v2"].index_information()) == {"_id_", "mine"}


@pytest.mark.parametrize("ability", [Ability.STANDS, Ability.BUSY, Ability.FORBIDDEN], ids=str)
@pytest.mark.parametrize("driver", ["mock"])
async def test_a_fence_that_cannot_be_removed_stops_the_end(
    database: Any, monkeypatch: pytest.MonkeyPatch, ability: Ability
) -> None:
    """The error says what to do, and the step can be run again."""
    retiring = await to_drop(database)
    await retiring.reduce(grace_s=0)

    async def refuse(_: MongoFence, within_s: float) -> Barrier:
        return Barrier("v2", "v2", ability)

    with monkeypatch.context() as patched:
        patched.setattr(MongoFence, "take_down", refuse)
        with pytest.raises(LazymigError, match="V2's fence is not removed"):
            await retiring.finish()
    assert (await record(database)).stage == "reduced"
    assert (await retiring.finish()).stage == "retired"


async def repository_indexes(database: Any) -> None:
    await database["v2"].create_index("_lazymig.at", name="lazymig_at", sparse=True)
    await database["v2"].create_index("first", name="mine")


# ---- interruptions --------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """The process is gone."""


class Counting:
    """Kills at the n-th statement of the steps' own stores."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = -1
        for home, names_ in STATEMENTS.items():
            for name in names_:
                self._wrap(monkeypatch, home, name)

    def _wrap(self, monkeypatch: pytest.MonkeyPatch, home: str, name: str) -> None:
        from importlib import import_module

        module, _, kind = home.rpartition(".")
        cls = getattr(import_module(module), kind)
        plain = getattr(cls, name)

        async def counted(this: Any, *args: Any, **options: Any) -> Any:
            self._step()
            answer = await plain(this, *args, **options)
            self._step()  # and behind it: the answer never arrives
            return answer

        monkeypatch.setattr(cls, name, counted)

    def _step(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise Killed


STATEMENTS = {
    "lazymig.control.retirement.Retirements": ["save", "remove_others"],
    "lazymig.stores.moving_away.Removable": ["rename", "drop", "remove_index"],
    "lazymig.stores.archives.Archived": ["copy_into", "write_to", "digest"],
    "lazymig.stores.field_removal.FieldRemoval": ["remove"],
    "lazymig.stores.reducing.Reducing": ["reduce"],
    "lazymig.stores.fences.MongoFence": ["take_down"],
}


STAGES = {
    "quarantine": "quarantined",
    "restore": "serving",
    "quarantine again": "quarantined",
    "archive": "quarantined",
    "drop": "dropped",
    "reduce": "reduced",
    "finish": "retired",
}


@SERVER
@pytest.mark.parametrize("kind", ["collection", "file"] if WIDENING.full else ["file"])
async def test_killed_at_any_statement_it_resumes(
    database: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """After any statement, the same step again brings it to the same end; nothing is lost before."""
    counting = Counting(monkeypatch)
    steps = {
        "quarantine": lambda one: one.quarantine(),
        "restore": lambda one: one.restore(),
        "quarantine again": lambda one: one.quarantine(),
        "archive": lambda one: one.archive("old" if kind == "collection" else tmp_path / "old.bson"),
        "drop": lambda one: one.drop(**CONFIRM),
        "reduce": lambda one: one.reduce(grace_s=0),
        "finish": lambda one: one.finish(),
    }
    await filled(database)
    held = await database["v1"].find().to_list(None)
    kills = 0
    for name, step in steps.items():
        at, finished = 1, False
        while not finished:
            counting.left = at
            try:
                await step(retirement(database))
                finished = True
            except Killed:
                kills, at = kills + 1, at + 1
            except PhaseError:  # the step before was killed behind its last statement
                finished = at > 1 and not (await record(database)).doing
                assert finished
            counting.left = -1
            await check_kept(database, tmp_path, held, name)
        assert (await record(database)).stage == STAGES[name]
    assert kills > 25
    assert await names(database) == ({"v2", "old"} if kind == "collection" else {"v2"})


async def check_kept(database: Any, folder: Path, held: list[Any], step: str) -> None:
    """V1's documents are in exactly one place until they may be dropped, and in the archive then."""
    places = [name for name in await names(database) if name.startswith("v1")]
    if step not in ("drop", "reduce", "finish"):
        (place,) = places
        assert await database[place].find().to_list(None) == held
    elif not places:
        stored = await database["old"].find().to_list(None)
        file = folder / "old.bson"
        assert (stored or bson.decode_all(file.read_bytes())) == held


@SERVER
async def test_a_killed_step_must_be_finished_first(database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """No other step begins between."""
    counting = Counting(monkeypatch)
    retiring = await to_quarantine(database)
    counting.left = 3
    with pytest.raises(Killed):
        await retiring.restore()
    counting.left = -1
    with pytest.raises(PhaseError, match="restore has begun and is not done; run lazymig retire restore again"):
        await retiring.drop(**CONFIRM)
    assert (await retiring.report()).interrupted == "restore"
    await retiring.restore()


async def test_a_release_that_no_longer_knows_v1_goes_on_once_v1_is_gone(database: Any) -> None:
    """Before, it must not take V1 for dropped; after, it reduces and finishes."""
    await filled(database)
    migration: Any = Migration.finished("people", v2=PersonV2)
    later = Repository(migration, v2=database["v2"], phase=Phase.V2_ONLY)
    for step in ("report", "quarantine", "watch", "reduce", "finish"):
        with pytest.raises(PhaseError, match="no longer knows V1, and V1 is not dropped"):
            await getattr(retirement(database, repo=later), step)()
    await retirement(database).quarantine()
    await retirement(database).drop(**CONFIRM)
    with pytest.raises(PhaseError, match="V1 is gone"):
        await retirement(database, repo=later).watch()
    await retirement(database, repo=later).reduce(grace_s=0)
    assert (await retirement(database, repo=later).finish()).code == ()


@SERVER
async def test_views_of_v1_are_named(database: Any) -> None:
    """They read it by its name, and find nothing from quarantine on."""
    await filled(database)
    await database.create_collection("recent", viewOn="v1", pipeline=[])
    assert any("the view recent reads V1" in one for one in (await retirement(database).report()).warnings)


@SERVER
async def test_ttl_indexes_of_v1_are_named(database: Any) -> None:
    """The server deletes by them, in quarantine too, which the watch and the archive would blame on a program."""
    await filled(database)
    await database["v1"].create_index("born", expireAfterSeconds=3600)
    retiring = retirement(database)
    for report in (await retiring.report(), await retiring.quarantine()):
        assert any("the TTL index born_1 of" in warning for warning in report.warnings)


@pytest.mark.parametrize("driver", ["mock"])
async def test_the_report_names_lines_that_may_go(database: Any) -> None:
    """V1's class and both conversions with file and line, and what takes their place."""
    await filled(database)
    clock = LaterClock()
    await quiet(database, clock)
    report = await retirement(database, clock=clock).report()
    text = "\n".join(report.code)
    for expected in ("people.py:", "class PersonV1 (v1)", "in split (upgrade)", "in join (downgrade)"):
        assert expected in text
    assert "Migration.finished('people', v2=PersonV2)" in text
    assert any("V1" in one and "3 documents" in one for one in report.goes)
