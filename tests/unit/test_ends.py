"""A change that ends the program, or its task: the write leaves nothing behind, and nothing replaces what ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from lazymig import Phase, Repository
from lazymig.repository import calls_of
from lazymig.telemetry import LEFT_DIRTY
from tests.people import ada
from tests.taking_turns import open_yielding
from tests.tasks import run_until

ANNOUNCED = (Phase.PREPARE, Phase.SHADOW, Phase.COEXIST, Phase.V2_PRIMARY)
EVERYWHERE = pytest.mark.parametrize("phase", ANNOUNCED, ids=str)


async def filled(phase: Phase) -> tuple[Repository[Any, Any], list[str], dict[str, Any]]:
    """A repository with one person, the statements from then on, and V2's document."""
    repository, statements = open_yielding(phase)
    await repository.insert(ada(1))
    await repository.get(1)
    statements.clear()
    return repository, statements, await meta(repository)


async def meta(repository: Repository[Any, Any]) -> dict[str, Any]:
    """What V2 knows of the person, but for when it was announced."""
    found = await repository.collections.v2.find_one({"_id": 1})
    return {name: value for name, value in found["_lazymig"].items() if name != "at"}


def raising(error: BaseException, *, later: bool) -> Callable[[Any], Any]:
    """A change that raises this, at once or once it was awaited."""

    def change(_: Any) -> Any:
        raise error

    async def change_later(_: Any) -> Any:
        await asyncio.sleep(0)
        raise error

    return change_later if later else change


@EVERYWHERE
@pytest.mark.parametrize("later", [False, True], ids=["at once", "later"])
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, asyncio.CancelledError, ValueError])
async def test_a_change_that_ends_its_write_leaves_no_announcement(
    phase: Phase, kind: type[BaseException], later: bool
) -> None:
    """Nothing was written, so the next read must not ask V1; and what the change has raised is what comes out."""
    repository, statements, before = await filled(phase)
    error = kind("ended")
    with pytest.raises(kind) as ended:
        await repository.update(1, raising(error, later=later))
    assert ended.value is error
    assert statements[-1] == "withdraw"
    assert await meta(repository) == before
    assert (await repository.get(1)).age == ada(1).age


@EVERYWHERE
async def test_a_call_that_is_closed_waits_for_nothing(phase: Phase) -> None:
    """Python refuses that. What was announced is left to the next reader, and is counted."""
    repository, statements, _ = await filled(phase)
    reached = asyncio.Event()

    async def wait(_: Any) -> Any:
        reached.set()
        await asyncio.Event().wait()

    call = repository.update(1, wait)
    await run_until(reached, call)
    call.close()
    assert statements[-1] != "withdraw"
    assert calls_of(repository).pair.tally.counts[LEFT_DIRTY] == 1
    assert (await repository.get(1)).age == ada(1).age
