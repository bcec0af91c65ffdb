"""Bad input: a clear error, and nothing sent to the server. Conversion errors: they tell everything but contents."""

from __future__ import annotations

import logging
import pickle
import traceback
from collections.abc import Callable
from typing import Any

import bson
import pytest
from attrs import evolve
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient
from pymongo.write_concern import WriteConcern

import lazymig
from lazymig import ConfigurationError, ConversionError, Criteria, Phase, Repository
from tests.contract.conftest import Watched
from tests.layouts import Layout
from tests.people import PersonV1, PersonV2, ada, ada_v1, people

SECRET = "Xanthippe"

#: Calls with an id, through both doors.
BY_ID: dict[str, Callable[[Any, Any], Any]] = {
    "get": lambda door, id: door.get(id),
    "get_many": lambda door, id: door.get_many([1, id]),
    "exists": lambda door, id: door.exists(id),
    "update": lambda door, id: door.update(id, lambda person: person),
    "delete": lambda door, id: door.delete(id),
    "list": lambda door, id: anext(door.list(after=id)),
}
BAD_IDS = [None, "1", 1.0, True, b"1", [1], {}, {"$gt": 0}, {"$ne": None}, PersonV1(1, "x y")]
#: Calls with an entity.
BY_ENTITY: dict[str, Callable[[Any, Any], Any]] = {
    "insert": lambda door, entity: door.insert(entity),
    "replace": lambda door, entity: door.replace(entity),
}


@pytest.fixture
def repository(watched: Watched, phase: Phase, open_repository: Any) -> Repository[PersonV1, PersonV2]:
    """People, in one of the phases."""
    return open_repository(watched.database, phase=phase)


@pytest.mark.parametrize("call", BY_ID)
async def test_an_id_of_the_wrong_type_reaches_no_server(watched: Watched, repository: Any, call: str) -> None:
    """A `TypeError` that names the type to pass, above all for a dict of operators; no command is sent."""
    with watched.sent() as sent:
        for door in (repository, repository.v1):
            for id in BAD_IDS[call == "list" :]:  # after=None is no id
                with pytest.raises(TypeError, match="an id of people is int, not"):
                    await BY_ID[call](door, id)
    assert sent == []


@pytest.mark.parametrize("call", BY_ENTITY)
async def test_an_entity_of_the_wrong_class_reaches_no_server(watched: Watched, repository: Any, call: str) -> None:
    """A `TypeError` that names the class to pass; the other side's class is as wrong as any; no command is sent."""
    v1, v2 = PersonV1(1, "Ada Lovelace"), ada()
    with watched.sent() as sent:
        for entity in (v1, {"_id": 1}, None, PersonV2):
            with pytest.raises(TypeError, match="instance of PersonV2"):
                await BY_ENTITY[call](repository, entity)
        for other in (v2, {"_id": 1}, None):
            with pytest.raises(TypeError, match="instance of PersonV1"):
                await BY_ENTITY[call](repository.v1, other)
    assert sent == []


@pytest.mark.parametrize("call", BY_ENTITY)
async def test_an_entity_with_an_id_of_the_wrong_type_reaches_no_server(
    watched: Watched, repository: Any, call: str
) -> None:
    """attrs does not check types; lazymig does for ids. No command is sent."""
    with watched.sent() as sent:
        for id in ("1", {"$gt": 0}, None):
            with pytest.raises(TypeError, match="an id of people is int"):
                await BY_ENTITY[call](repository, evolve(ada(), id=id))
            with pytest.raises(TypeError, match="an id of people is int"):
                await BY_ENTITY[call](repository.v1, PersonV1(id, "Ada Lovelace"))
    assert sent == []


