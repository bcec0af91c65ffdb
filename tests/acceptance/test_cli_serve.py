"""`lazymig serve` as a person runs it: a page on this machine, and an end at once."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from mongomock_motor import AsyncMongoMockClient
from pymongo import MongoClient

import lazymig.cli
from lazymig.cli.serving import make_serving
from lazymig.cli.site import Site
from lazymig.cli.verbs import run as run_here
from lazymig.loop.clock import SYSTEM_CLOCK
from lazymig.web.actions.errands import Errand, Outcome
from tests.apps import CLASSES
from tests.commands import quick_script
from tests.sweeps import repository
from tests.switch_app import DATABASE

LAZYMIG = [sys.executable, "-m", "lazymig"]
APP = (
    CLASSES
    + """
def make(name):
    migration = lazymig.Migration(
        name=name, v1=Old, v2=New,
        upgrade=lambda old: New(old.id, *old.name.split(" ", 1)),
        downgrade=lambda new: Old(new.id, f"{new.first} {new.last}"),
    )
    database = AsyncMongoClient(os.environ["URI"])[os.environ["DATABASE"]]
    return lazymig.Repository(migration, v1=database[name], v2=database[f"{name}_v2"], phase=lazymig.Phase.COEXIST)

def people():
    return make("people")

def pets():
    return make("pets")

def authorize(request, action):
    return "Ada"
"""
)


@pytest.fixture
def database(tmp_path: Path, lazymig_server: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A folder with the application in it, and its database with three entities."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    (tmp_path / "shop.py").write_text(APP)
    for variable, value in {"URI": lazymig_server.uri, "DATABASE": name, "LAZYMIG_APP": "shop:people"}.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.chdir(tmp_path)
    with MongoClient[dict[str, Any]](lazymig_server.uri) as client:
        client[name]["people"].insert_many([{"_id": id, "name": f"Ada Nr{id}"} for id in range(3)])
        yield client[name]
        client.drop_database(name)


class Serve:
    """A running `lazymig serve`."""

    def __init__(self, *options: str) -> None:
        command = [*LAZYMIG, "serve", "--port", "0", *options]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.said = self._process.stdout.readline()
        self.url = self.said.partition(" ")[0]

    def __enter__(self) -> Serve:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def end(self, number: int = signal.SIGINT) -> tuple[int, str, str]:
        """Send the signal; return the exit code and what it has printed since."""
        self._process.send_signal(number)
        out, err = self._process.communicate(timeout=60)
        return self._process.returncode, out, err


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([quick_script(), *arguments], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_shows_the_page_until_it_is_ended(database: Any, number: int) -> None:
    """It prints the address; the numbers are those of the status; the end comes at once though somebody watches."""
    with Serve() as serve:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/ shows people\. Ctrl-C ends it\.\n", serve.said)
        with httpx.Client(base_url=serve.url, follow_redirects=True) as client:
            assert "people" in client.get("/").text
            shown, said = client.get("/m/people/status.json").json(), json.loads(run("status", "--json").stdout)
            for found in (shown, said):
                del found["at"], found["slow_at"]
            assert shown == said
            assert shown["v1"] == 3
            with client.stream("GET", "/m/people/events") as stream:
                lines = stream.iter_lines()
                assert next(lines) == "retry: 2000"
                ended = serve.end(number)
                assert any(line.startswith("event: phases") for line in lines)  # and then the stream's own end
        assert ended == (0, "", "")


def test_it_answers_to_the_names_of_this_machine_only(database: Any) -> None:
    """A request that a page elsewhere has led here by a name of its own is refused."""
    with Serve() as serve:
        port = serve.url.rstrip("/").rpartition(":")[2]
        for host in (f"evil.example:{port}", "evil.example", "127.0.0.1.evil.example", "[::2]:1", ""):
            assert httpx.get(f"{serve.url}m/people/", headers={"Host": host}).status_code == 421
        for host in (f"localhost:{port}", "LOCALHOST", "127.0.0.1", f"[::1]:{port}"):
            assert httpx.get(f"{serve.url}m/people/", headers={"Host": host}).status_code == 200


def test_several_migrations_and_whoever_may_act(database: Any) -> None:
    """Each --app has its page; with --authorize the pages offer what can be done, and without it nothing."""
    with Serve("--app", "shop:people", "--app", "shop:pets", "--authorize", "shop:authorize") as serve:
        assert "shows people, pets." in serve.said
        index = httpx.get(serve.url).text
        assert [name in index for name in ("/m/people/", "/m/pets/")] == [True, True]
        assert "/do/" in httpx.get(f"{serve.url}m/pets/").text
        assert httpx.get(f"{serve.url}m/pets/do/pause").status_code == 200
    with Serve() as serve:
        assert "/do/" not in httpx.get(f"{serve.url}m/people/").text
        assert httpx.get(f"{serve.url}m/people/do/pause").status_code == 404


# What cannot be served. In this process, in memory: a process for each would take a minute.


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> None:
    """An application in memory."""
    monkeypatch.setitem(DATABASE, "now", AsyncMongoMockClient()["test"])
    monkeypatch.setenv("LAZYMIG_APP", "tests.switch_app:fixed")


def test_a_port_that_is_taken(app: None, capsys: pytest.CaptureFixture[str]) -> None:
    """One line says which port, and what to do; nothing is printed on stdout."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run_here(["serve", "--port", str(port)]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err) == (
        "",
        f"lazymig: --port {port}: something else uses it at 127.0.0.1; end that, or pass another one (0 takes any). "
        "See lazymig serve --help.\n",
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--host 192.0.2.1", "--host 192.0.2.1: this machine has no such address"),
        ("--host no-such-host.invalid", "--host no-such-host.invalid: no address of that name"),
        ("--host 127.0.0.1 --max-age -1", "--max-age"),
        ("--authorize tests.sweeps:UNSET", "--authorize tests.sweeps:UNSET: module tests.sweeps has no attribute"),
        ("--authorize tests.switch_app:DATABASE", "--authorize tests.switch_app:DATABASE: found dict; name a function"),
        ("--app tests.switch_app:nothing", "module tests.switch_app has no attribute nothing"),
        ("--app tests.switch_app:fixed --app tests.switch_app:repository", "a migration named things"),
        ("--soak -1", "--soak"),
    ],
)
def test_what_cannot_be_served(app: None, capsys: pytest.CaptureFixture[str], options: str, said: str) -> None:
    """One line says what is wrong."""
    assert run_here(["serve", "--port", "0", *options.split()]) == 2
    shown = capsys.readouterr()
    assert (shown.out, shown.err.count("\n")) == ("", 1)
    assert said in shown.err


