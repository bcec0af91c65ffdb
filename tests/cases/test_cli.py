"""The command line: data as plain text, ids to paste back, exit codes, a server that is down, any terminal."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import socket
import struct
import subprocess
import sys
import termios
import time
import tomllib
import unicodedata
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bson import Binary, Decimal128, Int64, ObjectId
from hypothesis import given
from hypothesis import strategies as st
from pymongo import MongoClient
from pymongo.errors import AutoReconnect, NotPrimaryError

from lazymig.cli import verbs
from lazymig.cli.failures import in_one_line
from lazymig.cli.output import plain
from lazymig.status.ids import Names, id_text, typed
from lazymig.status.json_text import as_json
from tests.widening import WIDENING

SCRIPT = Path(sys.executable).with_name("lazymig")
ROOT = Path(__file__).parents[2]
SECRET = "Confidential"
APP = """
import os, sys
from uuid import UUID
from attrs import frozen
from bson import ObjectId
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import AsyncMongoClient
import lazymig

Id = int | str | bytes | ObjectId | UUID

@frozen
class Old:
    id: Id
    name: str

@frozen
class New:
    id: Id
    first: str
    last: str

def upgrade(old):
    if old.name == "leave":
        sys.exit(0)
    first, last = old.name.split(" ")  # splitting
    if last == "unknown":
        raise KeyError(first)  # looking
    return New(old.id, first, last)

def downgrade(new):
    return Old(new.id, f"{new.first} {new.last}")

migration = lazymig.Migration(name="people", v1=Old, v2=New, upgrade=upgrade, downgrade=downgrade)

def people(kind=AsyncMongoClient):
    database = kind(os.environ["URI"])[os.environ["DATABASE"]]
    return lazymig.Repository(
        migration, v1=database["v1"], v2=database["v2"], phase=lazymig.Phase.COEXIST, timeout_s=5
    )

def motor():
    return people(AsyncIOMotorClient)

def leaves():
    sys.exit(0)

async def leaves_later():
    sys.exit()

def of_two(one, two):
    return people()
"""

Run = Callable[..., "subprocess.CompletedProcess[str]"]
#: One of each kind of text that a terminal, or what prints to it, might obey or break.
HOSTILE = [
    "room:key:7", "nope:x:", "[red]", "[/]", "[bold red]x[/bold red]", "\x1b[31mred\x1b[0m", "\x1b]0;title\x07",
    "a\tb", "a\nb", "a\rb", "\x9b31m", "\u202egnp.exe", "tab\\t", "x" * 79, "5ca4bbcea2dd94ee58162a68" * 3,
    "two words", "-7", " padded ", "int:5", "ünïcode", "\x7f", "#1",
]  # fmt: skip


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A folder with the application in it, and what that reads from the environment."""
    (tmp_path / "shop.py").write_text(APP)
    (tmp_path / "quits.py").write_text("import sys\nsys.exit(0)\n")
    own = {"DATABASE": f"test_{uuid.uuid4().hex[:12]}", "LAZYMIG_APP": "shop:people", "URI": "mongodb://127.0.0.1:1/"}
    cleared = ("COLUMNS", "LINES", "PYTHONIOENCODING", "FORCE_COLOR", "NO_COLOR")
    return {name: value for name, value in {**os.environ, **own}.items() if name not in cleared}


@pytest.fixture
def script(environment: dict[str, str], tmp_path: Path) -> Run:
    """Run the console script in the application's folder, in a pipe."""

    def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [SCRIPT, *arguments], cwd=tmp_path, env={**environment, **more}, capture_output=True, timeout=60,
            encoding=more.get("PYTHONIOENCODING", "utf-8").partition(":")[0],
        )  # fmt: skip

    return run


@pytest.fixture
def here(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., tuple[int, str, str]]]:
    """Run a command line in this process, which is faster; its exit code and what it printed."""

    def run(*arguments: str) -> tuple[int, str, str]:
        for name in ("LAZYMIG_APP", "URI", "DATABASE"):
            monkeypatch.setenv(name, environment[name])
        code = verbs.run(arguments)
        return code, *capsys.readouterr()

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield run
    for name in ("shop", "quits"):
        sys.modules.pop(name, None)


