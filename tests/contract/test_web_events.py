"""The stream that keeps an open page up to date: what it sends, what it costs, and how it ends."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from datetime import UTC
from typing import Any

import pytest
from attrs import evolve

from lazymig import Repository
from lazymig.control import Parts, parts_of
from lazymig.control.samples import Sample
from lazymig.web.building import build
from lazymig.web.room import Room
from lazymig.web.view.panels import PANELS
from tests.clocks import StandingClock, settle
from tests.contract.conftest import Watched
from tests.pages_of import POLICY, begin, follow, open_client
from tests.streams import Event, Stream
from tests.sweeps import thing

IN_MEMORY = pytest.mark.parametrize("driver", ["mock"])
EVENTS = "/m/things/events"
#: What a look at rest sends at most, and one that looks at everything.
AT_REST, WHOLE = 19, 48


class Open:
    """A page with a clock that only the test moves."""

    def __init__(self, database: Any, **options: Any) -> None:
        self.database = database
        self.clock = StandingClock()
        self.control, self.repo = follow(database, clock=self.clock)
        given = {"authorize": None, "soak_s": 0.0, "max_age_s": 86_400.0, "refresh_s": 1.0} | options
        self.room = Room(self.control, **given)
        self.app = build(self.room)

    @property
    def control_parts(self) -> Parts:
        """The parts of the control collection."""
        return parts_of(self.control)

    async def begin(self) -> None:
        """Record the first phase."""
        await begin(self.repo)

    async def move(self) -> None:
        """Let an interval pass."""
        await settle()
        self.clock.move(1.0)

    async def assert_shown(self, panels: dict[str, str]) -> None:
        """The page has these panels now."""
        async with open_client(self.app) as client:
            page = (await client.get("/m/things/")).text
        assert [name for name, html in panels.items() if html.strip() not in page] == []


async def open_all(stream: Stream) -> dict[str, str]:
    """The panels that a stream begins with."""
    first = await stream.take(1 + len(PANELS))
    assert first[0] == Event("retry", "2000")
    return {event.name: event.data for event in first[1:]}


async def take_round(stream: Stream) -> dict[str, str]:
    """The panels that one look has changed. When it was, is the first of them."""
    first = await stream.next()
    assert first.name == "now"
    await settle()
    return {event.name: event.data for event in (first, *await stream.take(stream.waiting))}


@IN_MEMORY
async def test_all_panels_come_first_and_then_what_changes(database: Any) -> None:
    """A stream begins with every panel as the page has it; a later event is a panel that has changed, and no other."""
    on = Open(database)
    await on.begin()
    async with Stream(on.app, EVENTS) as stream:
        panels = await open_all(stream)
        assert tuple(panels) == PANELS
        assert (stream.status, stream.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        await on.assert_shown(panels)
        await database["v1"].insert_many([thing(id) for id in range(5)])
        await on.move()
        changed = await take_round(stream)
        assert "progress" in changed
        assert len(changed) < len(PANELS)
        assert [name for name, html in changed.items() if html == panels[name]] == []
        await on.assert_shown(panels | changed)


async def test_samples_come_with_the_stream(watched: Watched) -> None:
    """Who watches gets each new sample once, as the charts draw it; for many, no more is read than for one."""
    on = Open(watched.database)
    await on.begin()
    samples = on.control_parts.samples("things")
    first = Sample(at=on.clock.now(), by="sweep a:1", phase="shadow", v1=10, live=1)
    await samples.record(first)
    async with AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(Stream(on.app, EVENTS)) for _ in range(5)]
        for stream in streams:
            await open_all(stream)
        on.clock.move(20.0)
        second = evolve(first, at=on.clock.now(), live=7)
        await samples.record(second)
        with watched.sent() as sent:
            on.clock.move(1.0)
            got = [await find_event(stream, "samples") for stream in streams]
        reads = [one for one in sent if "samples" in str(one.command.get("filter"))]
        assert len(reads) == 1
    for text in got:
        data = json.loads(text)
        assert data["since"] == first.at.replace(tzinfo=UTC).timestamp()
        assert data["at"] == [second.at.replace(tzinfo=UTC).timestamp()]
        assert data["charts"][0]["series"][0]["values"] == [70.0]


async def find_event(stream: Stream, name: str) -> str:
    """What the next event of this name carries."""
    while (event := await stream.next()).name != name:
        pass
    return event.data


@IN_MEMORY
async def test_a_stream_is_guarded_and_passes_proxies(database: Any) -> None:
    """It is not kept, not buffered by a proxy, and guarded as every answer is."""
    on = Open(database)
    await on.begin()
    async with Stream(on.app, EVENTS) as stream:
        await open_all(stream)
        assert stream.headers["cache-control"] == "no-store"
        assert stream.headers["x-accel-buffering"] == "no"
        assert stream.headers["content-security-policy"].startswith(POLICY)


@IN_MEMORY
@pytest.mark.parametrize("id", ["", "17", "no such id", "'\"<b>", "9" * 5000])
async def test_who_connects_again_gets_everything(database: Any, id: str) -> None:
    """Whatever the last event's id is said to be, the stream begins with all panels."""
    on = Open(database)
    await on.begin()
    async with Stream(on.app, EVENTS, headers={"Last-Event-ID": id}) as stream:
        assert tuple(await open_all(stream)) == PANELS


