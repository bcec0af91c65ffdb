"""`lazymig verify` as a person, a pipe or a cron job runs it, and what `lazymig status` says afterwards."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from bson import Int64
from pymongo import MongoClient

from lazymig import Difference, Mismatch, Verdict, VerifyReport
from lazymig.cli import verbs
from lazymig.cli.verify_report import show_report
from lazymig.verifying.report import Summary
from tests.acceptance.test_cli_steering import running_in, wait_until
from tests.commands import SCRIPT

COUNT, SECRET = 60, "Confidential"
APP = """
import os
from attrs import frozen
from pymongo import AsyncMongoClient
import lazymig

@frozen
class Old:
    id: int
    name: str
    age: int
    nickname: str | None = None

@frozen
class New:
    id: int
    first: str
    last: str
    age: int
    nickname: str | None = None

def upgrade(old):
    first, last = old.name.split(" ")
    return New(old.id, first, last, old.age, old.nickname)

def downgrade(new):
    return Old(new.id, f"{new.first} {new.last}", new.age, new.nickname)

migration = lazymig.Migration(name="people", v1=Old, v2=New, upgrade=upgrade, downgrade=downgrade)

def people():
    database = AsyncMongoClient(os.environ["URI"])[os.environ["DATABASE"]]
    return lazymig.Repository(migration, v1=database["v1"], v2=database["v2"], phase=lazymig.Phase.COEXIST)

def young(v1, v2):
    return v2.age < 50