@pytest.fixture
def lazymig(here: Callable[..., tuple[int, str, str]]) -> Run:
    """Run a command line in this process, as `script` would; for claims about what it does and prints."""

    def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in more.items():
                patch.setenv(name, value)
            return subprocess.CompletedProcess(arguments, *here(*arguments))

    return run


@pytest.fixture
def on_terminal(environment: dict[str, str], tmp_path: Path) -> Callable[..., str]:
    """Run the console script on a terminal of so many columns; all that it prints there."""

    def run(columns: int, *arguments: str, **more: str) -> str:
        own = {**environment, "TERM": "xterm", **more}
        parent, child = pty.openpty()
        fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
        process = subprocess.Popen([SCRIPT, *arguments], cwd=tmp_path, env=own, stdin=child, stdout=child, stderr=child)
        os.close(child)
        printed = b""
        with contextlib.suppress(OSError):  # the terminal is closed
            while data := os.read(parent, 65536):
                printed += data
        os.close(parent)
        assert process.wait(30) is not None
        return printed.decode(own.get("PYTHONIOENCODING", "utf-8").partition(":")[0])

    return run


@pytest.fixture
def database(environment: dict[str, str], lazymig_server: Any) -> Iterator[Any]:
    """The application's database on the real server."""
    environment["URI"] = lazymig_server.uri
    with MongoClient[dict[str, Any]](lazymig_server.uri) as client:
        yield client[environment["DATABASE"]]
        client.drop_database(environment["DATABASE"])


def without_colours(text: str) -> str:
    """What a terminal shows, without the escape sequences that colour it or move in it."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def failing(database: Any, ids: list[Any], lazymig: Run) -> None:
    """A dead letter for each of these ids."""
    database["v1"].insert_many([{"_id": id, "name": SECRET} for id in ids])
    assert lazymig("sweep").returncode == 3


def rows(printed: str) -> list[list[str]]:
    """The letters of a list in a pipe, field by field."""
    return [line.split("\t") for line in printed.splitlines() if not line.startswith("#")]


# 28, 32, 44: what cannot be run.


@pytest.mark.parametrize("app", ["quits:repository", "shop:leaves", "shop:leaves_later"])
@pytest.mark.parametrize("verb", [["status"], ["sweep"], ["sweep", "--workers", "2"], ["dead-letters", "list"]])
def test_case_28_an_app_that_exits_is_a_failure(here: Callable[..., Any], app: str, verb: list[str]) -> None:
    """An application that ends the process at import or in its function gives 1 and a reason, whatever its code."""
    code, out, err = here(*verb, "--app", app)
    assert (code, out) == (1, "")
    assert "the application called sys.exit(" in err
    assert "nothing was done" in err


def test_case_28_the_process_ends_with_1(script: Run) -> None:
    """The same of the console script as a whole."""
    assert script("sweep", "--app", "quits:repository").returncode == 1


@pytest.mark.parametrize("options", [[], ["--workers", "2"], ["--dry-run"]])
def test_case_28_a_conversion_that_exits_is_a_failure(script: Run, database: Any, options: list[str]) -> None:
    """A conversion that ends the process does not end it with 0."""
    database["v1"].insert_one({"_id": 1, "name": "leave"})
    ended = script("sweep", *options)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "sys.exit(0)" in ended.stderr


@pytest.mark.parametrize(
    ("app", "said"),
    [
        ("./shop:people", "./shop is no module name"),
        ("../x:y", "is no module name"),
        (".shop:people", "is no module name"),
        ("shop.py:people", "is no module name"),
        ("/srv/shop:people", "is no module name"),
        ("a b:people", "is no module name"),
        ("shop..x:people", "is no module name"),
        ("shop", "module:attribute"),
        ("shop:", "module:attribute"),
        (":people", "module:attribute"),
        ("nowhere:people", "no module nowhere"),
        ("shop.more:people", "no module shop.more"),
        ("shop:nothing", "no attribute nothing"),
        ("shop:migration", "found Migration"),
        ("shop:migration.name", "found str"),
        ("shop:of_two", "cannot be called without arguments"),
    ],
)
def test_case_32_and_44_a_wrong_app_is_bad_usage(here: Callable[..., Any], app: str, said: str) -> None:
    """A wrong --app gives 2 on every verb, in one line with what is wrong and the verb's own help."""
    for verb in (["status"], ["dead-letters", "show", "5"], ["sweep", "--workers", "2"]):
        code, out, err = here(*verb, "--app", app)
        assert (code, out) == (2, "")
        [line] = err.splitlines()
        assert said in line
        chain = " ".join(word for word in verb if word.isidentifier() or word == "dead-letters")
        assert line.endswith(f"See lazymig {chain} --help.")


