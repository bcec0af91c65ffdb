"""What was explored, told at the end of the run."""

from __future__ import annotations

from typing import Any

import pytest

from lazymig.protocol import bodies
from tests.interleaving.running import EXPLORED, KILLED


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Runs, states and violations of each exploration, and the mutants that were killed."""
    if not EXPLORED and not KILLED:
        return
    terminalreporter.section("interleavings")
    for report in EXPLORED:
        told = (
            f"{report.runs:,} runs, {report.states:,} states, {report.interleavings:,} interleavings, "
            f"{report.crash_ends:,} crashes, {len(report.violations)} violations"
        )
        terminalreporter.write_line(f"{report.scenario}: {told}")
    if EXPLORED:
        runs, states = (sum(getattr(report, name) for report in EXPLORED) for name in ("runs", "states"))
        found = sum(len(report.violations) for report in EXPLORED)
        terminalreporter.write_line(f"in all: {runs:,} runs, {states:,} states, {found} violations")
    terminalreporter.write_line(f"mutants killed: {len(KILLED)}")


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader waits for a body once and not eight times: more of the same, and the states multiply."""
    monkeypatch.setattr(bodies, "WRITER_WAITS_S", (0.001,))
