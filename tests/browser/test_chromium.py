"""The decision whether the tests in the browser run."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.browser.chromium import NAMES, find_browser
from tests.house import ROOT

Outcome = pytest.fail.Exception | pytest.skip.Exception


def program(folder: Path, name: str) -> Path:
    """A file that can be executed."""
    file = folder / name
    file.write_text("#!/bin/sh\n")
    file.chmod(0o755)
    return file


@pytest.mark.parametrize("name", NAMES)
def test_a_browser_on_the_path_is_taken(tmp_path: Path, name: str) -> None:
    """Debian's and other names are found, in CI and elsewhere."""
    file = program(tmp_path, name)
    for ci in ("", "true"):
        assert find_browser({"PATH": str(tmp_path), "CI": ci}).require() == file


def test_a_named_browser_comes_first(tmp_path: Path) -> None:
    """LAZYMIG_CHROMIUM is taken in place of what is on the path, and nothing else is where it names no program."""
    program(tmp_path, "chromium")
    other = program(tmp_path, "other")
    given = {"PATH": str(tmp_path), "CI": "true"}
    assert find_browser(given | {"LAZYMIG_CHROMIUM": str(other)}).require() == other
    with pytest.raises(pytest.fail.Exception):
        find_browser(given | {"LAZYMIG_CHROMIUM": str(tmp_path / "missing")}).require()


@pytest.mark.parametrize(
    ("ci", "outcome"),
    [("true", pytest.fail.Exception), ("1", pytest.fail.Exception), ("", pytest.skip.Exception),
     ("false", pytest.skip.Exception)],
)  # fmt: skip
def test_without_a_browser_ci_fails_and_others_skip(tmp_path: Path, ci: str, outcome: type[Outcome]) -> None:
    """Nothing is skipped silently: CI fails, and elsewhere the reason says what to install."""
    with pytest.raises(outcome, match="apt-get install chromium"):
        find_browser({"PATH": str(tmp_path), "CI": ci}).require()


def test_without_the_driver_ci_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A browser that nothing can drive is no browser."""
    program(tmp_path, "chromium")
    monkeypatch.setattr("tests.browser.chromium.find_spec", lambda name: None)
    with pytest.raises(pytest.fail.Exception, match="pip install playwright"):
        find_browser({"PATH": str(tmp_path), "CI": "true"}).require()


@pytest.mark.parametrize(("ci", "outcomes"), [("true", {"errors": 1}), ("", {"skipped": 1})])
def test_the_tests_themselves_obey(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, ci: str, outcomes: dict[str, int]
) -> None:
    """A test that asks for the browser fails in CI without one, and the summary of a run elsewhere names the reason."""
    monkeypatch.setenv("CI", ci)
    monkeypatch.setenv("LAZYMIG_CHROMIUM", str(pytester.path / "missing"))
    pytester.makeconftest("from tests.browser.conftest import chromium\n__all__ = ['chromium']")
    pytester.makepyfile("async def test_it(chromium): raise AssertionError('it ran')")
    ended = pytester.runpytest_inprocess(
        "-ra", "--asyncio-mode=auto", "-o", "asyncio_default_fixture_loop_scope=session"
    )
    ended.assert_outcomes(**outcomes)
    ended.stdout.fnmatch_lines(["*no Chromium; install it with*"])


# What installs it


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The programs of a machine that has apt-get and no browser. What apt-get is asked for stands in `asked`."""
    for name in ("id", "flock", "env", "true"):
        where = shutil.which(name)
        assert where is not None
        (tmp_path / name).symlink_to(where)
    apt = program(tmp_path, "apt-get")
    apt.write_text(f'#!/bin/sh\necho "$DEBIAN_FRONTEND" "$@" >>{tmp_path}/asked\n[ ! -e {tmp_path}/broken ]\n')
    program(tmp_path, "sudo").write_text(f'#!/bin/sh\n[ -e {tmp_path}/locked ] && exit 1\nshift; exec "$@"\n')
    return tmp_path


def install(machine: Path, ci: str = "true") -> tuple[list[str], str]:
    """Run `.ci/chromium` on the machine: what apt-get was asked for, and what was said."""
    (machine / "asked").unlink(missing_ok=True)
    bash = shutil.which("bash")
    assert bash is not None
    ran = subprocess.run(
        [bash, str(ROOT / ".ci" / "chromium")],
        env={"PATH": str(machine), "TMPDIR": str(machine), "CI": ci},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    asked = machine / "asked"
    return (asked.read_text().splitlines() if asked.exists() else []), ran.stdout + ran.stderr


def test_ci_installs_a_browser(machine: Path) -> None:
    """The lists of packages first, then the browser, without a question."""
    asked, said = install(machine)
    assert [line.split()[0] for line in asked] == ["noninteractive", "noninteractive"]
    assert asked[0].endswith(" update")
    assert asked[1].endswith(" install --yes --no-install-recommends chromium")
    assert said == ""


def test_a_failing_installation_is_reported(machine: Path) -> None:
    """The reason is printed; the tests fail by themselves, since there is no browser."""
    (machine / "broken").touch()
    asked, said = install(machine)
    assert len(asked) == 1
    assert "could not install Chromium" in said


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_installed_twice(machine: Path, name: str) -> None:
    """A browser that the tests would find is enough."""
    program(machine, name)
    assert install(machine) == ([], "")


@pytest.mark.parametrize("ci", ["", "0", "false"])
def test_nobodys_own_machine_is_changed(machine: Path, ci: str) -> None:
    """Outside CI nothing is installed."""
    assert install(machine, ci) == ([], "")


def test_no_password_is_asked_for(machine: Path) -> None:
    """Somebody else than root installs it by sudo, and not where that would ask for a password."""
    (machine / "id").unlink()
    program(machine, "id").write_text("#!/bin/sh\necho 1000\n")
    assert len(install(machine)[0]) == 2
    (machine / "locked").touch()
    assert install(machine) == ([], "")


def test_the_run_of_all_checks_installs_it_first() -> None:
    """`.ci/run` begins with it, and the environment of these tests waits for it."""
    assert "bash .ci/chromium &" in (ROOT / ".ci" / "run").read_text("utf-8")
    assert "commands_pre = bash .ci/chromium" in (ROOT / "tox.ini").read_text("utf-8")