@pytest.mark.parametrize(
    ("arguments", "help"),
    [
        (["sweep", "--grace", "1"], "sweep"),
        (["sweep", "--grace", "5", "--workers", "2"], "sweep"),
        (["sweep", "--grace", "5", "--dry-run"], "sweep"),
        (["sweep", "--faster"], "sweep"),
        (["sweep", "--workers", "0"], "sweep"),
        (["sweep", "--workers", "1e3"], "sweep"),
        (["sweep", "--workers", "1001"], "sweep"),
        (["sweep", "--workers", "auto", "--dry-run"], "sweep"),
        (["sweep", "--shard", "4/4"], "sweep"),
        (["dead-letters", "waive", "5"], "dead-letters waive"),
        (["dead-letters", "fly"], "dead-letters"),
        (["fly"], ""),
    ],
)
def test_case_44_bad_usage_names_the_verbs_help(lazymig: Run, database: Any, arguments: list[str], help: str) -> None:
    """A wrong option, a grace within a read's time among them, gives 2, and the hint names the help of that verb."""
    ended = lazymig(*arguments)
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1].endswith(f"See lazymig {help} --help.".replace("  ", " "))


# 29: ids with types.


def test_case_29_an_id_that_may_be_two_asks_for_its_type(lazymig: Run, database: Any) -> None:
    """Between 5 and "5" nothing is picked: exit code 2 names the choices, and each of them names one entity."""
    failing(database, [5, "5", 6], lazymig)
    ended = lazymig("dead-letters", "waive", "5", "--reason", "known")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "int:5" in ended.stderr
    assert "str:5" in ended.stderr
    assert [row[0] for row in rows(lazymig("dead-letters", "list").stdout)] == ["int:5", "6", "str:5"]
    assert lazymig("dead-letters", "waive", "str:5", "--reason", " ").returncode == 2  # no reason
    assert lazymig("dead-letters", "waive", "str:5", "--reason", "known").returncode == 0
    waived = json.loads(lazymig("dead-letters", "list", "--waived", "--json").stdout)["dead_letters"]
    assert [(letter["id"], letter["ref"]) for letter in waived] == [("5", "str:5")]
    # Waived or not, there are still two that the text may stand for.
    assert lazymig("dead-letters", "show", "5").returncode == 2
    assert lazymig("dead-letters", "show", "6").returncode == 0
    assert lazymig("dead-letters", "show", "str:6").returncode == 2


def test_case_29_whatever_the_list_shows_can_be_pasted_back(lazymig: Run, database: Any) -> None:
    """Each id of the list, of any type and with any characters, names its own letter, as does its typed form."""
    kinds = [7, "7", ObjectId(), str(ObjectId()), Binary.from_uuid(uuid.uuid4()), b"\x00\xff", "bytes:00ff", 5.5,
             Binary(b"1", 5), Decimal128("1.50"), {"a": 1, "b": "x"}, True, Int64(2**40), -7]  # fmt: skip
    failing(database, [*kinds, *HOSTILE], lazymig)
    listed = json.loads(lazymig("dead-letters", "list", "--json").stdout)["dead_letters"]
    in_pipe = [row[0] for row in rows(lazymig("dead-letters", "list").stdout)]
    references = [letter["ref"] for letter in listed]
    assert in_pipe == references
    assert len(set(references)) == len(references) == len(kinds) + len(HOSTILE)
    tried = lazymig("dead-letters", "retry", "--json", "--", *references)
    assert json.loads(tried.stdout)["retried"] == len(references), tried.stderr
    for letter in [one for one in listed if ":" in one["ref"]][::3]:
        shown = json.loads(lazymig("dead-letters", "show", letter["ref"], "--json").stdout)
        assert shown == {**letter, "attempts": 2, "last_at": shown["last_at"]}