invariants = {"names": lambda v1, v2: v1.name == f"{v2.first} {v2.last}"}
number = 5
"""
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def environment(tmp_path: Path, lazymig_server: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A folder with the application in it, and the name of its database."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    (tmp_path / "shop.py").write_text(APP)
    for variable, value in {"URI": lazymig_server.uri, "DATABASE": name, "LAZYMIG_APP": "shop:people"}.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield name
    sys.modules.pop("shop", None)


@pytest.fixture
def database(environment: str, lazymig_server: Any) -> Iterator[Any]:
    """Both collections, in agreement but for key order."""
    with MongoClient[dict[str, Any]](lazymig_server.uri) as client:
        found = client[environment]
        found["v1"].insert_many(
            {"_id": number, "name": f"Ada Nr{number}", "age": number, "nickname": None} for number in range(COUNT)
        )
        meta = {"rev": 0, "intent": 0, "by": "sweep"}
        found["v2"].insert_many(
            {"_id": number, "last": f"Nr{number}", "first": "Ada", "age": number, "nickname": None, "_lazymig": meta}
            for number in range(COUNT)
        )
        yield found
        client.drop_database(environment)


@pytest.fixture
def lazymig(environment: str, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command line in this process; its exit code and what it printed."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code = verbs.run(arguments)
        return code, *capsys.readouterr()

    return run


def spoil(database: Any) -> None:
    """One defect of each kind."""
    v2 = database["v2"]
    v2.delete_one({"_id": 1})
    v2.update_many({"_id": {"$in": [2, 3]}}, [{"$set": {"age": {"$toLong": "$age"}}}])
    v2.update_one({"_id": 4}, {"$set": {"first": SECRET}})
    v2.update_one({"_id": 5}, {"$unset": {"nickname": 1}})
    v2.update_one({"_id": 6}, {"$set": {"_lazymig.intent": 1}})
    database["v1"].update_one({"_id": 7}, {"$set": {"name": SECRET}})
    database["v1"].delete_one({"_id": 8})
    database["v1"].update_one({"_id": 9}, {"$set": {"_lazymig_rev": Int64(3), "age": 10}})


VERIFY = ("verify", "--min-age", "0")


def test_all_agree(lazymig: Run, database: Any) -> None:
    """Where all agree the exit code is 0, and nothing is written but the run."""
    before = list(database["v1"].find()), list(database["v2"].find())
    code, out, err = lazymig(*VERIFY)
    assert (code, out.splitlines()[0].split(",")[0]) == (0, "people: finished")
    assert "All that was compared agrees." in out
    assert f"verify: {COUNT} of about {COUNT} (100 %)" in err
    assert (list(database["v1"].find()), list(database["v2"].find())) == before
    code, out, _ = lazymig("status")
    assert code == 0
    assert f"finished, {COUNT} entities compared, {COUNT} agreed" in out


def rows(out: str) -> dict[tuple[str, ...], list[str]]:
    """The lines of groups in a pipe, by verdict, check, field and types."""
    found = [line.split("\t") for line in out.splitlines() if "\t" in line and not line.startswith("#")]
    return {tuple(row[1:6]): [row[0], *row[6:]] for row in found}


def test_each_defect_is_one_line(lazymig: Run, database: Any) -> None:
    """Each kind of defect is one line in a pipe, with its field, ids and what accepts it; nothing shows contents."""
    spoil(database)
    stale = "V2 was made from revision 0; V1 is at revision 3"
    code, out, _ = lazymig(*VERIFY, "--invariants", "shop:invariants")
    assert code == 3
    assert rows(out) == {
        ("different", "upgrade", "age", "int32", "int64"): ["2", "int-width:age", "2 3", "-"],
        ("different", "upgrade", "first", "string", "string"): ["1", "-", "4", "-"],
        ("different", "upgrade", "nickname", "null", "missing"): ["1", "missing-null:nickname", "5", "-"],
        ("stale", "upgrade", "age", "int32", "int32"): ["1", "-", "9", stale],
        ("missing", "-", "-", "-", "-"): ["1", "-", "1", "-"],
        ("orphan", "-", "-", "-", "-"): ["1", "-", "8", "-"],
        ("dirty", "-", "-", "-", "-"): ["1", "-", "6", "a write of revision 1 was announced and is not finished"],
        ("unknown", "-", "-", "-", "-"): ["1", "-", "7", "upgrade failed: ValueError at shop.py:23 in upgrade"],
    }
    assert "\n  --accept int-width:age\n  --accept missing-null:nickname\n" in out
    assert SECRET not in out
    code, out, _ = lazymig("status")
    assert code == 3
    said = "V1 and V2 do not agree: 1 missing, 1 stale, 4 different, 1 orphan, 1 dirty, 1 unknown"
    assert said in out.replace("\n", " ")
    stored = json.loads(lazymig("status", "--json")[1])["verified"]
    assert (stored["mismatches"]["different"], stored["last"]["counts"]["compared"]) == (4, COUNT)


def test_what_no_repair_settles(capsys: pytest.CaptureFixture[str]) -> None:
    """The reason is beside the field, without what would accept it, and no repair is advised."""
    field = Difference("tags[3].name", "int32", "int64", accept="int-width")
    reason = "no repair can settle it; accept with int-width:tags[].name"
    found = Mismatch(14, Verdict.DIFFERENT, "downgrade", (field,), reason, 1, 1, "", "verify", True)
    summary = Summary()
    summary.add(found)
    report = VerifyReport(
        migration="people", total=1, compared=1, match=0, different=1, mismatches=(found,), groups=summary.groups,
        finished=True, elapsed_s=1.0,
    )  # fmt: skip
    show_report(report)
    out = capsys.readouterr().out
    row = ["1", "int-width:tags[].name", "14", "no repair can settle it"]
    assert rows(out) == {("different", "downgrade", "tags[].name", "int32", "int64"): row}
    assert "--repair" not in out
    show_report(evolve(report, mismatches=(evolve(found, check="upgrade"),)))
    assert "lazymig verify --repair" in capsys.readouterr().out


def test_accepted_and_repaired(lazymig: Run, database: Any) -> None:
    """What is accepted is counted by its name, and the rest is repaired, but for what does not convert."""
    spoil(database)
    code, out, _ = lazymig(*VERIFY, "--accept", "int-width", "--accept", "missing-null:nickname", "--repair", "--json")
    report = json.loads(out)
    assert (code, report["accepted"], report["repaired"]) == (3, {"int-width": 2, "missing-null:nickname": 1}, 5)
    assert [(one["id"], one["verdict"], one["ref"]) for one in report["mismatches"]] == [(7, "unknown", "7")]
    v2 = {row["_id"]: row for row in database["v2"].find()}
    assert [v2[1]["first"], v2[4]["first"], v2[9]["age"], "nickname" in v2[5]] == ["Ada", "Ada", 10, False]
    assert v2[8]["_lazymig"]["gone"]
    database["v1"].update_one({"_id": 7}, {"$set": {"name": "Ada Nr7"}})
    assert lazymig(*VERIFY, "--accept", "int-width", "--accept", "missing-null:nickname")[0] == 0


def test_values_are_shown_by_choice(lazymig: Run, database: Any) -> None:
    """Values are printed with --show-values only, and never stored."""
    spoil(database)
    assert SECRET not in lazymig(*VERIFY)[1]
    out = lazymig(*VERIFY, "--show-values")[1]
    assert f'first: "Ada" expected, "{SECRET}" found' in out
    assert 'age: {"$numberInt": "2"} expected, {"$numberLong": "2"} found' in out
    assert SECRET not in str(list(database["lazymig_control"].find()))


def test_other_opinions(lazymig: Run, database: Any) -> None:
    """An invariant and an expectation by name find what both conversions agree on; so does --ordered for key order."""
    code, out, _ = lazymig(*VERIFY, "--invariants", "shop:young")
    old = ["10", "-", "50 51 52 53 54", "the invariant 'young' does not hold"]
    assert (code, rows(out)) == (3, {("different", "young", "-", "-", "-"): old})
    assert lazymig(*VERIFY, "--expected", "shop:upgrade")[0] == 0
    code, out, _ = lazymig(*VERIFY, "--ordered")
    assert list(rows(out)) == [("different", "upgrade", "-", "document", "document with its keys in another order")]


def test_parts_of_the_whole(lazymig: Run, database: Any) -> None:
    """A sample says what it can exclude, and a filter compares only what it finds."""
    code, out, _ = lazymig(*VERIFY, "--sample", "20")
    assert code == 0
    assert "with 95% confidence fewer than" in out.replace("\n", " ")
    spoil(database)
    code, out, _ = lazymig(*VERIFY, "--where", '{"age": {"$gt": 20}}')
    assert (code, "39 of about 39" in out) == (0, True)
    code, out, _ = lazymig(*VERIFY, "--where", '{"_id": {"$in": [{"$numberLong": "4"}, 30]}}')
    assert (code, [row[2] for row in rows(out).values()]) == (3, ["4"])
    assert "finished, of a filter, 2 entities compared, 1 agreed" in lazymig("status")[1]


def test_stopped_early_is_no_success(lazymig: Run, database: Any) -> None:
    """A verification that ends before it compared everything proves nothing, so its exit code is 1."""
    code, out, _ = lazymig(*VERIFY, "--rate", "20", "--batch-size", "5", "--max-time", "0.2")
    assert (code, "stopped early; run it again to continue" in out) == (1, True)
    code, out, _ = lazymig(*VERIFY)
    assert (code, f"{COUNT} of about {COUNT}" in out) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--where", "[1]"], "--where: pass a JSON object"),
        (["--where", f'{{"{SECRET}'], "--where: pass a MongoDB filter as extended JSON"),
        (["--accept", "nothing"], "--accept: 'nothing' is unknown; pass one of missing-null"),
        (["--sample", "0"], "--sample: pass 1 or more"),
        (["--sample", "1", "--workers", "2"], "--sample runs in one process"),
        (["--sample", "1", "--workers", "auto"], "--sample runs in one process"),
        (["--workers", "0"], "--workers: pass a number from 1 to 1,000, or auto"),
        (["--workers", "all"], "--workers: pass a number from 1 to 1,000, or auto"),
        (["--sample", "1", "--shard", "0/2"], "--sample runs in one process"),
        (["--continuous"], "--continuous: pass --rate"),
        (["--continuous", "--rate", "5", "--max-time", "5"], "--continuous verifies everything"),
        (["--continuous", "--rate", "5", "--workers", "2"], "--continuous verifies everything"),
        (["--shard", "2/2"], "--shard: pass I/N"),
        (["--expected", "shop"], "--expected: name it as module:attribute, such as shop.checks:expected"),
        (["--expected", "nowhere:f"], "--expected nowhere:f: no module nowhere"),
        (["--expected", "shop:number"], "--expected shop:number: found int; name a function"),
        (["--invariants", "shop:missing"], "--invariants shop:missing: module shop has no attribute missing"),
        (["--invariants", "shop:number"], "--invariants shop:number: found int"),
    ],
)
def test_unusable_options_are_refused(lazymig: Run, arguments: list[str], said: str) -> None:
    """What cannot work is refused in one line with exit code 2, before the server is asked."""
    code, out, err = lazymig("verify", *arguments)
    assert (code, out, err.startswith(f"lazymig: {said}")) == (2, "", True), err
    assert SECRET not in err


def test_worker_processes_share_a_verification(lazymig: Run, database: Any) -> None:
    """Two processes find the checks by their names, share one pass, and report it as one."""
    spoil(database)
    assert lazymig("verify", "pause")[0] == 0  # or the first would be through before the second has started
    command = [SCRIPT, *VERIFY, "--workers", "2", "--invariants", "shop:invariants", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        wait_until(lambda: len(running_in(database)) == 2)
        assert lazymig("verify", "resume")[0] == 0
        report = json.loads(process.communicate(timeout=300)[0])
    assert (process.returncode, report["finished"], report["compared"]) == (3, True, COUNT)
    assert (report["different"], report["missing"], report["orphan"]) == (4, 1, 1)
    assert len(list(database["lazymig_control"].find({"kind": "verify run"}))) == 2


def test_continuous_reports_each_pass_until_stopped(database: Any) -> None:
    """A report per pass, until a signal ends it; that is no failure."""
    command = [SCRIPT, *VERIFY, "--continuous", "--rate", "1000", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        passes = [json.loads(process.stdout.readline()) for _ in range(2)]
        process.terminate()
        rest = process.stdout.read()  # not by `communicate`, which does not see what was read ahead
    assert [(one["finished"], one["compared"], one["agrees"]) for one in passes] == [(True, COUNT, True)] * 2
    assert process.returncode == 0
    assert len(list(database["lazymig_control"].find({"kind": "verify run"}))) == 2 + len(rest.splitlines())
