"""Cases 3 and 6: nothing of a deleted entity reaches the next one of its id, and a body is exactly the body."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from attrs import evolve, frozen
from cattrs.gen import make_dict_unstructure_fn, override
from pymongo.errors import AutoReconnect

from lazymig import Migration, Phase, Repository, make_converter
from lazymig.repository import calls_of

META = "_lazymig"


@frozen
class SecretV1:
    """The old shape."""

    id: int
    name: str


@frozen
class SecretV2:
    """The new shape, with a field that V1 cannot express."""

    id: int
    name: str
    secret: str = ""


def keeping(v1: SecretV1, previous: SecretV2 | None) -> SecretV2:
    """Upgrade, and keep the secret."""
    return SecretV2(v1.id, v1.name, previous.secret if previous else "")


MIGRATION: Migration[Any, Any] = Migration(
    name="secrets", v1=SecretV1, v2=SecretV2, upgrade=keeping, downgrade=lambda v2: SecretV1(v2.id, v2.name)
)


def opened(database: Any, migration: Migration[Any, Any] = MIGRATION, **options: Any) -> Repository[Any, Any]:
    """A repository on the database's collections `v1` and `v2`."""
    return Repository(migration, v1=database["v1"], v2=database["v2"], phase=Phase.COEXIST, **options)


def failing(repository: Any, statement: str, *, times: int = 1) -> None:
    """Let V2's next statements of this kind never arrive."""
    store, left = calls_of(repository).pair.bodies, iter(range(times))
    original = getattr(store, statement)

    async def lost(*arguments: Any, **options: Any) -> Any:
        if next(left, None) is not None:
            raise AutoReconnect("gone")
        return await original(*arguments, **options)

    setattr(store, statement, lost)


@pytest.mark.parametrize("tombstone", [True, False], ids=["deleted", "its tombstone step failed"])
@pytest.mark.parametrize("beside", [0, 1, 8], ids=["alone", "a reader", "readers"])
async def test_case_3_no_secret_crosses_a_delete(database: Any, tombstone: bool, beside: int) -> None:
    """Insert with a secret, delete, insert anew in V1's type with readers beside it: the new entity has none."""
    repository = opened(database)
    await repository.insert(SecretV2(1, "first", "of the dead"))
    if not tombstone:
        failing(repository, "bury")
    await repository.delete(1)
    readers = [asyncio.create_task(repository.get(1)) for _ in range(beside)]
    await repository.v1.insert(SecretV1(1, "second"))
    seen = await asyncio.gather(*readers)
    assert all(one in (None, SecretV2(1, "second")) for one in seen)
    assert await repository.get(1) == SecretV2(1, "second")
    assert (await database["v2"].find_one({"_id": 1}))["secret"] == ""


@pytest.mark.parametrize("step", ["bury", "apply"])
async def test_case_3_no_secret_comes_late(database: Any, step: str) -> None:
    """The first insert's body arrives after the delete died half way and after the next insert: nobody takes it."""
    slow, other = opened(database), opened(database)
    held, go = asyncio.Event(), asyncio.Event()
    apply = calls_of(slow).pair.bodies.apply

    async def late(*arguments: Any, **options: Any) -> Any:
        held.set()
        await go.wait()
        return await apply(*arguments, **options)

    calls_of(slow).pair.bodies.apply = late  # type: ignore[method-assign]
    first = asyncio.create_task(slow.insert(SecretV2(1, "first", "of the dead")))
    await held.wait()
    failing(other, "bury")
    await other.delete(1)
    if step == "apply":
        failing(other, "apply")  # the next insert dies as well, once V1 has it
    await other.v1.insert(SecretV1(1, "second"))
    go.set()
    await first
    assert await other.get(1) == SecretV2(1, "second")
    assert await other.update(1, lambda entity: evolve(entity, name="third")) == SecretV2(1, "third")
    assert (await database["v2"].find_one({"_id": 1}))["secret"] == ""


