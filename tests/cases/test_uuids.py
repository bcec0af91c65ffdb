"""UUIDs and clients that store them in a form of their own: exact, or refused before anything is written."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, NamedTuple, TypedDict
from uuid import UUID

import pytest
from attrs import frozen
from bson.binary import Binary, UuidRepresentation
from pymongo import AsyncMongoClient

from lazymig import ConfigurationError, ConversionError, Migration, Phase, Repository, Sweeper
from lazymig.surroundings.uuids import check_uuids

LEGACY = ["pythonLegacy", "javaLegacy", "csharpLegacy"]
FORMS = {
    "pythonLegacy": UuidRepresentation.PYTHON_LEGACY,
    "javaLegacy": UuidRepresentation.JAVA_LEGACY,
    "csharpLegacy": UuidRepresentation.CSHARP_LEGACY,
}
FIRST, SECOND = UUID("00112233-4455-6677-8899-aabbccddeeff"), UUID("ffeeddcc-bbaa-9988-7766-554433221100")


@frozen
class ById:
    """Named by a UUID."""

    id: UUID
    name: str = ""


@frozen
class WithField:
    """With a UUID in a field."""

    id: int
    ref: UUID | None = None
    name: str = ""


@frozen
class Inner:
    """A part with a UUID."""

    refs: dict[str, list[UUID]]


@dataclass
class Data:
    """A dataclass with one."""

    ref: UUID


class Named(NamedTuple):
    """A named tuple with one."""

    ref: UUID


class Typed(TypedDict):
    """A typed dictionary with one."""

    ref: UUID


@frozen
class Plain:
    """Without any."""

    id: int
    name: str = ""


def same(entity: Any) -> Any:
    """Both shapes are one."""
    return entity


def migration(cls: Any) -> Migration[Any, Any]:
    """A migration from a class to itself."""
    return Migration(name="uuids", v1=cls, v2=cls, upgrade=same, downgrade=same)


@pytest.fixture
async def clients(lazymig_server: Any) -> AsyncIterator[Any]:
    """Makes clients with a `uuidRepresentation`."""
    made: list[Any] = []

    def make(representation: str) -> Any:
        made.append(AsyncMongoClient(lazymig_server.uri, uuidRepresentation=representation))
        return made[-1]

    yield make
    for client in made:
        await client.close()


def opened(database: Any, cls: Any, **options: Any) -> Repository[Any, Any]:
    """A repository of the class."""
    collections = {"v1": database["v1"], "v2": database["v2"], "phase": Phase.COEXIST}
    return Repository(migration(cls), **(collections | options))


@pytest.mark.parametrize("side", ["v1", "v2"])
@pytest.mark.parametrize("form", LEGACY)
@pytest.mark.parametrize("cls", [ById, WithField])
async def test_case_14e_a_legacy_client_is_refused_where_there_are_uuids(
    clients: Any, server_database: Any, cls: Any, form: str, side: str
) -> None:
    """On either side, as an id or in a field: the repository is not built, and the error says what to configure."""
    other = clients(form)[server_database.name][side]
    with pytest.raises(ConfigurationError, match=rf"{side}: .*{form}.*uuidRepresentation=standard"):
        opened(server_database, cls, **{side: other})
    assert opened(server_database, Plain, **{side: other}).phase is Phase.COEXIST


@pytest.mark.parametrize("kind", [Inner, Data, Named, Typed, list[Inner], dict[str, Data | None], tuple[Named, ...]])
def test_case_14e_a_uuid_is_found_wherever_it_stands(kind: Any) -> None:
    """Inside of classes of every kind, of lists, unions and mappings."""

    @frozen
    class Outer:
        id: int
        inner: kind

    class Declared:
        v1 = v2 = Outer
        _id_types = (int,)
        name = "outer"

    class Collection:
        class codec_options:  # noqa: N801
            uuid_representation = UuidRepresentation.JAVA_LEGACY

    Outer.__annotations__["inner"] = kind
    declared: Any = Declared
    with pytest.raises(ConfigurationError, match="javaLegacy"):
        check_uuids(declared, v1=Collection, v2=Collection)


@pytest.mark.parametrize("form", ["standard", "unspecified"])
async def test_case_14e_other_clients_are_exact(clients: Any, server_database: Any, form: str) -> None:
    """With the standard form, and with none, each door and a sweep keep the ids and their subtype."""
    database = clients(form)[server_database.name]
    await server_database["v1"].insert_many([{"_id": Binary.from_uuid(id), "name": "x"} for id in (FIRST, SECOND)])
    repository = opened(database, ById)
    assert await repository.get(FIRST) == ById(FIRST, "x")
    assert (await Sweeper(repository).run()).migrated == 1
    assert {entity.id async for entity in repository.list()} == {FIRST, SECOND}
    assert await repository.count() == 2
    await repository.update(FIRST, lambda entity: ById(entity.id, "y"))
    await repository.v1.update(SECOND, lambda entity: ById(entity.id, "z"))
    for name in ("v1", "v2"):
        rows = await server_database[name].find().to_list()
        assert sorted(row["_id"] for row in rows) == sorted(map(Binary.from_uuid, (FIRST, SECOND)))


@pytest.mark.parametrize("phase", [Phase.COEXIST, Phase.V1_ONLY])
@pytest.mark.parametrize("form", LEGACY)
async def test_case_14e_ids_of_subtype_3_are_refused_at_first_use(
    server_database: Any, form: str, phase: Phase
) -> None:
    """They are found by one look, beside any number of others, before anything is written."""
    ids = [Binary.from_uuid(FIRST), Binary.from_uuid(SECOND, FORMS[form])]
    await server_database["v1"].insert_many([{"_id": id, "name": "x"} for id in ids])
    repository = opened(server_database, ById, phase=phase)
    for call in (repository.get(FIRST), repository.count(), repository.insert(ById(UUID(int=1)))):
        with pytest.raises(ConfigurationError, match=r"v1: .*subtype 3.*subtype 4"):
            await call
    if phase is Phase.COEXIST:
        with pytest.raises(ConfigurationError, match="subtype 3"):
            await Sweeper(repository).run()
    assert await server_database.list_collection_names() == ["v1"]


@pytest.mark.parametrize("form", LEGACY)
async def test_case_14e_a_field_of_subtype_3_is_never_changed(server_database: Any, form: str) -> None:
    """It does not convert, and says at which field; neither door writes it under another subtype."""
    document = {"_id": 1, "ref": Binary.from_uuid(FIRST, FORMS[form]), "name": "x"}
    await server_database["v1"].insert_one(document)
    repository = opened(server_database, WithField)
    assert (await Sweeper(repository).run()).dead == 1
    renamed = lambda entity: WithField(entity.id, entity.ref, "y")  # noqa: E731
    for call in (
        repository.get(1),
        repository.update(1, renamed),
        repository.v1.get(1),
        repository.v1.update(1, renamed),
    ):
        with pytest.raises(ConversionError) as caught:
            await call
        assert caught.value.path == "ref"
    assert await server_database["v1"].find_one() == document


async def test_case_14e_a_field_that_no_class_knows_keeps_its_subtype(clients: Any, server_database: Any) -> None:
    """A legacy client may go on where no class holds a UUID: what it stored stays byte for byte."""
    theirs = Binary.from_uuid(FIRST, UuidRepresentation.JAVA_LEGACY)
    await server_database["v1"].insert_one({"_id": 1, "name": "x", "theirs": theirs})
    repository = opened(clients("javaLegacy")[server_database.name], Plain)
    await repository.update(1, lambda entity: Plain(entity.id, "y"))
    row = await server_database["v1"].find_one({}, {"_lazymig_rev": 0})
    assert row == {"_id": 1, "name": "y", "theirs": theirs}
