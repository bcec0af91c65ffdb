"""`lazymig sweep pause | resume | set` and `lazymig status --watch`, as an operator uses them beside a sweep."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lazymig.cli.verbs import run
from tests.acceptance.test_cli import COUNT, Run, environment, lazymig, people
from tests.commands import SCRIPT

__all__ = ["environment", "lazymig", "people"]
APP = ("--app", "shop:plain")
PATIENCE_S = 60.0


def wait_until(condition: Callable[[], object]) -> None:
    """Ask the server again and again."""
    until_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until_s


def running_in(people: Any, **those: Any) -> list[Any]:
    """The rows of the processes that run."""
    return list(people["lazymig_control"].find({"kind": "running", **those}))


def test_a_sweep_is_paused_set_and_resumed_from_elsewhere(
    lazymig: Run, people: Any, environment: dict[str, str], tmp_path: Path
) -> None:
    """Two workers stand still, say by whom and why, take up another rate, and finish once they are resumed."""
    first = lazymig("sweep", "pause", *APP, "--by", "ada", "--reason", "the shop is slow")
    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout == "people: paused; no sweep runs now; one that starts will wait until lazymig sweep resume\n"
    command = [SCRIPT, "sweep", *APP, "--workers", "2"]
    running = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        wait_until(lambda: len(running_in(people, paused=True)) == 2)
        assert people["people_v2"].count_documents({}) == 0
        again = lazymig("sweep", "pause", *APP, "--by", "bob").stdout
        assert re.fullmatch(r"people: paused already, by ada since .* UTC: the shop is slow\n", again)
        shown = lazymig("status", *APP).stdout
        assert re.search(
            r"^sweep is paused by ada since .*: the shop is slow\. lazymig sweep resume goes on\.$", shown, re.M
        )
        assert len(re.findall(r"^sweep by \S+: 0/s, .* at a time, 0 done; paused$", shown, re.MULTILINE)) == 2
        changed = json.loads(lazymig("sweep", "set", *APP, "--rate", "5000", "--json").stdout)
        assert (changed["rate"], changed["running"], changed["paused"]) == (5000.0, 2, True)
        wait_until(lambda: len(running_in(people, rate=5000.0)) == 2)
        assert "2 sweep processes" in lazymig("sweep", "resume", *APP).stdout
        out, err = running.communicate(timeout=PATIENCE_S)
    finally:
        running.kill()
    assert running.returncode == 0
    assert out.startswith("people: finished")
    assert re.search(r"^sweep: paused by ada since .* UTC: the shop is slow$", err, re.MULTILINE)
    assert people["people_v2"].count_documents({}) == COUNT
    assert running_in(people) == []


def test_a_paused_sweep_answers_a_signal(
    lazymig: Run, people: Any, environment: dict[str, str], tmp_path: Path
) -> None:
    """SIGTERM ends it with 0 although it is paused, and its progress as JSON says that it was."""
    lazymig("sweep", "pause", *APP)
    running = subprocess.Popen(
        [SCRIPT, "sweep", *APP, "--json"], cwd=tmp_path, env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        wait_until(lambda: running_in(people, paused=True))
        running.send_signal(signal.SIGTERM)
        out, err = running.communicate(timeout=PATIENCE_S)
    finally:
        running.kill()
    assert running.returncode == 0
    assert json.loads(out)["finished"] is False
    lines = [json.loads(line) for line in err.splitlines() if line.startswith("{")]
    assert any(line.get("paused") for line in lines)
    assert any(line.get("note", "").startswith("paused by") for line in lines)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("set", "--rate"),
        ("set --rate 0", "above 0, or none"),
        ("set --rate fast", "above 0, or none"),
        ("set --rate nan", "above 0, or none"),
        ("set --concurrency 0", "1 or more"),
        ("--where {} --adopt", "leave out --where"),
        ("--where [1]", "a JSON object"),
    ],
)
def test_what_cannot_be_done_is_refused(typed: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A bad command line ends with 2 and one line, before anything is asked of a server."""
    assert run(["sweep", *typed.split(), *APP]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in " ".join(err.split())


def test_a_part_is_swept(lazymig: Run, people: Any) -> None:
    """--where and --newest-first reach the sweep of each worker; the report says what was left."""
    where = json.dumps({"_id": {"$gte": COUNT - 10}})
    ended = lazymig("sweep", *APP, "--where", where, "--newest-first", "--workers", "2")
    assert ended.returncode == 0
    assert people["people_v2"].count_documents({}) == 10
    assert "Only documents of V1 that the filter finds were moved" in ended.stdout.replace("\n", " ")
    assert "The highest ids were moved first" in ended.stdout.replace("\n", " ")


@pytest.mark.parametrize("in_json", [True, False])
def test_status_is_watched_in_a_pipe(people: Any, environment: dict[str, str], tmp_path: Path, in_json: bool) -> None:
    """Each look is one JSON object on a line, or a block of lines; Ctrl-C ends it with 0 and without a word."""
    command = [SCRIPT, "status", *APP, "--watch", "--interval", "0.1", *(["--json"] if in_json else [])]
    watching = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    shown = ""
    try:
        assert watching.stdout is not None
        while shown.count("\n") < 2 if in_json else shown.count("V1 entities") < 2:
            shown += os.read(watching.stdout.fileno(), 65536).decode()
        watching.send_signal(signal.SIGINT)
        rest, err = watching.communicate(timeout=PATIENCE_S)
    finally:
        watching.kill()
    assert (watching.returncode, err) == (0, b"")
    if in_json:
        assert all(json.loads(line)["migration"] == "people" for line in (shown + rest.decode()).splitlines())
    else:
        assert "\x1b" not in shown
        assert "\n\npeople: phase coexist, 0.0 % migrated\n  V2 answers first" in shown


@pytest.mark.parametrize("watch", [False, True])
def test_status_is_one_screen_of_a_terminal(
    people: Any, environment: dict[str, str], tmp_path: Path, watch: bool
) -> None:
    """On 80 columns and 24 lines all of it fits, with a bar; --watch draws over it until Ctrl-C, and ends with 0."""
    meta = {"rev": 0, "intent": 0, "by": "read"}
    people["people_v2"].insert_many(
        {"_id": id, "first": "Ada", "last": f"Nr{id}", "_lazymig": meta} for id in range(100)
    )
    own = {**environment, "COLUMNS": "80", "LINES": "24", "TERM": "xterm", "NO_COLOR": "1"}
    command = [SCRIPT, "status", *APP, *(["--watch", "--interval", "0.1"] if watch else [])]
    parent, child = pty.openpty()
    running = subprocess.Popen(command, cwd=tmp_path, env=own, stdout=child, stderr=child)
    os.close(child)
    shown = _read(parent, lambda text: watch and text.count("people: phase") >= 3)
    if watch:
        running.send_signal(signal.SIGINT)
    shown += _read(parent, lambda _: False)
    assert running.wait(PATIENCE_S) == 0
    os.close(parent)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown).replace("\r", "")
    screen = plain.split("people: phase")[1].splitlines()
    assert len(screen) <= 24
    assert max(len(line) for line in screen) <= 80
    assert any(re.fullmatch(r"  █+░+  100 of 300", line) for line in screen)
    assert re.search(r"  V1 entities +300 +open dead letters +0", plain)
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", shown)  # no colour


def _read(terminal: int, is_whole: Callable[[str], bool]) -> str:
    """What a terminal shows until that is whole, or until its program ends."""
    shown = b""
    while not is_whole(shown.decode(errors="replace")):
        select.select([terminal], [], [], PATIENCE_S)
        try:
            read = os.read(terminal, 65536)
        except OSError:
            break
        if not read:
            break
        shown += read
    return shown.decode(errors="replace")