async def test_a_failed_insert_takes_no_secret_from_the_one_that_stands(database: Any) -> None:
    """The id is taken: what only V2 holds of the standing entity stays, though an insert was announced over it."""
    writer, other = opened(database), opened(database)
    await database["v1"].insert_one({"_id": 1, "name": "standing"})
    held, go = asyncio.Event(), asyncio.Event()
    apply = calls_of(writer).pair.bodies.apply

    async def late(*arguments: Any, **options: Any) -> Any:
        held.set()
        await go.wait()
        return await apply(*arguments, **options)

    calls_of(writer).pair.bodies.apply = late  # type: ignore[method-assign]
    update = asyncio.create_task(writer.update(1, lambda entity: evolve(entity, secret="kept")))
    await held.wait()
    failed = asyncio.create_task(other.insert(SecretV2(1, "intruder")))
    go.set()
    await update
    with pytest.raises(ValueError, match="exists"):
        await failed
    assert await other.get(1) == SecretV2(1, "standing", "kept")


# ---- case 6 ---------------------------------------------------------------------------------------------------------


@frozen
class Nicked:
    """A class whose hook renames a field, and leaves it out where it is None."""

    id: int
    name: str
    nick: str | None = None


def renaming() -> Any:
    """A converter that stores `nick` as `nickName`, and only where there is one."""
    converter = make_converter()
    names = make_dict_unstructure_fn(Nicked, converter, nick=override(rename="nickName", omit_if_default=True))
    converter.register_unstructure_hook(Nicked, names)
    converter.register_structure_hook(
        Nicked, lambda document, _: Nicked(document["id"], document["name"], document.get("nickName"))
    )
    return converter


def nicked() -> Migration[Any, Any]:
    """The same class on both sides."""
    return Migration(
        name="nicked", v1=Nicked, v2=Nicked, upgrade=lambda v1: v1, downgrade=lambda v2: v2,
        v1_converter=renaming(), v2_converter=renaming(),
    )  # fmt: skip


async def test_case_6_a_key_that_a_hook_leaves_out_does_not_stay(database: Any) -> None:
    """`nick=None` leaves no `nickName` in V1 or V2."""
    repository = opened(database, nicked())
    await repository.insert(Nicked(1, "Ada", "countess"))
    await repository.update(1, lambda entity: evolve(entity, nick=None))
    for name in ("v1", "v2"):
        assert "nickName" not in await database[name].find_one({"_id": 1})
    assert await repository.get(1) == Nicked(1, "Ada")


async def test_case_6_a_tombstone_keeps_no_contents(database: Any) -> None:
    """Whatever keys a hook or another release wrote, a delete leaves none, and none reappears."""
    repository = opened(database, nicked())
    await repository.insert(Nicked(1, "Ada", "countess"))
    await database["v2"].update_one({"_id": 1}, {"$set": {"theirs": "secret", "nickName": "old"}})
    await repository.delete(1)
    assert set(await database["v2"].find_one({"_id": 1})) == {"_id", META}
    await repository.insert(Nicked(1, "Eve"))
    assert set(await database["v2"].find_one({"_id": 1})) == {"_id", META, "name"}
    assert await repository.get(1) == Nicked(1, "Eve")


async def test_case_6_every_step_leaves_the_body_exactly(database: Any) -> None:
    """A repair by a reader, a heal and a write each leave no key of an earlier body."""
    for id, rev, intent in ((1, 0, 1), (2, 1, 2), (3, 1, 1)):
        await database["v1"].insert_one({"_id": id, "name": "Ada", "_lazymig_rev": 1})
        body = {"_id": id, "name": "Ada", "nickName": "old", "theirs": {"a": 1}}
        await database["v2"].insert_one(body | {META: {"rev": rev, "intent": intent}})
    repository = opened(database, nicked())
    assert await repository.get(1) == Nicked(1, "Ada")
    assert set(await database["v2"].find_one({"_id": 1})) == {"_id", META, "name"}
    for id in (2, 3):
        await repository.update(id, lambda entity: evolve(entity, nick=None))
        assert set(await database["v2"].find_one({"_id": id})) == {"_id", META, "name"}
