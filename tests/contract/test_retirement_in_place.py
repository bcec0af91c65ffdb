"""The end of V1's fields where one document carries both shapes: reduced, lifted, stripped, finished."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from itertools import count
from pathlib import Path
from typing import Any

import bson
import pytest
from attrs import evolve
from pymongo import WriteConcern

from lazymig import (
    LEAVE,
    ConfigurationError,
    Control,
    ConversionError,
    Criteria,
    Leave,
    Migration,
    NotYet,
    Phase,
    PhaseError,
    Repository,
    Retirement,
)
from lazymig.control import parts_of
from lazymig.control.phases import Phases
from lazymig.control.retirement import Retirements
from lazymig.repository import calls_of
from lazymig.retiring.conditions import NotMet
from lazymig.retiring.in_place import reduction
from lazymig.stores.mongo_wholes import WholeStore
from tests.people import PersonV1, PersonV2, ada, ada_v1, people, split
from tests.whole_people import META, ORDER, WITHIN, whole

on_both = pytest.mark.parametrize("driver", ["pymongo", "mock"])
on_server = pytest.mark.parametrize("driver", ["pymongo"])
in_memory = pytest.mark.parametrize("driver", ["mock"])
each_place = pytest.mark.parametrize("placed", [{}, WITHIN], ids=["at the top", "within"])
CONFIRMED = {"confirm": "people"}
FINISHED: Migration[Any, Any] = Migration.finished("people", v2=PersonV2)


async def begun(database: Any, phase: Phase = Phase.V2_ONLY) -> None:
    """Record the phase."""
    await parts_of(Control(database["lazymig_control"])).phases("people").begin(phase, **ORDER)


def retirement(database: Any, **options: Any) -> Retirement[Any, Any]:
    """The retirement of the people; nobody watches, and no time must pass."""
    repo = options.pop("repo", None) or whole(database, migration=options.pop("migration", None) or people())
    return Retirement(repo, **{"unwatched": True, "soak_s": 0.0, "by": "me"} | options)


async def filled(database: Any, migration: Migration[Any, Any]) -> dict[int, PersonV2]:
    """Documents in every state: of lazymig, converted, behind an outside write, never read, and V2's alone."""
    await database["people"].insert_many([ada_v1(id) for id in (2, 3, 4, 5)])
    repo = whole(database, Phase.V2_PRIMARY, migration=migration)
    await repo.insert(ada(1, note="mine"))
    for id in (2, 3, 5):
        await repo.get(id)
    await database["people"].update_one({"_id": 3}, {"$set": {"name": "Grace Hopper"}})
    alone = whole(database, Phase.V2_ONLY, migration=migration)
    await alone.update(5, lambda person: evolve(person, first="Augusta", age=37))
    await alone.insert(ada(6, note="born alone"))
    await database["people"].update_one({"_id": 6}, {"$set": {"shoe_size": 40}})
    return {
        1: ada(1, note="mine"), 2: ada(2), 3: ada(3, first="Grace", last="Hopper"), 4: ada(4),
        5: ada(5, first="Augusta", age=37), 6: ada(6, note="born alone"),
    }  # fmt: skip


async def settled(repo: Repository[Any, Any]) -> None:
    """Let the majority have what reads have stored, which they do not wait for."""
    other = repo.collections.v1.database["other"].with_options(write_concern=WriteConcern("majority"))  # type: ignore[union-attr]
    made = other.insert_one({})
    if isawaitable(made):  # not in memory, where nothing replicates
        await made


async def held(repo: Repository[Any, Any]) -> dict[int, PersonV2]:
    """The entities, as each kind of read answers them."""
    listed = {person.id: person async for person in repo.list()}
    await settled(repo)
    assert await repo.get_many(listed) == listed
    assert {id: await repo.get(id) for id in listed} == listed
    assert await repo.count() == len(listed)
    for person in listed.values():
        found = [one.id async for one in repo.list(Criteria(v1={"name": "-"}, v2={"first": person.first}))]
        assert found == [one.id for one in listed.values() if one.first == person.first]
        assert await repo.count(Criteria(v1={"name": "-"}, v2={"first": person.first})) == len(found)
    return listed


