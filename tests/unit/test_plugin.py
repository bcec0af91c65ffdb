"""The pytest plugin: a server for those who ask, nothing for those who do not."""

from __future__ import annotations

import subprocess
import sys

import pytest

# In a pytest of its own: this one has loaded everything already.
USES_SERVER = """
    def test_uses(lazymig_server):
        print("uri", lazymig_server.uri)
        assert lazymig_server.uri.startswith("mongodb://")
"""


@pytest.fixture
def run(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makepyfile(USES_SERVER)
    return pytester


def test_other_server(run: pytest.Pytester, no_server: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """LAZYMIG_TEST_URI replaces the server, so none is started and none need be installed."""
    monkeypatch.setenv("LAZYMIG_TEST_URI", "mongodb://elsewhere.example:1")
    result = run.runpytest_inprocess("-s", "-p", "no:asyncio")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines("*uri mongodb://elsewhere.example:1*")


def test_missing_server_skips(run: pytest.Pytester, no_server: None) -> None:
    """Without a server, on somebody's own machine, the test is skipped and says what to install."""
    result = run.runpytest_inprocess("-rs", "-p", "no:asyncio")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines("*pip install 'lazymig?server?'*")


def test_missing_server_fails_in_ci(run: pytest.Pytester, no_server: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a server in CI the test fails and is never skipped."""
    monkeypatch.setenv("CI", "true")
    result = run.runpytest_inprocess("-p", "no:asyncio")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines("*no skipping in CI*pip install 'lazymig?server?'*")


def test_starts_a_server(run: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a mongod at hand the fixture starts it."""
    monkeypatch.delenv("LAZYMIG_TEST_URI", raising=False)
    result = run.runpytest_inprocess("-s", "-p", "no:asyncio")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines("*uri mongodb://127.0.0.1:*")


def test_costs_nothing() -> None:
    """Loading the plugin imports a few small files of lazymig, and neither a driver nor a converter."""
    program = (
        "import sys, pytest\n"
        "before = set(sys.modules)\n"
        "import lazymig.testing.plugin\n"
        "print(*sorted(name for name in set(sys.modules) - before if name not in sys.stdlib_module_names))\n"
    )
    imported = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    own = ["errors", "testing", "testing.plugin", "user_code"]
    assert imported.split() == ["lazymig", *(f"lazymig.{name}" for name in own)]


def test_forces_no_mode(pytester: pytest.Pytester) -> None:
    """The plugin leaves pytest-asyncio in its own default mode."""
    pytester.makepyfile("async def test_mode():\n    pass\n")
    result = pytester.runpytest_subprocess("--collect-only")
    result.stdout.fnmatch_lines("asyncio: mode=Mode.STRICT*")


def test_memory(pytester: pytest.Pytester) -> None:
    """`lazymig_memory` makes repositories that share nothing, without any server."""
    pytester.makepyfile(
        """
        import asyncio
        from attrs import frozen
        from lazymig import Migration

        @frozen
        class One:
            id: int

        def test_uses(lazymig_memory):
            migration = Migration(name="ones", v1=One, v2=One, upgrade=lambda v1: v1, downgrade=lambda v2: v2)
            first, second = lazymig_memory(migration), lazymig_memory(migration)
            asyncio.run(first.insert(One(1)))
            assert asyncio.run(first.get(1)) == One(1)
            assert asyncio.run(second.get(1)) is None
        """
    )
    pytester.runpytest_inprocess("-p", "no:asyncio").assert_outcomes(passed=1)