@pytest.mark.parametrize("call", BY_ENTITY)
async def test_an_entity_that_bson_cannot_hold_reaches_no_server(watched: Watched, repository: Any, call: str) -> None:
    """An int of more than 64 bits, a value of no BSON type: refused before anything is announced."""
    with watched.sent() as sent:
        for wrong in ({"age": 2**64}, {"tags": [object()]}, {"note": object()}):
            with pytest.raises(ConversionError):
                await BY_ENTITY[call](repository, evolve(ada(), **wrong))
        for wrong in ({"age": 2**64}, {"tags": [object()]}):
            with pytest.raises(ConversionError):
                await BY_ENTITY[call](repository.v1, evolve(PersonV1(1, "Ada Lovelace"), **wrong))
    assert sent == []


async def test_criteria_of_one_side_reach_no_server(watched: Watched, repository: Any) -> None:
    """A filter instead of `Criteria`, and criteria with one side only; no command is sent."""
    with watched.sent() as sent:
        for call in (repository.count, repository.v1.count):
            with pytest.raises(TypeError, match="in both shapes"):
                await call({"name": "Ada"})
            with pytest.raises(TypeError, match="keyword-only argument"):
                await call(Criteria(v1={"name": "Ada"}))
        for door in (repository, repository.v1):
            with pytest.raises(TypeError, match="in both shapes"):
                await anext(door.list({"name": "Ada"}))
            with pytest.raises(TypeError, match="limit"):
                await anext(door.list(limit=-1))
            with pytest.raises(ConfigurationError, match="has no field"):
                await anext(door.list(sort="$where"))
    assert sent == []


def test_a_configuration_that_cannot_work_reaches_no_server(watched: Watched) -> None:
    """`ConfigurationError` that says what to change, and which side; no command is sent."""
    v1, v2 = watched.database["v1"], watched.database["v2"]
    unacknowledged = v2.with_options(write_concern=WriteConcern(0))
    with MongoClient("mongodb://127.0.0.1:1", connect=False) as client:
        blocking = client["x"]["v2"]
        wrong: list[tuple[dict[str, Any], str]] = [
            ({"v2": v1}, "same collection, .*needs one of its own"),
            ({"v2": watched.database["v1"]}, "same collection"),
            ({"v2": watched.database.client[watched.database.name]["v1"]}, "same collection"),
            ({"v2": unacknowledged}, "v2: write concern 0 .*configure w=1 or majority"),
            ({"v1": unacknowledged, "v2": v1}, "v1: write concern 0"),
            ({"v2": blocking}, "v2: .*is not an async collection; pass one of"),
            ({"v1": blocking}, "v1: .*is not an async collection"),
            ({"v1": None}, "v1: pass the collection of the old shape"),
            ({"v1": "customers"}, "v1: builtins.str is not an async collection"),
            ({"v1": watched.database}, "v1: .*is not an async collection"),
            ({"max_attempts": 0}, "max_attempts"),
            ({"migration": None}, "pass a lazymig.Migration"),
            ({"phase": "nothing"}, "this release runs Phase.V1_ONLY, Phase.PREPARE"),
            ({"phase": "no such phase"}, "this release runs"),
        ]
        with watched.sent() as sent:
            for changed, message in wrong:
                arguments = {"migration": people(), "v1": v1, "v2": v2, "phase": Phase.COEXIST} | changed
                with pytest.raises(ConfigurationError, match=message):
                    Repository(arguments.pop("migration"), **arguments)
    assert sent == []


async def test_making_a_repository_sends_nothing(watched: Watched) -> None:
    """Nor does anything that only makes objects."""
    with watched.sent() as sent:
        repository = Repository(people(), v1=watched.database["v1"], v2=watched.database["v2"], phase=Phase.COEXIST)
        repository.v1.list()
        assert repr(repository) == "<Repository people in coexist>"
        assert repr(repository.v1) == "<V1 view of <Repository people in coexist>>"
    assert sent == []