@pytest.mark.parametrize("missing", ["starlette", "jinja2", "uvicorn"])
def test_without_the_extra_it_says_what_to_install(
    app: None, missing: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a package of the page is not installed, one line names the pip install that helps."""
    for name in [name for name in sys.modules if name.partition(".")[0] == missing]:
        monkeypatch.setitem(sys.modules, name, None)
    for name in [name for name in sys.modules if name.startswith(("lazymig.web", "lazymig.cli.serving"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.delattr(lazymig.cli, "serving", raising=False)
    assert run_here(["serve"]) == 1
    said = capsys.readouterr()
    assert (said.out, said.err) == (
        "",
        f"lazymig: the page needs {missing} and a few more packages: pip install 'lazymig[serve]'\n",
    )


def test_other_commands_need_no_page() -> None:
    """The command line imports nothing of the page unless it is served, even with all verbs for its help."""
    code = "import sys; from lazymig.cli.verbs import command_line; command_line(); print(*sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ})
    loaded = ended.stdout.split()
    assert {"starlette", "sse_starlette", "jinja2", "uvicorn"} & set(loaded) == set()
    assert {"cyclopts", "lazymig.cli.serve"} <= set(loaded)


async def test_what_was_ordered_comes_to_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    """An action that is under way when the server ends goes on to its end, and a line says so."""
    repo = repository(AsyncMongoMockClient()["test"])
    serving = make_serving([repo], Site("127.0.0.1", 0, None, 0.0, 0.0))
    errands, go = serving._room.errands, asyncio.Event()

    async def work(errand: Errand) -> Outcome:
        await go.wait()
        return Outcome("done", good=True)

    errand = Errand("advance", "Ada", "form", SYSTEM_CLOCK.now())
    errands.begin("things", errand, work, SYSTEM_CLOCK.now)
    running = asyncio.create_task(serving.run())
    async with httpx.AsyncClient(base_url=serving.url) as client:
        assert (await client.get("/m/things/")).status_code == 200
    serving.stop()
    said = ""
    while "advance by Ada is under way" not in said:
        await asyncio.wait({running}, timeout=0.05)
        said += capsys.readouterr().err
        assert not running.done()
    go.set()
    await running
    assert (errand.outcome, errand.good) == ("done", True)
