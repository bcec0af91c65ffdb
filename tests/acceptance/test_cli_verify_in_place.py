"""`lazymig verify`, `doctor` and `check` on documents with both shapes, as a person, a pipe or a CI job runs them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lazymig.cli import verbs
from tests.acceptance.test_cli_in_place import BAD, COUNT, LEFT, SECRET, WAITS, Run, environment, lazymig, people

__all__ = ["environment", "lazymig", "people"]

Inside = Callable[..., tuple[int, str]]


@pytest.fixture
def inside(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Inside:
    """Run a command line in this process; its exit code and what it printed on stdout."""
    for name in ("URI", "DATABASE", "LAZYMIG_APP", "COLUMNS"):
        monkeypatch.setenv(name, environment[name])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "shop", raising=False)

    def run(*arguments: str) -> tuple[int, str]:
        code = verbs.run(arguments)
        printed = capsys.readouterr()
        assert SECRET not in printed.out + printed.err
        assert "Traceback" not in printed.err
        return code, printed.out

    return run


@pytest.fixture(autouse=True)
def _forget_the_application(monkeypatch: pytest.MonkeyPatch) -> Any:
    yield
    sys.modules.pop("shop", None)


def rows_of(printed: str) -> dict[str, str]:
    """The rows of a report: the first word of each value by its name."""
    rows = (line.strip().split("  ", 1) for line in printed.splitlines() if line.startswith("  "))
    return {row[0]: row[1].split()[0] for row in rows if len(row) == 2}


def test_a_verification_beside_another_program(lazymig: Run, inside: Inside, people: Any) -> None:
    """What another program has changed is shown as behind and needs nobody; a defect is one line and ends with 3."""
    people.update_one({"_id": BAD}, {"$set": {"name": "Ada Nr7"}})
    assert inside("sweep")[0] == 0
    people.update_many({"_id": {"$in": [1, 2]}}, {"$set": {"name": "Eve Other"}})
    people.insert_one({"_id": COUNT, "name": "Eve New"})
    verified = lazymig("verify")
    assert verified.returncode == 0
    assert max(map(len, verified.stdout.splitlines())) <= 80
    rows = rows_of(verified.stdout)
    assert (rows["compared"], rows["match"], rows["of these, behind"]) == (str(COUNT + 1), str(COUNT + 1), "3")
    assert "a read or a sweep stores it" in verified.stdout
    assert verified.stdout.splitlines()[-1] == "All that was compared agrees."
    people.update_one({"_id": 5}, {"$set": {"last": SECRET}})
    people.update_one({"_id": 6}, {"$set": {"_lazymig": "x"}})
    code, wrong = inside("verify", "--min-age", "0.1")
    lines = [line.split("\t") for line in wrong.splitlines() if line[:1].isdigit()]
    assert (code, [(line[1], line[2], line[3], line[7]) for line in lines]) == (
        3, [("different", "upgrade", "last", "5"), ("unknown", "-", "-", "6")],
    )  # fmt: skip
    assert "_lazymig is not what lazymig stores beside both shapes; unset it, and the fields that only V2 has" in wrong
    code, status = inside("status")
    assert (code, "1 different" in status) == (3, True)
    report = json.loads(inside("verify", "--repair", "--min-age", "0.1", "--json")[1])
    assert (report["repaired"], report["behind"], report["different"], report["unknown"]) == (4, 0, 0, 1)
    assert people.find_one({"_id": 1}, {"last": 1}) == {"_id": 1, "last": "Other"}


def test_a_verification_before_any_sweep(inside: Inside, people: Any) -> None:
    """All but one are behind, what readers get of them is checked, and the one that does not convert is missing."""
    code, printed = inside("verify", "--min-age", "0.1", "--json")
    report = json.loads(printed)
    assert (code, report["missing"], report["behind"]) == (3, 1, COUNT - 1)
    (missing,) = report["mismatches"]
    assert (missing["id"], missing["verdict"]) == (BAD, "missing")
    assert missing["reason"].startswith("upgrade failed: ValueError")
    assert people.count_documents({"_lazymig": {"$exists": True}}) == 0
    code, sampled = inside("verify", "--sample", str(COUNT), "--min-age", "0.1")
    assert (code, rows_of(sampled)["compared"], "orphans" in sampled) == (3, str(COUNT), False)


def test_the_doctor_and_the_check(lazymig: Run, inside: Inside, people: Any) -> None:
    """Both look at one collection, name what would become dead letters, and change nothing."""
    people.insert_one({"_id": COUNT, "name": "Eve New", "last": "theirs"})
    examined = lazymig("doctor", "--all")
    assert examined.returncode == 3
    assert max(map(len, examined.stdout.splitlines())) <= 80
    assert "\nblocks  conversion\n" in examined.stdout
    assert "\nblocks  taken fields\n" in examined.stdout
    assert "v2_within" in examined.stdout
    assert "v1 and v2" not in examined.stdout
    people.delete_one({"_id": COUNT})
    people.update_one({"_id": BAD}, {"$set": {"name": "Ada Nr7"}})
    found = json.loads(inside("doctor", "--all", "--json")[1])
    assert (found["blocked"], found["examined"]) == (False, COUNT)
    code, checked = inside("check", "--examples", "0", "--sample", str(COUNT))
    assert (code, f"{COUNT - 2} documents come back exactly" in checked) == (0, True)
    assert "\nok  shared fields\n" in checked
    assert people.count_documents({"_lazymig": {"$exists": True}}) == 0
    assert {WAITS, LEFT} <= {document["_id"] for document in people.find()}