def test_case_29_types_of_ids_on_the_command_line() -> None:
    """An id is named by its type and its obvious text; letters of hexadecimal numbers may be large."""
    oid, number = ObjectId("5ca4bbcea2dd94ee58162a68"), uuid.UUID("12345678-9abc-def0-1234-56789abcdef0")
    binary = Binary.from_uuid(number)
    names = Names([5, "5", oid, binary, b"\x00\xff", "a\\b"])
    for text, id in {
        "int:5": 5, "str:5": "5", "oid:5ca4bbcea2dd94ee58162a68": oid, "oid:5CA4BBCEA2DD94EE58162A68": oid,
        "5ca4bbcea2dd94ee58162a68": oid, f"uuid:{number}": binary, f"uuid:{str(number).upper()}": binary,
        f"uuid:{number.hex}": binary, str(number): binary, "bytes:00ff": b"\x00\xff", "bytes:00FF": b"\x00\xff",
        "a\\b": "a\\b", "a\\\\b": "a\\b", "str:a\\b": "a\\b",
    }.items():  # fmt: skip
        assert names.find(text) == [id], text
    assert names.find("5") == [5, "5"]
    assert names.find("uuid:no") == names.find("") == names.find("int:") == []
    likes = Names(["int:7", "str:7", "bytes:00"])  # a type in front decides, whether or not there is such an id
    assert likes.find("int:7") == likes.find("str:7") == likes.find("bytes:00") == []
    assert [likes.find(f"str:{id}") for id in ("int:7", "str:7", "bytes:00")] == [["int:7"], ["str:7"], ["bytes:00"]]


@given(st.lists(st.one_of(st.integers(), st.text(), st.binary(), st.uuids(), st.booleans(), st.floats()), max_size=8))
def test_case_29_any_ids_have_names_of_their_own(ids: list[Any]) -> None:
    """Whatever the ids, each reference finds exactly its id, and none of them holds anything a terminal obeys."""
    distinct = {typed(id): id for id in ids}
    names = Names(distinct.values())
    for text, id in distinct.items():
        reference = names.reference(id)
        assert [typed(found) for found in names.find(reference)] == [text]
        assert [typed(found) for found in names.find(text)] == [text]
        assert plain(reference) == reference
        assert plain(id_text(id)) == id_text(id)


# 36, 42: data as plain text.


@pytest.mark.parametrize("columns", [0, 40, *([80] if WIDENING.full else []), 200])
def test_case_36_and_42_data_are_printed_as_plain_text(
    lazymig: Run, on_terminal: Callable[..., str], database: Any, columns: int
) -> None:
    """Ids of every kind are shown as they are: no emoji, no markup, and no control character reaches a terminal."""
    failing(database, HOSTILE, lazymig)
    database["lazymig_control"].update_many(
        {"kind": "dead"}, {"$set": {"error": "Bad:x:[red]", "path": "\x1b[5m:key:"}}
    )
    for verb in (["dead-letters", "list"], ["status"], ["sweep", "--dry-run"], ["dead-letters", "show", "room:key:7"]):
        if columns:
            printed = without_colours(on_terminal(columns, *verb)).replace("\r", "")
        else:
            ended = lazymig(*verb)
            printed = ended.stdout + ended.stderr
        assert {c for c in printed if unicodedata.category(c) in {"Cc", "Cf"}} <= {"\n", "\t"}
        assert "🗝" not in printed
        assert "🔑" not in printed
        assert "room:key:7" in printed or verb == ["status"]  # which shows ten
        if verb[-1] == "list":
            for shown in ("nope:x:", "[red]", "[/]", "\\x1b[31mred\\x1b[0m", "a\\nb", "\\x9b31m", "\\u202egnp.exe"):
                assert shown in printed
            assert "Bad:x:[red]" in printed
            assert "\\x1b[5m:key:" in printed


