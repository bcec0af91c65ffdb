"""`lazymig status` and `lazymig sweep` as a person or a cron job runs them: the console script, in its own process."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pymongo import AsyncMongoClient, MongoClient

from lazymig import Control
from lazymig.cli.failures import in_one_line, without_secrets
from lazymig.control import LEASE, parts_of
from lazymig.loop.clock import SYSTEM_CLOCK
from lazymig.stores.records import Partition
from tests.apps import CLASSES
from tests.commands import SCRIPT, quick_script
from tests.people import TestClock

COUNT = 300
#: A name without a blank, which the application's upgrade refuses.
BAD, SECRET_NAME = 7, "Confidential"

APP = (
    CLASSES
    + """
import asyncio
from pathlib import Path
from mongomock_motor import AsyncMongoMockClient
from motor.motor_asyncio import AsyncIOMotorClient

async def upgrade(old):
    if "GATE" in os.environ and old.id == int(os.environ["GATE_AT"]):
        for _ in range(3000):  # in the end it goes on by itself, so that no test hangs
            if Path(os.environ["GATE"]).exists():
                break
            await asyncio.sleep(0.01)
    first, last = old.name.split(" ")
    return New(old.id, first, last)

def downgrade(new):
    return Old(new.id, f"{new.first} {new.last}")

migration = lazymig.Migration(name="people", v1=Old, v2=New, upgrade=upgrade, downgrade=downgrade)

def _repository(client):
    database = client[os.environ["DATABASE"]]
    v1, v2 = database["people"], database["people_v2"]
    return lazymig.Repository(migration, v1=v1, v2=v2, phase=lazymig.Phase.COEXIST, timeout_s=5)

def plain():
    return _repository(AsyncMongoClient(os.environ["URI"]))

async def awaited():
    return _repository(AsyncMongoClient(os.environ["URI"]))

def motor():
    return _repository(AsyncIOMotorClient(os.environ["URI"]))

class holder:
    ready = _repository(AsyncMongoMockClient())

def broken():
    raise RuntimeError(f"cannot use {os.environ['URI']}")
"""
)

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A folder with the application in it, and what that reads from the environment."""
    (tmp_path / "shop.py").write_text(APP)
    own = {"DATABASE": f"test_{uuid.uuid4().hex[:12]}", "COLUMNS": "200"}
    return {**os.environ, **own, "URI": "mongodb://127.0.0.1:1/"}


@pytest.fixture
def lazymig(environment: dict[str, str], tmp_path: Path) -> Run:
    """Run a command in the application's folder."""

    def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        ended = subprocess.run(
            [quick_script(), *arguments], cwd=tmp_path, env={**environment, **more}, capture_output=True, text=True,
            timeout=300,
        )  # fmt: skip
        assert "Warning" not in ended.stderr  # no client is left open
        return ended

    return run


@pytest.fixture
def people(environment: dict[str, str], lazymig_server: Any) -> Iterator[Any]:
    """The application's database on the real server, with people in V1."""
    environment |= {"URI": lazymig_server.uri, "PYTHONWARNINGS": "always::ResourceWarning"}
    with MongoClient[dict[str, Any]](lazymig_server.uri) as client:
        database = client[environment["DATABASE"]]
        database["people"].insert_many({"_id": number, "name": f"Ada Nr{number}"} for number in range(COUNT))
        yield database
        client.drop_database(database)


@pytest.mark.parametrize("function", ["plain", "awaited", "motor"])
def test_sweep_moves_everything(lazymig: Run, people: Any, function: str) -> None:
    """A sweep moves every entity, reports on stdout, talks on stderr, and ends with 0."""
    ended = lazymig("sweep", "--app", f"shop:{function}")
    assert (ended.returncode, ended.stdout.splitlines()[0].split(",")[0]) == (0, "people: finished")
    assert f"sweep: {COUNT} of about {COUNT} (100 %)" in ended.stderr
    stored = {row["_id"]: (row["first"], row["last"]) for row in people["people_v2"].find()}
    assert stored == {number: ("Ada", f"Nr{number}") for number in range(COUNT)}


