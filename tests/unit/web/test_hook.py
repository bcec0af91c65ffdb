"""The application's hook: one that hangs, blocks or breaks refuses in time, and nothing of it stays."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from typing import Any

import pytest
from markupsafe import Markup
from starlette.exceptions import HTTPException
from starlette.requests import Request

from lazymig.web.actions import hook
from lazymig.web.actions.guards import find_name
from tests.fleets import until

REQUEST = Request({"type": "http", "method": "POST", "path": "/", "headers": [], "query_string": b""})
WHO: ContextVar[str] = ContextVar("WHO")


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hook has next to no time, and none is left over from another test."""
    monkeypatch.setattr(hook, "_ANSWER_S", 0.01)
    monkeypatch.setattr(hook, "_LATE", [])


async def refused(authorize: Any) -> HTTPException:
    """The refusal that a person gets."""
    with pytest.raises(HTTPException) as caught:
        await find_name(authorize, REQUEST, "advance")
    return caught.value


def at_work() -> set[asyncio.Task[Any]]:
    """The tasks that await hooks."""
    return {task for task in asyncio.all_tasks() if "_Call.make" in repr(task.get_coro())}


async def has_ended(threads: Callable[[], bool] = lambda: True) -> bool:
    return not at_work() and threads()


async def test_one_that_never_answers_refuses_and_is_ended(hurried: None, caplog: pytest.LogCaptureFixture) -> None:
    """A hook that waits for ever is given up with a 503 that says so, stands in the log, and leaves no task."""
    ended = []

    async def hang(request: Request, action: str) -> str:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(action)
        return "Ada"

    refusal = await refused(hang)
    assert (refusal.status_code, "has not said in time" in refusal.detail) == (503, True)
    assert "authorize has not answered about advance" in caplog.text
    await until(has_ended)
    assert ended == ["advance"]


async def test_ones_that_cannot_be_ended_are_not_gathered(hurried: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hooks that do not even end when they are cancelled are counted; with too many, none is asked any more."""
    monkeypatch.setattr(hook, "_LATE_MAX", 3)
    go, asked = asyncio.Event(), []

    async def stay(request: Request, action: str) -> str:
        asked.append(action)
        while not go.is_set():
            try:
                await go.wait()
            except asyncio.CancelledError:
                continue
        return "Ada"

    for _ in range(5):
        assert (await refused(stay)).status_code == 503
    assert (len(asked), len(at_work())) == (3, 3)
    go.set()
    await until(has_ended)
    assert await find_name(stay, REQUEST, "advance") == "Ada"


async def test_one_that_blocks_holds_up_nobody(hurried: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hook that blocks its thread is given up in time while the event loop goes on, and so many may do so at once."""
    monkeypatch.setattr(hook, "_LATE_MAX", 2)
    go, asked = threading.Event(), []

    def block(request: Request, action: str) -> str:
        asked.append(threading.current_thread())
        go.wait(60)
        return "Ada"

    for _ in range(4):
        assert (await refused(block)).status_code == 503
    assert (len(asked), [one.daemon for one in asked]) == (2, [True, True])
    go.set()
    await until(partial(has_ended, lambda: not any(one.is_alive() for one in asked)))
    monkeypatch.setattr(hook, "_ANSWER_S", 60)
    assert await find_name(block, REQUEST, "advance") == "Ada"


async def test_one_that_blocks_lets_the_event_loop_answer_it() -> None:
    """A hook that waits for what the event loop does gets it, with the context of its request."""
    loop = asyncio.get_running_loop()
    WHO.set("Ada")

    async def look_up() -> str:
        return "Lovelace"

    def block(request: Request, action: str) -> str:
        return f"{WHO.get()} {asyncio.run_coroutine_threadsafe(look_up(), loop).result(60)}"

    assert await find_name(block, REQUEST, "advance") == "Ada Lovelace"


async def test_every_kind_of_hook_is_asked() -> None:
    """A function, one that returns what can be awaited, and an object with either call give their names."""

    async def later(request: Request, action: str) -> str:
        return action

    class Later:
        async def __call__(self, request: Request, action: str) -> str:
            return action

    hooks: list[Any] = [later, Later(), partial(later), lambda *given: later(*given), lambda request, action: action]
    assert [await find_name(one, REQUEST, "pause") for one in hooks] == ["pause"] * 5


async def test_a_request_that_ends_takes_its_hook_along(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the request is cancelled, its hook is as well."""
    monkeypatch.setattr(hook, "_LATE", [])
    asked = asyncio.Event()

    async def hang(request: Request, action: str) -> str:
        asked.set()
        await asyncio.Event().wait()
        return "Ada"

    request = asyncio.create_task(find_name(hang, REQUEST, "advance"))
    await asked.wait()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    await until(has_ended)


@pytest.mark.parametrize(
    "error", [StopIteration("x"), asyncio.CancelledError(), KeyError("x"), SystemExit(1), KeyboardInterrupt()]
)
async def test_whatever_it_raises_refuses(error: BaseException) -> None:
    """A hook that ends in any other way than by an answer refuses, and the service goes on."""

    def fail(request: Request, action: str) -> str:
        raise error

    async def fail_later(request: Request, action: str) -> str:
        raise error

    assert [(await refused(one)).status_code for one in (fail, fail_later)] == [403, 403]


async def test_one_that_ends_its_thread_refuses() -> None:
    """A hook that calls `sys.exit` in its thread refuses at once and ends nothing else."""
    assert (await refused(lambda request, action: sys.exit(1))).status_code == 403


async def test_a_name_is_a_plain_text() -> None:
    """A name that says of itself that it is HTML is a text all the same, which the page escapes."""
    name = await find_name(lambda request, action: Markup("<b>Ada</b>"), REQUEST, "advance")
    assert (name, type(name)) == ("<b>Ada</b>", str)


@pytest.mark.parametrize("name", ["\x00", "Ada\u202eadA", "\ud800", "a\u2028b", b"Ada", ["Ada"], {"name": "Ada"}])
async def test_what_is_no_name_refuses(name: Any) -> None:
    """Signs that hide or turn a text, half a sign, and what is no text at all are no name."""
    assert (await refused(lambda request, action: name)).status_code == 403


async def test_what_a_name_can_be_is_bounded() -> None:
    """A name of any length is cut to what the history keeps."""
    assert len(await find_name(lambda request, action: "Ä" * sys.maxunicode, REQUEST, "advance")) == 200
