"""Seen from outside, the quick `lazymig` of the tests is the one that pip installed."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.commands import SCRIPT, has_handles, quick_script

#: An application in memory, which shows the interpreter that runs it.
APP = """
import os, signal, sys
import mongomock_motor, pymongo
import lazymig
from tests.sweeps import repository as made

repository = made(mongomock_motor.AsyncMongoMockClient()["shop"])
sys.stderr.write(f"by {os.path.basename(sys.orig_argv[1])} in {os.getcwd()}\\n")

class Left:
    pass
"""
#: What it may leave open at its end.
LEAKS = {
    "a file in a cycle": "one = Left(); one.itself, one.file = one, open(__file__); del one",
    "a client": "client = pymongo.MongoClient('mongodb://127.0.0.1:1/'); client._topology.open()",
}
pytestmark = pytest.mark.skipif(not has_handles(), reason="this system has no handles of processes")
SWEEP = ("sweep", "--app", "shop:repository")
OWN, WARM = "by lazymig in", "by command_server.py in"


def run(script: Path, *arguments: str, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    top = str(Path(__file__).parents[2])
    environment = {**os.environ, "COLUMNS": "70", "APP_PATH": top, **more}
    return subprocess.run([script, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)


def application(folder: Path, more: str = "") -> None:
    (folder / "shop.py").write_text(f"import os, sys\nsys.path.append(os.environ['APP_PATH'])\n{APP}\n{more}\n")


def seen(ended: subprocess.CompletedProcess[str]) -> tuple[int, str, list[str]]:
    """The exit code and all that was printed; on stderr without addresses, and without who ran it."""
    lines = [re.sub(r"0x\w+", "N", line) for line in ended.stderr.splitlines() if not line.startswith("by ")]
    return ended.returncode, ended.stdout, lines


@pytest.mark.parametrize("words", ["phase --help", "completion tcsh", "status"])
def test_it_prints_and_ends_as_the_installed_one(tmp_path: Path, words: str) -> None:
    """Exit code, stdout and stderr are the same, at the first time and at the next."""
    expected = seen(run(SCRIPT, *words.split(), cwd=tmp_path))
    assert [seen(run(quick_script(), *words.split(), cwd=tmp_path)) for _ in range(2)] == [expected] * 2


def test_a_verb_runs_in_an_interpreter_of_its_own_until_it_has_done_its_work(tmp_path: Path) -> None:
    """Bad usage, help and a failure do not count as the work; and everything runs in the folder of the caller."""
    quick = quick_script.__wrapped__()
    application(tmp_path, "sys.exit()")
    assert run(quick, *SWEEP, "--rate", "0", cwd=tmp_path).returncode == 2
    assert run(quick, "sweep", "--help", cwd=tmp_path).returncode == 0
    assert run(quick, *SWEEP, cwd=tmp_path).returncode == 1
    application(tmp_path)
    by = [run(quick, *SWEEP, cwd=tmp_path).stderr.splitlines()[0] for _ in range(2)]
    assert by == [f"{OWN} {tmp_path}", f"{WARM} {tmp_path}"]


def test_what_an_interpreter_reads_from_the_environment_holds(tmp_path: Path) -> None:
    """A variable of Python's that the server was not started with brings an interpreter of its own."""
    quick = quick_script()
    application(tmp_path)
    assert run(quick, *SWEEP, cwd=tmp_path).returncode == 0
    ended = run(quick, *SWEEP, cwd=tmp_path, PYTHONDEVMODE="1")
    assert ended.stderr.startswith(OWN)


def test_another_seed_of_hashes_changes_nothing(tmp_path: Path) -> None:
    """Dask sets one for all processes that come after it, and commands are as quick then."""
    quick = quick_script()
    application(tmp_path)
    assert run(quick, *SWEEP, cwd=tmp_path).returncode == 0
    assert run(quick, *SWEEP, cwd=tmp_path, PYTHONHASHSEED="6640").stderr.startswith(WARM)


@pytest.mark.parametrize("left", LEAKS)
def test_what_is_left_open_is_reported(tmp_path: Path, left: str) -> None:
    """With warnings of it shown, a warm process shows the same ones as the installed script."""
    application(tmp_path, LEAKS[left])
    scripts = (SCRIPT, quick_script(), quick_script())
    ended = [run(script, *SWEEP, cwd=tmp_path, PYTHONWARNINGS="always::ResourceWarning") for script in scripts]
    assert ended[-1].stderr.startswith(WARM)
    # Behind the place, which is where the collector of garbage happens to be called.
    warnings = [re.findall(r": ResourceWarning: (.*)", "\n".join(seen(one)[2])) for one in ended]
    assert len(warnings[0]) == 1
    assert warnings == warnings[:1] * 3


def test_a_command_ends_with_its_caller(tmp_path: Path) -> None:
    """Where the script is killed, so is the command; where the command dies of a signal, so does the script."""
    quick = quick_script()
    application(tmp_path)
    assert run(quick, *SWEEP, cwd=tmp_path).returncode == 0
    application(tmp_path, "os.kill(os.getpid(), signal.SIGTERM)")
    assert run(quick, *SWEEP, cwd=tmp_path).returncode == -15
    application(tmp_path, "print(os.getpid(), flush=True); signal.pause()")
    environment = {**os.environ, "APP_PATH": str(Path(__file__).parents[2])}
    with subprocess.Popen([quick, *SWEEP], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        command = int(process.stdout.readline())
        process.kill()
        assert command != process.pid
        assert process.stdout.read() == ""  # once nobody can write to it any more