def test_the_last_word_names_what_is_left(lazymig: Run, people: Any) -> None:
    """The last line of progress and the table name who moved what, and what remains, is dead and dirty."""
    people["people"].update_one({"_id": BAD}, {"$set": {"name": SECRET_NAME}})
    meta = {"rev": 0, "intent": 0, "by": "read"}
    people["people_v2"].insert_many({"_id": id, "first": "Ada", "last": f"Nr{id}", "_lazymig": meta} for id in (1, 2))
    # In an hour, so that it stays young for as long as a busy machine takes.
    at = people.client.admin.command("hello")["localTime"] + timedelta(hours=1)
    young = {"rev": 0, "intent": 1, "by": "write", "at": at}
    people["people_v2"].insert_one({"_id": 3, "first": "Ada", "last": "Nr3", "_lazymig": young})
    ended = lazymig("sweep", "--app", "shop:plain")
    assert ended.stderr.splitlines()[-1].endswith("remaining 1, dead 1, dirty 1, migrated 296, present 3")
    table = dict(line.strip().split("  ", 1) for line in ended.stdout.splitlines() if line.startswith("  "))
    shown = {name: value.split()[0] for name, value in table.items()}
    assert shown | {"scanned": ""} == {
        "scanned": "", "migrated": "296", "in V2 before": "3", "moved by clients meanwhile": "0", "healed": "0",
        "converted again": "0",
        "purged": "0", "not movable": "1", "remaining, about": "1", "dirty (open writes)": "1",
        "open dead letters": "1",
    }  # fmt: skip
    told = lazymig("sweep", "--app", "shop:plain", "--json")
    report, last = json.loads(told.stdout), json.loads(told.stderr.splitlines()[-1])
    for facts in (report, last):
        names = ("remaining", "dead", "dirty", "migrated", "present", "moved_by_clients")
        assert [facts[name] for name in names] == [1, 1, 1, 0, 299, 0]
    assert last["done"] == last["total"] == COUNT


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["text", "JSON"])
async def test_waiting_for_a_dead_sweeper_is_told_once(
    lazymig: Run, people: Any, environment: dict[str, str], options: list[str]
) -> None:
    """Where all that is left is leased to a sweep that was killed, one line says so, and after the lease it goes on."""
    before = TestClock()
    before.time = SYSTEM_CLOCK.now() - LEASE + timedelta(seconds=10)  # a command may take seconds to start
    async with AsyncMongoClient[dict[str, Any]](environment["URI"]) as client:
        passes = parts_of(Control(client[people.name]["lazymig_control"], before)).passes("people", "sweep")
        await passes.claim_planning("dead")
        await passes.open_pass(1, [Partition("int", None, 20), Partition("int", 20, None)])
        await passes.acquire(1, "dead", (0, 1))
    ended = lazymig("sweep", "--app", "shop:plain", *options)
    lines = [line for line in ended.stderr.splitlines() if "waiting for the lease of another sweeper" in line]
    assert (ended.returncode, len(lines), len(ended.stderr.splitlines())) == (0, 1, 3)
    assert people["people_v2"].count_documents({}) == COUNT


def test_json_is_one_object_and_progress_is_lines(lazymig: Run, people: Any) -> None:
    """With --json stdout is one object, and every line of stderr is another."""
    people["people_v2"].insert_one({"_id": 5, "first": "Ada", "last": "Nr5", "_lazymig": {"rev": 0, "intent": 0}})
    ended = lazymig("sweep", "--json", LAZYMIG_APP="shop:plain")
    report = json.loads(ended.stdout)
    assert (report["scanned"], report["migrated"], report["present"]) == (COUNT, COUNT - 1, 1)
    assert report["finished"]
    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    assert {line["event"] for line in lines} == {"sweep"}
    assert lines[-1]["done"] == COUNT


def test_what_does_not_convert_needs_a_person(lazymig: Run, people: Any) -> None:
    """A bad document stops nothing, is listed by its id and never by its contents, and makes the exit code 3."""
    people["people"].update_one({"_id": BAD}, {"$set": {"name": SECRET_NAME}})
    swept = lazymig("sweep", "--app", "shop:plain")
    shown = lazymig("status", "--app", "shop:plain")
    listed = lazymig("status", "--app", "shop:plain", "--json")
    assert [run.returncode for run in (swept, shown, listed)] == [3, 3, 3]
    assert people["people_v2"].count_documents({}) == COUNT - 1
    [letter] = json.loads(listed.stdout)["letters"]
    assert (letter["id"], letter["error"], letter["attempts"]) == (BAD, "ValueError", 1)
    assert "Dead letters" in shown.stdout
    assert SECRET_NAME not in "".join(run.stdout + run.stderr for run in (swept, shown, listed))


def test_mending_the_document_ends_the_need(lazymig: Run, people: Any) -> None:
    """Once the document is mended, the next sweep moves it and ends with 0."""
    people["people"].update_one({"_id": BAD}, {"$set": {"name": SECRET_NAME}})
    assert lazymig("sweep", "--app", "shop:plain").returncode == 3
    people["people"].update_one({"_id": BAD}, {"$set": {"name": "Ada Mended"}})
    assert lazymig("sweep", "--app", "shop:plain").returncode == 0
    assert people["people_v2"].find_one({"_id": BAD})["last"] == "Mended"


