"""What all tests of commands share."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def stay_in_front(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that runs in this process must not let others go first: all later tests would wait for a processor."""
    monkeypatch.setattr(os, "nice", lambda _: 0)
