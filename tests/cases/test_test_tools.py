"""The tools for tests: what they say without their packages, what they cost where nobody uses them, what they skip."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import lazymig.testing

ROOT = Path(__file__).parents[2]
HIDING = """
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"hypothesis", "mongomock_motor", "mongomock", "pytest"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Hidden())
"""


def python(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    own = {**os.environ, **environment}
    return subprocess.run([sys.executable, "-c", program], env=own, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("name", sorted(set(lazymig.testing._HOMES)))
def test_case_31_a_name_without_its_packages_says_what_to_install(name: str) -> None:
    """Each name of `lazymig.testing` works without the extra's packages, or says which pip install brings them."""
    ended = python(f"{HIDING}\nfrom lazymig.testing import {name}")
    last = ended.stderr.strip().splitlines()[-1:] or ["worked"]
    wanted = f"lazymig.testing.{name} needs hypothesis, which is not installed: pip install 'lazymig[testing]'"
    if name in {"LawBroken", "assert_laws", "documents_like", "entities", "sample_documents"}:
        assert last == [f"lazymig.testing.ExtraMissing: {wanted}"]
    else:
        assert last == ["worked"]


@pytest.mark.parametrize("module", ["laws", "strategies", "samples"])
def test_a_module_without_its_packages_says_what_to_install(module: str) -> None:
    """So does a module that is imported by its own name."""
    last = python(f"{HIDING}\nimport lazymig.testing.{module}").stderr.strip().splitlines()[-1:]
    wanted = "lazymig.testing needs hypothesis, which is not installed: pip install 'lazymig[testing]'"
    assert last == [f"lazymig.testing.ExtraMissing: {wanted}"]


def test_case_31_memory_repository_says_what_to_install() -> None:
    """The in-memory repository needs its package when it is made, and says so then."""
    program = """
from attrs import frozen
from lazymig import Migration
from lazymig.testing import memory_repository
@frozen
class One:
    id: int
memory_repository(Migration(name="ones", v1=One, v2=One, upgrade=lambda one: one, downgrade=lambda one: one))
"""
    last = python(HIDING + program).stderr.strip().splitlines()[-1]
    assert last.endswith("memory_repository needs mongomock_motor: pip install 'lazymig[testing]'")


def test_case_31_a_fault_inside_is_not_taken_for_a_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that is missing for another reason stays the error that it is."""
    monkeypatch.setitem(lazymig.testing._HOMES, "Nonsense", "nonsense")
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'lazymig\.testing\.nonsense'"):
        lazymig.testing.Nonsense  # noqa: B018
    assert issubclass(lazymig.testing.ExtraMissing, ImportError)


HEAVY = {"attr", "attrs", "bson", "cattr", "cattrs", "hypothesis", "mongomock_motor", "pymongo"}


def test_case_33_a_run_that_uses_no_fixture_imports_no_driver(tmp_path: Path) -> None:
    """A pytest run where lazymig is installed and not used imports neither PyMongo nor cattrs."""
    (tmp_path / "test_alone.py").write_text(
        "import sys\n"
        "def test_alone(request):\n"
        "    assert request.config.pluginmanager.hasplugin('lazymig.testing.plugin')\n"
        f"    assert not {HEAVY!r} & {{name.partition('.')[0] for name in sys.modules}}\n"
    )
    # Other plugins of this machine may import what they like.
    alone = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "lazymig.testing.plugin", "-p", "no:cacheprovider"]
    ended = subprocess.run(command, cwd=tmp_path, env=alone, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stdout


def test_case_33_public_names_are_there_when_they_are_used() -> None:
    """`import lazymig` alone loads none of the packages; each public name, also by `*`, loads what it needs."""
    program = f"""
import sys, lazymig
heavy = {HEAVY!r}
assert not heavy & {{name.partition('.')[0] for name in sys.modules}}
assert set(lazymig.__all__) <= set(dir(lazymig))
assert lazymig.Repository is lazymig.Repository and "pymongo" in sys.modules
from lazymig import *
assert Migration is lazymig.Migration
try:
    lazymig.Nonsense
except AttributeError as error:
    print(error)
"""
    ended = python(program)
    assert (ended.stderr, ended.stdout) == ("", "module 'lazymig' has no attribute 'Nonsense'\n")


def test_case_33_what_a_user_must_name_is_public() -> None:
    """Every public name has its home, and errors and reports that a user handles are among them."""
    assert set(lazymig.__all__) == set(lazymig._HOMES)
    # Aliases of types and a value, which have no names of their own.
    aliases = {"Id", "LEAVE", "OnError", "Sort"}
    assert {getattr(lazymig, name).__name__ for name in lazymig.__all__ if name not in aliases} == (
        set(lazymig.__all__) - aliases
    )
    assert {"ForeignDocument", "PassVanished", "Progress", "SweepReport", "DeadLetter"} <= set(lazymig.__all__)


def test_case_49_with_a_server_of_ones_own_no_test_is_skipped_silently(lazymig_server: Any) -> None:
    """With LAZYMIG_TEST_URI the tests that make a server fail start one of their own, and run."""
    chosen = "fails_v2s_apply or connection_lost_once"  # one fixture starts the server for them and for the others
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/contract/test_faults.py"]
    environment = {**os.environ, "LAZYMIG_TEST_URI": lazymig_server.uri}
    ended = subprocess.run(
        [*command, "-k", chosen], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )
    last = ended.stdout.strip().splitlines()[-1]
    assert last.startswith("3 passed"), ended.stdout
    assert "skipped" not in last