def test_dry_run_writes_nothing(lazymig: Run, people: Any) -> None:
    """A dry run converts everything, tells what does not convert, and leaves the database as it was."""
    people["people"].update_one({"_id": BAD}, {"$set": {"name": SECRET_NAME}})
    shown = lazymig("sweep", "--app", "shop:plain", "--dry-run").stdout
    assert re.search(r"^  need a person +1$", shown, re.MULTILINE)
    assert "open dead letters" not in shown
    ended = lazymig("sweep", "--app", "shop:plain", "--dry-run", "--json")
    report = json.loads(ended.stdout)
    assert (ended.returncode, report["migrated"], report["dead"]) == (3, COUNT - 1, 1)
    assert people.list_collection_names() == ["people"]


def test_status_counts_what_is_there(lazymig: Run, people: Any) -> None:
    """Status tells clean, dirty, placeholders and tombstones apart, and what remains, and changes nothing."""
    now = {"at": people.client.admin.command("hello")["localTime"]}
    metas = [
        {"rev": 0, "intent": 0},
        {"rev": 3, "intent": 3},
        {"rev": 0, "intent": 1, **now},
        {"rev": -1, "intent": 1, "gone": True, **now},
        {"rev": 4, "intent": 4, "gone": True, **now},
    ]
    people["people_v2"].insert_many({"_id": number, "_lazymig": meta} for number, meta in enumerate(metas))
    before = sorted(people.list_collection_names())
    for options in ([], ["--exact"]):
        ended = lazymig("status", "--app", "shop:plain", "--json", *options)
        status = json.loads(ended.stdout)
        assert (ended.returncode, status["phase"], status["v1"]) == (0, "coexist", COUNT)
        states = {"clean": 2, "dirty": 1, "placeholders": 1, "tombstones": 1, "waiting": 0, "left": 0}
        assert status["v2"] == states
        assert status["remaining"] == COUNT - 3
    assert sorted(people.list_collection_names()) == before


def test_status_tells_who_moved_what(lazymig: Run, people: Any) -> None:
    """Status counts V2's entities by who brought them: each where V2 is small, "about" from a sample elsewhere."""
    meta = {"rev": 0, "intent": 0}
    people["people_v2"].insert_many({"_id": id, "_lazymig": meta | {"by": "read"}} for id in range(100))
    assert lazymig("sweep", "--app", "shop:plain").returncode == 0
    status = json.loads(lazymig("status", "--app", "shop:plain", "--json").stdout)
    assert status["moved_by"] == {"read": 100, "write": 0, "sweep": 200, "unknown": 0, "estimated": False}
    shown = " ".join(lazymig("status", "--app", "shop:plain").stdout.split())
    assert "moved by reads 100 moved by writes 0 moved by sweeps 200" in shown
    assert "unknown" not in shown
    people["people_v2"].insert_many({"_id": id, "_lazymig": meta} for id in range(COUNT, 12_300))
    many = json.loads(lazymig("status", "--app", "shop:plain", "--json").stdout)["moved_by"]
    assert many.pop("estimated")
    assert sum(many.values()) == 12_300
    assert 11_000 < many["unknown"] < 12_300
    assert "moved by unknown about 1" in " ".join(lazymig("status", "--app", "shop:plain").stdout.split())
    exact = json.loads(lazymig("status", "--app", "shop:plain", "--json", "--exact").stdout)["moved_by"]
    assert exact == {"read": 100, "write": 0, "sweep": 200, "unknown": 12_000, "estimated": False}