def test_case_42_json_holds_nothing_that_a_terminal_obeys(lazymig: Run, database: Any) -> None:
    """JSON is printable ASCII throughout, and reads back as what it was."""
    failing(database, HOSTILE, lazymig)
    for verb in (["dead-letters", "list"], ["status"], ["sweep", "--dry-run"], ["dead-letters", "show", "[red]"]):
        ended = lazymig(*verb, "--json")
        for line in (ended.stdout + ended.stderr).splitlines():
            assert line.isascii()
            assert line.isprintable()
            json.loads(line)
    listed = json.loads(lazymig("dead-letters", "list", "--json").stdout)["dead_letters"]
    assert {letter["id"] for letter in listed} == set(HOSTILE)


def test_case_42_what_the_user_types_is_printed_as_plain_text(lazymig: Run, database: Any) -> None:
    """Errors quote the command line and the application's words without obeying them."""
    for arguments in (
        ["dead-letters", "show", "\x1b[31m:key:"],
        ["status", "--app", "shop:\x1b[31m"],
        ["status", "--app", "\x1b[31m/x:y"],
        ["sweep", "--\x1b[31m"],
        ["dead-letters", "\x1b[31m"],
    ):
        ended = lazymig(*arguments)
        assert ended.returncode == 2
        assert "\x1b" not in ended.stdout + ended.stderr
        assert "\\x1b[31m" in ended.stderr


@given(st.text())
def test_case_42_plain_text_is_printable(text: str) -> None:
    """Any text becomes one printable line, and one that is printable stays as it is."""
    assert plain(text).isprintable()
    assert plain(plain(text)) == plain(text)
    assert json.loads(as_json({"x": text})) == {"x": text}
    assert as_json({"x": text}).isprintable()
    assert as_json({"x": text}).isascii()


# 37, 40: the list.


def test_case_37_in_a_pipe_a_letter_is_one_line(lazymig: Run, database: Any) -> None:
    """Whatever the terminal's width, each letter is one line that begins with its whole id, and can be cut."""
    ids = [*(str(ObjectId()) * 4 for _ in range(3)), "x" * 500, "two words"]
    failing(database, ids, lazymig)
    for more in ({}, {"COLUMNS": "40"}, {"COLUMNS": "80"}):
        listed = rows(lazymig("dead-letters", "list", **more).stdout)
        assert sorted(row[0] for row in listed) == sorted(ids)
        assert {len(row) for row in listed} == {9}
    status = lazymig("status", COLUMNS="40").stdout
    assert sum(line.startswith("x" * 500 + "\t") for line in status.splitlines()) == 1


@pytest.mark.parametrize("columns", [80, 40, 200])
def test_case_37_on_a_terminal_no_id_is_broken(
    lazymig: Run, on_terminal: Callable[..., str], database: Any, columns: int
) -> None:
    """On a terminal an id that fits is never broken over lines, and all that is said of it is there."""
    ids = ["5ca4bbcea2dd94ee58162a68", str(uuid.uuid4()), "two words", "x" * (columns - 2), "y" * 30]
    failing(database, ids, lazymig)
    for verb in (["dead-letters", "list"], ["status"]):
        lines = [line.rstrip() for line in without_colours(on_terminal(columns, *verb)).splitlines()]
        assert max(map(len, lines)) <= columns or columns == 40
        for id in ids:
            assert sum(line.startswith(id) for line in lines) == 1, id


def test_case_40_the_list_groups_by_error_and_line(lazymig: Run, database: Any) -> None:
    """The list begins with how many fail alike, where, and at which field; the letters follow."""
    documents = [{"_id": id, "name": SECRET} for id in range(3)]
    documents += [{"_id": 10, "name": f"{SECRET} unknown"}, {"_id": 11, "name": 5}]
    database["v1"].insert_many(documents)
    assert lazymig("sweep").returncode == 3
    ended = lazymig("dead-letters", "list")
    splitting, looking = (
        f"shop.py:{APP.splitlines().index(line) + 1} in upgrade"
        for line in ('    first, last = old.name.split(" ")  # splitting', "        raise KeyError(first)  # looking")
    )
    summary = [line[2:].split("  ") for line in ended.stdout.splitlines() if line.startswith("# ")]
    assert ["3", "upgrade", "ValueError", splitting, "-"] in summary
    assert ["1", "upgrade", "KeyError", looking, "-"] in summary
    assert ["1", "read", "TypeError", "-", "name"] in summary
    listed = json.loads(lazymig("dead-letters", "list", "--json").stdout)
    largest = listed["groups"][0]
    assert (largest["count"], largest["line"], largest["path"]) == (3, splitting, "")
    assert sum(group["count"] for group in listed["groups"]) == len(listed["dead_letters"]) == 5
    assert SECRET not in ended.stdout + json.dumps(listed)