@on_both
@each_place
async def test_each_document_keeps_v2s_part_alone(database: Any, placed: dict[str, str]) -> None:
    """Only V1's own fields go; outside writes before still count; a finished release and a stripped one work on it."""
    migration = people(**placed)
    expected = await filled(database, migration)
    await begun(database)
    async with whole(database, migration=migration) as repo:
        assert await held(repo) == expected | {3: ada(3, first="Grace", last="Hopper")}
        done = await retirement(database, migration=migration).reduce(**CONFIRMED)
        assert (done.finished, done.failed, done.kept, done.scanned, done.reduced) == (True, 0, 0, 6, 6)
        for document in await database["people"].find({}).to_list(None):
            person = expected[document["_id"]]
            meta = document.pop(META)
            assert meta.pop("rev") > 0
            assert meta == {"alone": "people"} | ({"lifted": True} if placed else {})
            assert document.pop("shoe_size", 38) in (38, 40)  # no class knows it
            assert document == {
                "_id": person.id, "first": person.first, "last": person.last, "age": person.age, "tags": person.tags,
                "note": person.note,
            }  # fmt: skip
        assert await held(repo) == expected
        assert (await repo.v1.get(1)) == PersonV1(1, "Ada Lovelace", 36, ["math"])
        await repo.insert(ada(7))
        expected |= {7: ada(7), 2: await repo.update(2, lambda person: evolve(person, age=99))}
    async with whole(database, migration=FINISHED) as repo:
        assert await held(repo) == expected
        await repo.insert(ada(8))
        await repo.delete(1)
        expected = {id: one for id, one in expected.items() if id != 1} | {8: ada(8)}
    async with whole(database, migration=migration) as repo:  # beside the finished release
        assert await held(repo) == expected
        assert [person.id async for person in repo.list(sort="-age", limit=1)] == [2]
        repeated = await retirement(database, migration=migration).reduce()
        assert (repeated.finished, repeated.failed) == (True, 0)
        assert await held(repo) == expected
    gone = retirement(database, migration=FINISHED)
    assert (await gone.finish()).stage == "retired"
    assert (await gone.reduce(strip=True, **CONFIRMED)).reduced == len(expected)
    assert not await database["people"].count_documents({META: {"$exists": True}})
    async with whole(database, migration=FINISHED) as repo:
        assert await held(repo) == expected
        assert (await repo.update(8, lambda person: evolve(person, age=1))).age == 1
    report = await gone.report()
    assert (report.stage, report.next, report.in_place) == ("retired", "", True)
    said = " ".join(report.history)
    assert "V1's fields taken out of 6 documents" in said
    assert "finished" in said


@on_both
async def test_what_upgrade_leaves_and_what_was_waived_stays(database: Any) -> None:
    """An entity that is left, and one whose failure was waived, keep V1's fields; others that fail block the end."""

    def judge(v1: PersonV1) -> PersonV2 | Leave:
        if v1.name == "left":
            return LEAVE
        if v1.name == "waits":
            raise NotYet("of its user")
        return split(v1)

    migration = people(upgrade=judge)
    names = {1: "left", 2: "Ada", 3: "Ada Lovelace", 4: "waits"}
    await database["people"].insert_many([ada_v1(id, name=name) for id, name in names.items()])
    await begun(database)
    work = retirement(database, migration=migration)
    done = await work.reduce(**CONFIRMED)
    assert (done.finished, done.reduced, done.kept, done.failed) == (True, 1, 1, 2)
    assert done.failures == ("2: upgrade: ValueError", "4: it waits for its user (NotYet)")
    assert ((await work.report()).stage, (await work.report()).next) == ("serving", "reduce")
    stored = {one["_id"]: one for one in await database["people"].find({}).to_list(None)}
    assert {id: stored[id]["name"] for id in (1, 2, 4)} == {1: "left", 2: "Ada", 4: "waits"}
    assert "name" not in stored[3]
    await database["people"].update_one({"_id": 4}, {"$set": {"name": "Grace Hopper"}})
    control = Control(database["lazymig_control"])
    await _die(control)
    with pytest.raises(NotMet, match="1 entities have V1's part alone, because they never converted"):
        await work.reduce(**CONFIRMED)
    assert await control.waive("people", 2, "nobody needs it")
    done = await work.reduce(**CONFIRMED)
    assert (done.kept, done.failed) == (2, 0)
    with pytest.raises(PhaseError, match="2 documents still have V1's part"):
        await work.reduce(strip=True, **CONFIRMED)
    async with whole(database, migration=migration) as repo:
        assert await repo.get(1) is None
        with pytest.raises(ConversionError):
            await repo.get(2)
    async with whole(database, migration=FINISHED) as repo:
        assert await repo.get(1) is None
        with pytest.raises(ConversionError, match="cannot read the V2 document with id 2"):
            await repo.get(2)
    assert (await work.finish()).stage == "retired"


