"""The README's code, checked by pyright and run by nobody; `tests/cases/test_typing.py` compares the two."""

from typing import assert_type

from attrs import evolve, frozen
from lazymig import Migration, Phase, Repository

@frozen
class PersonV1:
    id: int
    name: str

@frozen
class PersonV2:
    id: int
    first: str
    last: str

migration = Migration(name="people", v1=PersonV1, v2=PersonV2,
    upgrade=lambda v1: PersonV2(v1.id, *v1.name.split(" ", 1)),
    downgrade=lambda v2: PersonV1(v2.id, f"{v2.first} {v2.last}"))

assert_type(migration, Migration[PersonV1, PersonV2])

from typing import Any

from pymongo import AsyncMongoClient


async def main() -> None:
    database = AsyncMongoClient[dict[str, Any]]("mongodb://localhost/?replicaSet=rs0")["shop"]
    repo = Repository(migration, v1=database["people"], v2=database["people_v2"], phase=Phase.COEXIST)

    await repo.v1.insert(PersonV1(1, "Ada King"))  # an old client
    await repo.get(1)  # -> PersonV2(id=1, first='Ada', last='King')
    await repo.update(1, lambda person: evolve(person, last="Lovelace"))  # -> PersonV2(id=1, first='Ada', last='Lovelace')
    await repo.v1.get(1)  # -> PersonV1(id=1, name='Ada Lovelace')
    [person.last async for person in repo.list(limit=10)]  # -> ['Lovelace']