def test_case_40_explain_shows_the_cause_here_and_stores_nothing(lazymig: Run, database: Any) -> None:
    """--explain converts once more and prints what is raised, to this terminal only; without it no contents appear."""
    database["v1"].insert_many([
        {"_id": 1, "name": f"{SECRET} unknown"}, {"_id": 2, "name": [SECRET]}, {"_id": 3, "name": SECRET},
    ])  # fmt: skip
    assert lazymig("sweep").returncode == 3
    database["v1"].update_one({"_id": 3}, {"$set": {"name": "Ada King"}})
    before = list(database["lazymig_control"].find())
    plainly = lazymig("dead-letters", "show", "1")
    explained = [lazymig("dead-letters", "show", id, "--explain") for id in ("1", "2", "3")]
    assert SECRET not in plainly.stdout + plainly.stderr
    heads = [line.strip().partition("  ")[0] for line in plainly.stdout.splitlines()]
    assert {"id", "step", "error", "line", "field", "first tried", "last tried", "attempts", "waived"} <= set(heads)
    assert f"KeyError: '{SECRET}'" in explained[0].stdout
    assert "shop.py:" in explained[0].stdout
    assert "reading the V1 document, field name: TypeError" in explained[1].stdout
    assert "it converts now: lazymig dead-letters retry" in explained[2].stdout
    in_json = json.loads(lazymig("dead-letters", "show", "1", "--explain", "--json").stdout)
    assert SECRET in in_json["explanation"]
    database["v1"].delete_one({"_id": 3})
    assert "V1 no longer holds" in lazymig("dead-letters", "show", "3", "--explain").stdout
    assert list(database["lazymig_control"].find()) == before
    assert SECRET not in str(before)
    assert database["v2"].count_documents({}) == 0


def test_case_40_a_dry_run_lists_what_does_not_convert(lazymig: Run, database: Any) -> None:
    """A rehearsal names the ids, 20 of them for a person and all up to 1,000 in JSON, with their lines; no contents."""
    database["v1"].insert_many([{"_id": id, "name": SECRET if id < 25 else "Ada King"} for id in range(60)])
    ended = lazymig("sweep", "--dry-run")
    assert [row[0] for row in rows(ended.stdout) if len(row) > 1] == [str(id) for id in range(20)]
    assert "# Do not convert: 20 of 25" in ended.stdout
    report = json.loads(lazymig("sweep", "--dry-run", "--json").stdout)
    assert [(one["id"], one["error"]) for one in report["not_movable"]] == [(id, "ValueError") for id in range(25)]
    assert all(one["line"].startswith("shop.py:") for one in report["not_movable"])
    assert SECRET not in ended.stdout + ended.stderr + str(report)
    assert database.list_collection_names() == ["v1"]


def test_case_35_the_report_speaks_of_clients(lazymig: Run, database: Any) -> None:
    """Neither report nor progress has a counter that reads like a loss of data."""
    database["v1"].insert_many([{"_id": id, "name": "Ada King"} for id in range(5)])
    ended = lazymig("sweep", "--json")
    report, last = json.loads(ended.stdout), json.loads(ended.stderr.splitlines()[-1])
    assert report["moved_by_clients"] == last["moved_by_clients"] == 0
    assert "lost" not in ended.stdout + ended.stderr + lazymig("sweep").stdout


@pytest.mark.parametrize("ids", [[], ["1", "2", "3"]], ids=["all", "named"])
def test_a_retry_says_what_became_of_each(lazymig: Run, database: Any, ids: list[str]) -> None:
    """A retry counts what it tried, which dead letters it removed and which still fail, in words and in JSON."""
    failing(database, [1, 2, 3], lazymig)
    database["v1"].update_one({"_id": 2}, {"$set": {"name": "Ada King"}})
    ended = lazymig("dead-letters", "retry", *ids)
    assert ended.returncode == 3
    assert ended.stdout.splitlines() == [
        "people: entities retried 3, dead letters removed 1, still failing 2",
        "people: open dead letters 2",
    ]
    assert database["v2"].find_one({"_id": 2})["last"] == "King"
    database["v1"].update_many({}, {"$set": {"name": "Ada King"}})
    ended = lazymig("dead-letters", "retry", "--json")
    assert ended.returncode == 0
    assert json.loads(ended.stdout) == {"retried": 2, "removed": 2, "still_failing": 0, "open": 0}
    assert database["v2"].count_documents({"last": "King"}) == 3