def everything_told(error: BaseException) -> str:
    """All that may end up in a log: text, repr, arguments, traceback, and the same after pickling."""
    again = pickle.loads(pickle.dumps(error)) if type(error).__module__.startswith("lazymig") else error
    texts = [str(error), repr(error), repr(error.args), str(again), repr(again)]
    texts += traceback.format_exception(error)
    record = logging.LogRecord("x", 40, __file__, 1, "m", None, (type(error), error, error.__traceback__))
    return "\n".join([*texts, logging.Formatter().format(record)])


BAD_DOCUMENTS: dict[str, tuple[dict[str, Any], str]] = {
    "the conversion raises, quoting the document": ({"name": SECRET}, ""),
    "a field of the wrong type": ({"age": SECRET}, "age"),
    "an element of the wrong type": ({"tags": ["x", 5, SECRET]}, "tags[1]"),
    "a list that is text": ({"tags": SECRET}, "tags"),
    "a field that is missing": ({"name": None, "_drop": True}, "name"),
}


@pytest.mark.parametrize("kind", BAD_DOCUMENTS)
async def test_a_conversion_error_names_id_and_path_but_no_contents(
    watched: Watched, repository: Any, kind: str
) -> None:
    """`ConversionError` names the id and the field path, quotes nothing, and V1 is untouched, byte for byte."""
    changed, path = BAD_DOCUMENTS[kind]
    document = ada_v1(4711) | {"secret": SECRET} | changed
    if document.pop("_drop", False):
        del document["name"]
    collection = watched.database["v1"]
    await collection.insert_one(document)
    raw = collection.with_options(codec_options=bson.CodecOptions(document_class=RawBSONDocument))
    before = (await raw.find_one({"_id": 4711})).raw
    calls: list[Callable[[], Any]] = [
        lambda: repository.get(4711),
        lambda: repository.get_many([4711]),
        lambda: repository.update(4711, lambda person: person),
        lambda: anext(repository.list()),
    ]
    for call in calls:
        with pytest.raises((ConversionError, ExceptionGroup)) as caught:
            await call()
        error = caught.value.exceptions[0] if isinstance(caught.value, ExceptionGroup) else caught.value
        assert isinstance(error, ConversionError)
        # What does not fit V1's class was never converted.
        assert (error.id, error.direction, error.path) == (4711, "read" if path else "upgrade", path)
        assert SECRET not in everything_told(caught.value)
        assert "4711" in str(error)
        assert repr(path) in str(error) or not path
    assert (await raw.find_one({"_id": 4711})).raw == before
    assert await watched.database["v2"].count_documents({"first": {"$exists": True}}) == 0


async def test_other_errors_tell_no_contents_either(watched: Watched, repository: Any) -> None:
    """`AlreadyExists`, and what a change does wrong."""
    entity = ada(note=SECRET, first=SECRET)
    await repository.insert(entity)
    calls: list[Callable[[], Any]] = [
        lambda: repository.insert(entity),
        lambda: repository.update(1, lambda person: SECRET),
        lambda: repository.update(1, lambda person: evolve(person, id=2)),
    ]
    for call in calls:
        with pytest.raises((lazymig.AlreadyExists, TypeError, ValueError)) as caught:
            await call()
        told = [str(caught.value), repr(caught.value), *traceback.format_exception_only(caught.value)]
        assert SECRET not in "".join(told)


async def test_a_v2_body_that_does_not_decode_is_named(watched: Watched, open_repository: Any, layout: Layout) -> None:
    """Somebody wrote nonsense into V2: the error says on which side and where."""
    repository = open_repository(watched.database)
    await repository.insert(ada())
    await layout.spoil(watched.database, 1, note=[SECRET])
    with pytest.raises(ConversionError) as caught:
        await repository.get(1)
    assert (caught.value.direction, caught.value.side, caught.value.path) == ("read", "V2", "note")
    assert SECRET not in everything_told(caught.value)
    with pytest.raises(ExceptionGroup):
        await repository.get_many([1])
