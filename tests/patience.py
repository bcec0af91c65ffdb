"""How long the page waits: in tests so long that only what is broken reaches the end, however slow the machine is."""

from __future__ import annotations

from typing import Final

import pytest

from lazymig.web.actions import answering, doing, guards, hook, routes

#: Seconds.
LONG_S: Final = 60.0


def be_patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the page wait for the database, for the host's hook, for a form, and for the end of what it was ordered."""
    for module, name in (
        (answering, "ANSWER_S"), (doing, "ANSWER_S"), (doing, "ONCE_MORE_S"), (routes, "ONCE_MORE_S"),
        (doing, "_PATIENCE_S"), (guards, "_BODY_S"), (hook, "_ANSWER_S"),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, LONG_S)
