"""The history: whatever is ordered and however it ends, it is entered once, under the name that the hook gave."""

from __future__ import annotations

from typing import Any

import pytest
from pymongo.errors import AutoReconnect

from lazymig import Phase, PhaseError, Repository, Switch
from lazymig.control import parts_of
from lazymig.status.looking import control_of
from lazymig.web.actions.action import NotDone
from lazymig.web.actions.every import ACTIONS
from lazymig.web.actions.sheets import Sheet
from tests.fleets import until
from tests.web.visitors import Host, Visitor

#: How an order ends: what it raises, or returns.
ENDS: dict[str, Exception | None] = {
    "done": None, "changed nothing": NotDone("nothing"), "refused": PhaseError("refused"),
    "failed": AutoReconnect("secret"), "broken": ValueError("secret"),
}  # fmt: skip


@pytest.mark.parametrize("end", [*ENDS, "not allowed now", "refused as it was ordered"])
@pytest.mark.parametrize("action", ACTIONS)
async def test_each_order_is_entered_once(
    repo: Repository[Any, Any], host: Host, monkeypatch: pytest.MonkeyPatch, action: str, end: str
) -> None:
    """One entry says who ordered what, with how it ended; the same form again adds none."""
    await Switch(repo).begin(Phase.COEXIST, by="me", why="a test")
    allowed, did = [True], []

    async def look(self: Any, case: Any) -> Sheet:
        return Sheet(title="What", button="Do it") if allowed[0] else Sheet(title="What", why_not="not now")

    async def act(self: Any, case: Any, sheet: Sheet) -> str:
        did.append(case.by)
        if (error := ENDS[end]) is not None:
            raise error
        return "done"

    stubs: dict[str, Any] = {
        "look": look, "act": act, "check": lambda *given: {}, "describe": lambda *given: "what",
        "find_refusal": lambda *given: "refused" if end == "refused as it was ordered" else "",
    }  # fmt: skip
    for name, stub in stubs.items():
        monkeypatch.setattr(type(ACTIONS[action]), name, stub)
    host.who = "Ada Lovelace <b>"
    visitor = Visitor(host.app)
    page = await visitor.open(action)
    allowed[0] = end != "not allowed now"
    for _ in range(2):
        await visitor.send(page)

    async def entries() -> list[tuple[str, str, bool, bool]]:
        acts = await parts_of(control_of(repo)).journal("things").find_last(10)
        return [(one.by, one.action, one.good, one.ended_at is not None) for one in acts]

    async def is_entered() -> bool:
        return await entries() == [("Ada Lovelace <b>", action, end == "done", True)]

    await until(is_entered)
    assert did == (["Ada Lovelace <b>"] if end in ENDS else [])