@on_both
async def test_a_release_without_v1_refuses_what_is_not_reduced(database: Any) -> None:
    """In a fixed phase too, a document that still has both parts is neither read nor written without V1's class."""
    await filled(database, people())
    before = await database["people"].find_one({"_id": 3})
    repo = whole(database, Phase.V2_ONLY, migration=FINISHED)
    for call in (repo.get(3), repo.update(3, lambda person: evolve(person, age=1))):
        with pytest.raises(ConversionError, match="run lazymig retire reduce with the release that has both classes"):
            await call
    assert await database["people"].find_one({"_id": 3}) == before
    assert await repo.get(5) == ada(5, first="Augusta", age=37)


async def _die(control: Control) -> None:
    from lazymig.stores.records import DeadLetter

    letter = DeadLetter("people", 2, 0, "upgrade", "ValueError", "no", "", None, None, 1, None, "")
    await parts_of(control).letters.record([letter])


@in_memory
async def test_steps_that_make_no_sense_are_refused(database: Any) -> None:
    """Quarantine, restore and drop are refused with the reason, each step before its time, and all before V2_ONLY."""
    await begun(database)
    work = retirement(database)
    steps: list[Callable[[], Awaitable[Any]]] = [
        work.quarantine, work.restore, lambda: work.drop(**CONFIRMED)
    ]  # fmt: skip
    for step in steps:
        with pytest.raises(PhaseError, match="both shapes are in one collection, which stays"):
            await step()
    for step in (work.finish, lambda: work.reduce(strip=True, **CONFIRMED)):
        with pytest.raises(PhaseError, match="run lazymig retire reduce first"):
            await step()
    for wrong in (None, "others"):
        with pytest.raises(ConfigurationError, match="confirm it by the migration's name, people"):
            await work.reduce(confirm=wrong)
    with pytest.raises(NotMet, match="quiet V1: nobody watches V1"):
        await retirement(database, unwatched=False).reduce(**CONFIRMED)
    with pytest.raises(PhaseError, match=r"which no longer knows V1, and V1's fields are not"):
        await retirement(database, migration=FINISHED).report()
    async with whole(database, migration=FINISHED) as repo:
        with pytest.raises(PhaseError, match="V1's fields are not taken out of all documents"):
            await repo.get(1)
    with pytest.raises(PhaseError, match="in the phase coexist V1 is needed"):
        await retirement(database, repo=whole(database, Phase.COEXIST), control=Control(database["other"])).report()


@in_memory
async def test_what_is_shown_before(database: Any) -> None:
    """The report names what goes and what to know, and changes nothing; a strict index is called out."""
    await filled(database, people())
    await begun(database)
    for document in await database["people"].find({}).to_list(None):
        await database["people"].update_one({"_id": document["_id"]}, {"$set": {"name": f"A {document['_id']}"}})
    await database["people"].create_index("name", unique=True)
    before = await database["people"].find({}).to_list(None)
    report = await retirement(database).report()
    assert (report.stage, report.next, report.blocked) == ("serving", "reduce", False)
    assert "V1's own fields (name) of 6 documents" in report.goes[0]
    assert any("the index name_1 is on fields that go: it refuses" in line for line in report.warnings)
    assert any("not archived" in line for line in report.warnings)
    assert not any("v1=..." in line for line in report.code)
    assert await database["people"].find({}).to_list(None) == before