@IN_MEMORY
async def test_a_head_opens_no_stream(database: Any) -> None:
    """HEAD is answered at once, and nobody watches then."""
    on = Open(database)
    await on.begin()
    async with open_client(on.app) as client:
        answer = await client.head(EVENTS)
    assert (answer.status_code, answer.text) == (200, "")
    await settle()
    assert on.room.pulse("things").watchers == 0


@IN_MEMORY
async def test_the_end_of_the_server_ends_the_streams(database: Any) -> None:
    """When the room ends, each stream comes to its end by itself, and the task of the looks too."""
    on = Open(database)
    await on.begin()
    async with Stream(on.app, EVENTS) as one, Stream(on.app, EVENTS) as other:
        await open_all(one)
        await open_all(other)
        on.room.end()
        assert await one.end() == []
        assert await other.end() == []
    await settle()
    assert on.clock.sleepers == 0


@IN_MEMORY
async def test_a_client_that_takes_nothing_holds_nobody(database: Any) -> None:
    """While one connection is stuck, others get what changes; the stuck one keeps no more than one event waiting."""
    on = Open(database)
    await on.begin()
    async with Stream(on.app, EVENTS) as stuck, Stream(on.app, EVENTS) as other:
        await open_all(stuck)
        await open_all(other)
        stuck.stick()
        for id in range(5):
            await database["v1"].insert_one(thing(id))
            await on.move()
            assert "progress" in await take_round(other)
        assert stuck.waiting == 0


@IN_MEMORY
async def test_another_repository_takes_over(database: Any) -> None:
    """Where the application makes its repository again, open streams end, so that browsers ask for the new one."""
    on = Open(database)
    await on.begin()
    async with Stream(on.app, EVENTS) as stream:
        await open_all(stream)
        old, on.repo = on.repo, Repository(on.repo.migration, v1=database["v1"], v2=database["v2"], phase=on.control)
        async with open_client(on.app) as client:
            assert (await client.get("/m/things/")).status_code == 200
        await stream.end()
        assert old is not on.repo


async def test_twenty_who_watch_cost_one_round_of_statements(watched: Watched) -> None:
    """However many watch, an interval costs one look, which sends few statements; nobody watches, and it costs none."""
    on = Open(watched.database)
    await on.begin()
    await watched.database["v1"].insert_many([thing(id) for id in range(5)])
    pulse = on.room.pulse("things")
    with watched.sent() as first:
        await pulse.now()
    on.clock.move(1.0)
    with watched.sent() as one:
        await pulse.now()
    print(f"statements of the first look: {len(first)}, of one at rest: {len(one)}")
    assert 0 < len(one) <= AT_REST
    assert len(first) <= WHOLE
    async with AsyncExitStack() as stack:
        with watched.sent() as opened:
            streams = [await stack.enter_async_context(Stream(on.app, EVENTS)) for _ in range(20)]
            for stream in streams:
                await open_all(stream)
        assert opened == []
        with watched.sent() as sent:
            for _ in range(3):
                await on.move()
                for stream in streams:
                    await take_round(stream)
        assert len(sent) == 3 * len(one)
        assert {kind_of(event) for event in sent} <= {"find", "aggregate", "count", "getMore"}
    await settle()
    with watched.sent() as after:
        for _ in range(5):
            await on.move()
            await settle()
    assert (after, pulse.watchers, on.clock.sleepers) == ([], 0, 0)


def kind_of(event: Any) -> str:
    """What kind of statement it is."""
    return str(event.command_name)