def test_a_waiver_is_reported_in_json(lazymig: Run, database: Any) -> None:
    """With --json a waiver is one object: the id as commands take it, and the reason."""
    failing(database, [5, "5"], lazymig)
    ended = lazymig("dead-letters", "waive", "str:5", "--reason", "known", "--json")
    assert (ended.returncode, json.loads(ended.stdout)) == (0, {"waived": "str:5", "reason": "known"})


def test_a_validator_of_the_control_collection_is_refused(lazymig: Run, database: Any) -> None:
    """A sweep that could not keep its checkpoints says so before it moves anything, and what to do about it."""
    database["v1"].insert_one({"_id": 1, "name": "Ada King"})
    database.create_collection("lazymig_control", validator={"tenant": {"$exists": True}})
    for verb in ("sweep", "status"):
        ended = lazymig(verb)
        assert (ended.returncode, ended.stdout) == (1, "")
        assert f"control: {database.name}.lazymig_control has a validator" in ended.stderr
        assert "collMod" in ended.stderr
    assert database["v2"].count_documents({}) == 0
    database.command("collMod", "lazymig_control", validator={})
    assert lazymig("sweep").returncode == 0


def test_what_a_validator_refuses_later_is_said_with_advice(lazymig: Run, database: Any) -> None:
    """A waiver that a younger validator refuses names the command that explains it, and quotes nothing."""
    failing(database, [1], lazymig)
    database.command("collMod", "lazymig_control", validator={"tenant": {"$exists": True}})
    ended = lazymig("dead-letters", "waive", "1", "--reason", SECRET)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "code 121" in ended.stderr
    assert "lazymig status says what to change" in ended.stderr
    assert SECRET not in ended.stderr


# 43, 45, 46: surroundings of the command.


def test_case_43_the_rate_limit_comes_with_the_command(lazymig: Run, database: Any) -> None:
    """`lazymig[cli]` brings what --rate needs."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    assert any(package.startswith("aiolimiter") for package in extras["cli"])
    assert any(package.startswith("aiolimiter") for package in extras["sweep"])
    database["v1"].insert_many([{"_id": id, "name": "Ada King"} for id in range(5)])
    assert lazymig("sweep", "--rate", "1000").returncode == 0
    assert database["v2"].count_documents({}) == 5


@pytest.fixture
def silent_server() -> Iterator[str]:
    """A server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"mongodb://127.0.0.1:{listener.getsockname()[1]}/"


def test_case_45_a_server_that_is_down_is_named_soon(
    environment: dict[str, str], tmp_path: Path, silent_server: str, closed_port: int
) -> None:
    """Stderr says what is waited for and how long, well before the command ends, and it ends by itself."""
    closed = f"mongodb://bob:hunter2@127.0.0.1:{closed_port}/"
    with contextlib.ExitStack() as running:
        processes = [
            running.enter_context(
                subprocess.Popen(
                    [SCRIPT, "status", "--app", f"shop:{function}"], cwd=tmp_path, env={**environment, "URI": uri},
                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                )
            )
            for function in ("people", "motor") for uri in (closed, silent_server)
        ]  # fmt: skip
        for process in processes:
            running.callback(process.kill)
        first = [process.stderr.readline() for process in processes if process.stderr]
        said_s = time.monotonic()
        rest = [process.communicate(timeout=50)[1] for process in processes]
    # Of ten seconds the first two are silent. So it holds on a busy machine, too, which starts a process slowly.
    assert time.monotonic() - said_s > 5
    assert [process.returncode for process in processes] == [1, 1, 1, 1]
    for said, end in zip(first, rest, strict=True):
        assert re.fullmatch(r"lazymig: waiting for the server 127\.0\.0\.1:\d+, 10 s at most\n", said)
        assert end.startswith("lazymig: cannot reach the server")
        assert "hunter2" not in said + end