@on_both
@pytest.mark.parametrize("kind", ["collection", "file"])
async def test_v1s_fields_are_archived_beside_the_service(
    database: Any, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy has `_id` and V1's own fields of documents that have any; it is compared, and again before they go."""
    await filled(database, people())
    await begun(database)
    work, into = retirement(database), tmp_path / "people.bson.gz" if kind == "file" else "old"
    report = await work.archive(into)
    assert report.archive == (str(into) if kind == "file" else f"{database.name}.old")
    names = {1: "Ada Lovelace", 2: "Ada Lovelace", 3: "Grace Hopper", 4: "Ada Lovelace", 5: "Ada Lovelace"}
    if isinstance(into, Path):
        import gzip

        copied = bson.decode_all(gzip.decompress(into.read_bytes()))
    else:
        copied = await database["old"].find({}).to_list(None)
        assert "old_lazymig_part" not in await database.list_collection_names()
    assert {one["_id"]: one for one in copied} == {id: {"_id": id, "name": name} for id, name in names.items()}
    assert (await work.archive(into)).archive == report.archive
    with pytest.raises(PhaseError, match="archived already"):
        await work.archive("elsewhere")
    if kind == "collection":
        await database["old"].delete_one({"_id": 1})
        with pytest.raises(PhaseError, match=r"the archive .*\.old has changed since it was verified"):
            await work.reduce(**CONFIRMED)
        await database["old"].drop()
        with pytest.raises(PhaseError, match=r"the archive .*\.old is gone"):
            await work.reduce(**CONFIRMED)
        await database["old"].insert_many(copied)
    assert (await work.reduce(**CONFIRMED)).finished


@pytest.mark.parametrize("kind", ["file", "collection"])
@on_both
async def test_an_archive_of_no_fields_stops_nothing(kind: str, database: Any, tmp_path: Path) -> None:
    """Where no document has a field of V1's own, the archive is empty, and the fields may go."""
    await begun(database)
    repo = whole(database, Phase.V2_ONLY)
    await repo.insert(ada(1))
    work = retirement(database)
    await work.archive(tmp_path / "old.bson" if kind == "file" else "old")
    assert (await work.reduce(**CONFIRMED)).finished
    assert await repo.get(1) == ada(1)


@in_memory
async def test_an_archive_that_was_cut_off_starts_over(database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the process dies between the copy and its record, the same command copies again what is there by then."""
    await filled(database, people())
    await begun(database)
    from lazymig.retiring.in_place.ground import PlaceGround

    async def die(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(PlaceGround, "end", die)
        with pytest.raises(KeyboardInterrupt):
            await retirement(database).archive("old")
    await whole(database, Phase.V2_ONLY).delete(2)
    assert (await retirement(database).report()).interrupted == "archive"
    with pytest.raises(PhaseError, match="archive has begun and is not done"):
        await retirement(database).reduce(**CONFIRMED)
    await retirement(database).archive("old")
    assert await database["old"].distinct("_id") == [1, 3, 4, 5]


@on_both
async def test_lifting_refuses_to_cover_a_field_that_no_class_knows(database: Any) -> None:
    """A field of somebody else at the top, with the name of one of V2's, stays; the document is reported by its id."""
    migration = people(**WITHIN)
    await filled(database, migration)
    await begun(database)
    await database["people"].update_one({"_id": 2}, {"$set": {"note": "of another program"}})
    done = await retirement(database, migration=migration).reduce(**CONFIRMED)
    assert (done.finished, done.reduced, done.failed) == (True, 5, 1)
    assert done.failures == ("2: upgrade: Rejected at note",)
    document = await database["people"].find_one({"_id": 2})
    assert (document["name"], document["note"]) == ("Ada Lovelace", "of another program")
    async with whole(database, migration=migration) as repo:  # in both places by now, and found in both
        assert {person.id async for person in repo.list(Criteria(v1={}, v2={"last": "Lovelace"}))} == {1, 2, 4, 5, 6}
    await database["people"].update_one({"_id": 2}, {"$unset": {"note": ""}})
    done = await retirement(database, migration=migration).reduce(**CONFIRMED)
    assert (done.failed, done.reduced) == (0, 1)


@in_memory
async def test_lifting_needs_processes_that_follow(database: Any) -> None:
    """In a fixed phase no process would learn that V2's fields have left their sub-document, so that is refused."""
    repo = whole(database, Phase.V2_ONLY, migration=people(**WITHIN))
    with pytest.raises(NotMet, match=r"pass phase=lazymig\.Control"):
        await retirement(database, repo=repo).reduce(**CONFIRMED)
    plain = whole(database, Phase.V2_ONLY)
    assert (await retirement(database, repo=plain).reduce(**CONFIRMED)).finished


@on_server
async def test_a_process_in_a_fixed_phase_does_not_work_beside_the_lift(database: Any) -> None:
    """It refuses its first call; what one stored that was there already is found before lazymig's rows go."""
    migration = people(**WITHIN)
    await begun(database)
    there = whole(database, Phase.V2_ONLY, migration=migration)
    await there.insert(ada(1))
    work = retirement(database, migration=migration)
    assert (await work.reduce(**CONFIRMED)).reduced == 1
    with pytest.raises(PhaseError, match="a process with a fixed phase does not know where they are"):
        await whole(database, Phase.V2_ONLY, migration=migration).get(1)
    await there.insert(ada(2))
    with pytest.raises(PhaseError, match="1 documents still have the sub-document profile"):
        await work.finish()
    assert (await work.reduce()).reduced == 1
    assert (await work.finish()).stage == "retired"
    async with whole(database, migration=FINISHED) as repo:
        assert await held(repo) == {1: ada(1), 2: ada(2)}


@on_server
async def test_an_index_of_the_sub_document_needs_one_at_the_top(database: Any) -> None:
    """Listings go by the top once V2's fields are there, so each index of the sub-document needs a counterpart."""
    await begun(database)
    work = retirement(database, migration=people(**WITHIN))
    await database["people"].create_index([("profile.last", 1), ("profile.first", -1)])
    with pytest.raises(NotMet, match=r'createIndex\({"last": 1, "first": -1}\)'):
        await work.reduce(**CONFIRMED)
    await database["people"].create_index([("last", 1), ("first", -1)])
    assert (await work.reduce(**CONFIRMED)).finished


@on_both
async def test_processes_follow_each_step_of_the_lift(database: Any) -> None:
    """Two processes, one step apart: each finds what the other stores, by criteria and count; sorting waits."""
    migration = people(**WITHIN)
    expected = await filled(database, migration)
    await begun(database)
    phases = parts_of(Control(database["lazymig_control"])).phases("people")
    behind, ahead = whole(database, migration=migration), whole(database, migration=migration)
    async with behind, ahead:
        assert await held(behind) == await held(ahead)
        for number, lift in enumerate(("asked", "under way"), 10):
            standing = await phases.find()
            assert standing is not None
            await phases.change(standing, settings={"lift": lift, "lift_epoch": standing.epoch + 1})
            await calls_of(ahead).stages.member.exchange()  # type: ignore[attr-defined]
            for repo, id in ((behind, number * 10), (ahead, number * 10 + 1)):
                await repo.insert(ada(id, first=f"F{id}"))
                expected[id] = ada(id, first=f"F{id}")
            assert await held(ahead) == await held(behind) == expected
            with pytest.raises(PhaseError, match="list in the order of ids"):
                [person async for person in ahead.list(sort="age")]
            await calls_of(behind).stages.member.exchange()  # type: ignore[attr-defined]
        born = await database["people"].find_one({"_id": 111})
        assert (born["first"], born[META]["lifted"]) == ("F111", True)
        assert (await retirement(database, migration=migration).reduce(**CONFIRMED)).failed == 0
        for repo in (behind, ahead):
            assert await held(repo) == expected
            assert [person.id async for person in repo.list(sort="age")][-1] == 5


@on_both
async def test_a_listing_goes_on_while_v2s_parts_are_lifted(database: Any) -> None:
    """A listing that began before the lift gives each entity once, although its documents change place meanwhile."""
    migration = people(**WITHIN)
    await begun(database)
    repo = whole(database, migration=migration)
    async with repo:
        for id in range(250):
            await repo.insert(ada(id))
        listing = repo.list(Criteria(v1={}, v2={"last": "Lovelace"}))
        first = [(await anext(listing)).id for _ in range(3)]  # type: ignore[call-overload]
        assert (await retirement(database, migration=migration).reduce(**CONFIRMED)).reduced == 250
        assert first + [person.id async for person in listing] == list(range(250))


@on_both
async def test_the_way_back_is_a_migration_of_its_own(database: Any) -> None:
    """Once `_lazymig` is taken out, the reversed migration runs in the same collection, from V1_ONLY on."""
    expected = await filled(database, people())
    await begun(database)
    work = retirement(database)
    await work.reduce(**CONFIRMED)
    await work.reduce(strip=True, **CONFIRMED)
    back = people().reversed("people_back")
    first = whole(database, Phase.V1_ONLY, migration=back)
    assert await first.get(3) == PersonV1(3, "Grace Hopper", 36, ["math"])
    repo = whole(database, Phase.COEXIST, migration=back)
    assert (await repo.update(3, lambda person: evolve(person, name="Grace Murray"))).name == "Grace Murray"
    assert await repo.v1.get(3) == evolve(expected[3], last="Murray")
    document = await database["people"].find_one({"_id": 3})
    assert (document["name"], document["last"], document["shoe_size"]) == ("Grace Murray", "Murray", 38)


@on_server
async def test_an_outside_insert_behind_the_pass_blocks_the_end(database: Any) -> None:
    """A document that another program stored after the pass is found before lazymig's rows go."""
    await filled(database, people())
    await begun(database)
    work = retirement(database)
    await work.reduce(**CONFIRMED)
    await database["people"].insert_one(ada_v1(99))
    with pytest.raises(PhaseError, match="1 documents still have V1's part"):
        await work.finish()
    await work.reduce()
    assert (await work.finish()).stage == "retired"


@on_server
async def test_a_validator_that_wants_v1s_fields_is_reported(database: Any) -> None:
    """What the server refuses is reported by id and reason; nothing is lost, and the next run takes it."""
    await filled(database, people())
    await begun(database)
    await database.command("collMod", "people", validator={"name": {"$exists": True}})
    done = await retirement(database).reduce(**CONFIRMED)
    assert (done.failed, "validator" in done.failures[0]) == (6, True)
    await database.command("collMod", "people", validator={})
    assert (await retirement(database).reduce(**CONFIRMED)).failed == 0


@on_both
@each_place
async def test_a_write_between_the_look_and_the_statement_counts(
    database: Any, placed: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another program, or a process, writes in that moment is taken, and nothing of it is overwritten."""
    migration = people(**placed)
    expected = await filled(database, migration)
    await begun(database)
    repo = whole(database, migration=migration)
    fill_each, meanwhile = WholeStore.fill_each, 0

    async def after_others(self: WholeStore, changes: Any, **options: Any) -> Any:
        nonlocal meanwhile
        meanwhile += 1
        if meanwhile == 1:
            await database["people"].update_one({"_id": 4}, {"$set": {"name": "Grace Hopper"}})  # without a revision
            await repo.update(5, lambda person: evolve(person, note="late"))
            await repo.delete(6)
            await repo.update(1, lambda person: evolve(person, age=50))
        return await fill_each(self, changes, **options)

    monkeypatch.setattr(WholeStore, "fill_each", after_others)
    async with repo:
        done = await retirement(database, migration=migration).reduce(**CONFIRMED)
    assert (done.finished, done.failed, meanwhile) == (True, 0, 2)
    expected |= {
        4: ada(4, first="Grace", last="Hopper"),
        5: evolve(expected[5], note="late"),
        1: ada(1, age=50, note="mine"),
    }
    del expected[6]
    async with whole(database, migration=FINISHED) as finished:
        assert await held(finished) == expected


@in_memory
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
async def test_a_pass_that_is_cut_off_anywhere_goes_on(
    database: Any, before: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut off before or after each of its statements, in documents and in the record, the next run ends the same."""
    monkeypatch.setattr(reduction, "_BATCH", 2)
    migration, countdown = people(**WITHIN), 0

    def cut(method: Any) -> Any:
        async def cutting(*given: Any, **options: Any) -> Any:
            nonlocal countdown
            countdown -= 1
            if countdown == 0 and before:
                raise KeyboardInterrupt
            answer = await method(*given, **options)
            if countdown == 0:
                raise KeyboardInterrupt
            return answer

        return cutting

    for owner, name in ((WholeStore, "fill_each"), (Retirements, "save"), (Phases, "change")):
        monkeypatch.setattr(owner, name, cut(getattr(owner, name)))
    for moment in count(1):
        for collection in ("people", "lazymig_control"):
            await database[collection].delete_many({})
        expected = await filled(database, migration)
        await begun(database)
        countdown = moment
        try:
            await retirement(database, migration=migration).reduce(**CONFIRMED)
        except KeyboardInterrupt:
            async with whole(database, migration=migration) as repo:
                assert {person.id: person async for person in repo.list()} == expected
            assert (await retirement(database, migration=migration).reduce(**CONFIRMED)).finished
        else:
            break
        async with whole(database, migration=FINISHED) as finished:
            assert await held(finished) == expected
    assert moment > 10