def test_status_remembers_runs(lazymig: Run, people: Any) -> None:
    """Status shows the runs of earlier sweeps, the newest first."""
    for _ in range(2):
        assert lazymig("sweep", "--app", "shop:plain").returncode == 0
    runs = json.loads(lazymig("status", "--app", "shop:plain", "--json").stdout)["runs"]
    assert [run["counts"].get("migrated", 0) for run in runs] == [0, COUNT]
    assert "finished" in lazymig("status", "--app", "shop:plain").stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_sweep_cleanly(
    lazymig: Run, people: Any, environment: dict[str, str], tmp_path: Path, number: signal.Signals
) -> None:
    """On SIGTERM or Ctrl-C the batches in flight are finished, the exit code is 0, and the next run does the rest."""
    gate, count = tmp_path / "gate", 11_000
    people["people"].insert_many({"_id": number, "name": f"Ada Nr{number}"} for number in range(COUNT, count))
    command = [SCRIPT, "sweep", "--app", "shop:plain", "--batch-size", "50", "--concurrency", "1", "--json"]
    # Past the first ten thousand ids, which are one page, so that there is progress to be seen before.
    at_the_gate = {**environment, "GATE": str(gate), "GATE_AT": "10020"}
    started = subprocess.Popen(
        command, cwd=tmp_path, env=at_the_gate, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with started as process:
        assert process.stderr is not None
        assert process.stdout is not None
        process.stderr.readline()  # the first progress: it is at work
        process.send_signal(number)
        assert "stopping" in process.stderr.readline()
        gate.touch()
        report = json.loads(process.stdout.read())
        assert process.wait() == 0
    assert not report["finished"]
    moved = people["people_v2"].count_documents({})
    assert 0 < moved == report["migrated"] < count
    rest = json.loads(lazymig("sweep", "--app", "shop:plain", "--json").stdout)
    assert (rest["finished"], rest["migrated"]) == (True, count - moved)


def test_a_repository_itself_may_be_named(lazymig: Run) -> None:
    """--app may name a repository inside an object, not only a function."""
    ended = lazymig("status", "--app", "shop:holder.ready")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("people: phase coexist")


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["status"], 2, "--app"),
        (["status", "--app", "shop"], 2, "module:attribute"),
        (["sweep", "--app", "shop:plain", "--batch-size", "0"], 2, "--batch-size"),
        (["sweep", "--app", "shop:plain", "--faster"], 2, "--faster"),
        (["fly"], 2, "fly"),
        (["status", "--app", "nowhere:plain"], 2, "no module nowhere"),
        (["status", "--app", "shop:nothing"], 2, "no attribute nothing"),
        (["status", "--app", "shop:migration"], 2, "found Migration"),
        (
            ["sweep", "--app", "shop:holder.ready", "--grace", "1"],
            2,
            "--grace 1: pass more than the repository's timeout_s (5 s)",
        ),
    ],
)
def test_mistakes_are_told_in_one_line(lazymig: Run, arguments: list[str], code: int, told: str) -> None:
    """Bad usage ends with 2 and a failure with 1, each with one line on stderr that says what is wrong."""
    ended = lazymig(*arguments)
    assert (ended.returncode, ended.stdout) == (code, "")
    [line] = ended.stderr.splitlines()
    assert line.startswith("lazymig: ")
    assert told in line


@pytest.mark.parametrize("function", ["plain", "broken"])
@pytest.mark.parametrize("options", [[], ["--debug"]])
def test_no_password_is_shown(lazymig: Run, function: str, options: list[str], closed_port: int) -> None:
    """Whether the server or the application fails, the message holds no password; --debug adds where it was raised."""
    uri = f"mongodb://bob:hunter2@127.0.0.1:{closed_port}/?serverSelectionTimeoutMS=300"
    ended = lazymig("status", "--app", f"shop:{function}", *options, URI=uri)
    assert ended.returncode == 1
    assert "hunter2" not in ended.stdout + ended.stderr
    assert "127.0.0.1" in ended.stderr.splitlines()[-1]
    assert ("File " in ended.stderr) == (len(ended.stderr.splitlines()) > 1) == bool(options)


def test_without_its_packages_the_command_says_what_to_install(environment: dict[str, str]) -> None:
    """Where the optional packages are missing, the command says which pip install helps, and ends with 1."""
    code = "import sys; sys.modules['cyclopts'] = None; from lazymig.cli import main; sys.exit(main())"
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert ended.returncode == 1
    assert ended.stderr.splitlines() == [
        "lazymig: the command line needs two more packages: pip install 'lazymig[cli]'"
    ]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at mongodb://a:b@h:1,i:2/db?tls=true now", "at mongodb://***@h:1,i:2 now"),
        ("mongodb+srv://a:b/c@d@h/?authMechanismProperties=TOKEN:x", "mongodb+srv://***@h"),
        ("'mongodb://h/db'", "'mongodb://h'"),
    ],
)
def test_connection_strings_are_cut_down_to_their_hosts(text: str, shown: str) -> None:
    """Of a connection string in a message only the hosts remain."""
    assert without_secrets(text) == shown


async def test_a_refusal_of_the_server_quotes_no_document(server_database: Any) -> None:
    """What the server says about a document it refuses is told by its code alone."""
    await server_database["c"].create_index("name", unique=True)
    await server_database["c"].insert_one({"name": SECRET_NAME})
    with pytest.raises(Exception, match=SECRET_NAME) as caught:
        await server_database["c"].insert_one({"name": SECRET_NAME})
    assert SECRET_NAME not in in_one_line(caught.value)
    assert "11000" in in_one_line(caught.value)