def test_case_45_a_shorter_patience_of_the_users_own_holds(script: Run, closed_port: int) -> None:
    """A client's own server selection time-out that is shorter is kept; with --json what is said is JSON."""
    uri = f"mongodb://127.0.0.1:{closed_port}/?serverSelectionTimeoutMS="
    ended = script("sweep", "--workers", "2", URI=uri + "300")
    # Over before there would be anything to say.
    assert (ended.returncode, len(ended.stderr.splitlines())) == (1, 1)
    note, _ = script("sweep", "--json", URI=uri + "3000").stderr.splitlines()
    assert json.loads(note)["event"] == "note"
    assert "waiting for the server 127.0.0.1" in json.loads(note)["note"]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "ascii:strict"])
def test_case_46_any_encoding_will_do(
    lazymig: Run, script: Run, on_terminal: Callable[..., str], database: Any, encoding: str
) -> None:
    """Every verb prints in any encoding of the streams; what it lacks is written as an escape or by other signs."""
    failing(database, ["ünïcode", "日本"], lazymig)
    verbs = (["status"], ["dead-letters", "list"], ["sweep"], ["sweep", "--help"], ["status", "--json"])
    # In the poorest encoding each, in the others those that print the most; each is a process of its own.
    for verb in verbs if encoding == "ascii" or WIDENING.full else verbs[:2]:
        ended = script(*verb, PYTHONIOENCODING=encoding)
        assert ended.returncode in {0, 3}, ended.stderr
        assert "Traceback" not in ended.stderr
        assert "Traceback" not in on_terminal(80, *verb, PYTHONIOENCODING=encoding)
        if verb == ["status"]:
            assert re.search(r"oldest first: [1-8.]+\n", ended.stdout)
        if verb == ["dead-letters", "list"]:
            assert "\\u65e5\\u672c" in ended.stdout


@pytest.mark.parametrize("columns", [40, 60, 80, 120])
def test_case_46_a_narrow_bar_keeps_its_label(on_terminal: Callable[..., str], database: Any, columns: int) -> None:
    """At any width the bar is one line that begins with its whole label and shows the share."""
    database["v1"].insert_many([{"_id": id, "name": "Ada King"} for id in range(3000)])
    printed = without_colours(on_terminal(columns, "sweep"))
    frames = [line for line in re.split(r"[\r\n]+", printed) if "%" in line and re.search(r"\d/\d", line)]
    assert frames
    assert all(frame.startswith("sweep ") for frame in frames)
    assert max(len(frame.rstrip()) for frame in frames) <= columns
    assert "…" not in "".join(frames)
    # Counts are shown whole or not at all.
    ends = [re.sub(r"^.*?%", "", frame).strip() for frame in frames]
    assert [end for end in ends if not re.fullmatch(r".*?[\d,]+/[\d,]+(; \w+ [\d,]+(, [\w ]+ [\d,]+)*)?", end)] == []


def test_a_reader_that_leaves_early_is_no_traceback(
    environment: dict[str, str], tmp_path: Path, lazymig: Run, database: Any
) -> None:
    """`lazymig dead-letters list | head -1` shows its line and nothing else."""
    failing(database, [f"{id:0400}" for id in range(1000)], lazymig)
    ended = subprocess.run(
        f"{SCRIPT} dead-letters list | head -1", shell=True, cwd=tmp_path, env=environment, capture_output=True,
        text=True,
    )  # fmt: skip
    assert ended.stdout.splitlines() == ["# Dead letters of people: 1,000 open"]
    assert ended.stderr == ""


def test_case_45_a_server_that_is_lost_on_the_way_is_said() -> None:
    """What happened and what to do, without the reply of a server that is no primary any more."""
    lost = in_one_line(AutoReconnect("host:1: connection closed (configured timeouts: connectTimeoutMS: 20000.0ms)"))
    assert lost == "lost the server: host:1: connection closed; run it again once it answers, what was done is kept"
    assert "geheim" not in in_one_line(NotPrimaryError("not primary, full error: {'x': 'geheim'}", {"x": "geheim"}))
