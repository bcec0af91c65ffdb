"""Ctrl-C while the workers of a sweep start: the terminal sends it to all, also to those that cannot handle it yet."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.test_cli import COUNT, SCRIPT, environment, people
from tests.acceptance.test_cli_steering import PATIENCE_S
from tests.widening import WIDENING

__all__ = ["environment", "people"]
#: Python runs it when it starts. The worker that comes to this import first presses Ctrl-C for its whole group.
_HOOK = """
import os, signal, sys

def note(event, arguments):
    global left
    if event != "import":
        return
    left -= 1
    if left:
        return
    try:
        os.close(os.open(os.environ["PRESSED"], os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    os.killpg(0, signal.SIGINT)

left = int(os.environ["PRESS_AT"])
if "--multiprocessing-fork" in sys.orig_argv:
    sys.addaudithook(note)
"""
#: A worker makes more imports than this before it has its repository.
_IMPORTS = 600
_SEED = WIDENING.seed if WIDENING.seed is not None else random.randrange(2**32)


def press(place: int, environment: dict[str, str], folder: Path) -> tuple[int, str, bool]:
    """Sweep until a worker presses Ctrl-C at one of its imports; return the exit code, stderr, and whether it did."""
    hook, pressed = folder / "hook", folder / "pressed"
    hook.mkdir(exist_ok=True)
    (hook / "sitecustomize.py").write_text(_HOOK)
    paths = os.pathsep.join([str(hook), *filter(None, [environment.get("PYTHONPATH")])])
    more = {"PYTHONPATH": paths, "PRESS_AT": str(place), "PRESSED": str(pressed)}
    # So slow that it is not through before its workers have started.
    command = [SCRIPT, "sweep", "--app", "shop:plain", "--workers", "3", "--batch-size", "1", "--rate", "1"]
    with subprocess.Popen(
        command, cwd=folder, env={**environment, **more}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    ) as running:  # fmt: skip
        try:
            _, err = running.communicate(timeout=PATIENCE_S)
        finally:
            running.kill()
    return running.returncode, err, pressed.exists()


@pytest.mark.parametrize("place", [1, *random.Random(_SEED).sample(range(2, _IMPORTS), 12 if WIDENING.full else 3)])
def test_workers_that_start_end_quietly(place: int, people: Any, environment: dict[str, str], tmp_path: Path) -> None:
    """Whatever they are about to load: the command stops as at any other time, and no process prints a traceback."""
    print(f"seed {_SEED}")
    code, err, pressed = press(place, environment, tmp_path)
    assert pressed
    assert "stopping after the batches in flight" in err
    assert "Traceback" not in err
    assert "KeyboardInterrupt" not in err
    assert code == 0, err
    assert people["people_v2"].count_documents({}) < COUNT
