"""Where a report is written: whole or not at all, and never over a file that is something else."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from lazymig.cli.failures import Unusable
from lazymig.cli.report_file import check_target, write_report
from lazymig.web.report import make_report
from tests.snapshots import at_work


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("notes.html", "this file is no report of lazymig, and stays as it is"),
        ("link.html", "this file is no report of lazymig, and stays as it is"),
        ("folder", "this is no file"),
        ("nowhere/a.html", "there is no folder nowhere"),
    ],
)
def test_another_file_is_left(tmp_path: Path, target: str, message: str) -> None:
    """Where a report would take the place of something else, nothing is written: neither asked before nor after."""
    (tmp_path / "notes.html").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link.html").symlink_to("notes.html")
    for refused in (lambda: check_target(str(tmp_path / target)), lambda: write_report(tmp_path / target, "report")):
        with pytest.raises(Unusable, match=message):
            refused()
    assert (tmp_path / "notes.html").read_text() == "mine"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["folder", "link.html", "notes.html"]


def test_a_report_takes_the_place_of_a_report(tmp_path: Path) -> None:
    """What was written once may be written again, which is said; a link to it stays a link."""
    (tmp_path / "latest.html").symlink_to("real.html")
    target = check_target(str(tmp_path / "latest.html"))
    assert not write_report(target, make_report(at_work()))
    assert write_report(check_target(str(tmp_path / "latest.html")), make_report(at_work()))
    assert (tmp_path / "latest.html").is_symlink()
    assert (tmp_path / "real.html").read_text("utf-8") == make_report(at_work())


def test_an_empty_file_is_nobodys(tmp_path: Path) -> None:
    """A file that was only just made, as by mktemp, may be filled."""
    (tmp_path / "a.html").touch()
    assert write_report(check_target(str(tmp_path / "a.html")), "report")


def test_rights_are_those_of_any_new_file(tmp_path: Path) -> None:
    """All who may read what this user writes may read the report."""
    write_report(tmp_path / "a.html", "report")
    (tmp_path / "b.html").touch()
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a.html", "b.html")}
    assert len(modes) == 1


def test_a_full_disk_leaves_the_report_of_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails half way leaves the earlier report, and no part."""
    file = tmp_path / "a.html"
    write_report(file, before := make_report(at_work()))

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        write_report(file, "after")
    assert file.read_text("utf-8") == before
    assert list(tmp_path.iterdir()) == [file]
