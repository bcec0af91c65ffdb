"""What the end of a retirement leaves in the control collection, whatever somebody has made of the rows."""

from __future__ import annotations

from typing import Any

import pytest

from lazymig import Control
from lazymig.control import parts_of
from lazymig.loop.clock import SYSTEM_CLOCK

CONTROL = "lazymig_control"
#: What V2 needs as long as a process uses it, and what a person may ask for later.
KEPT = ("m.x/phase", "m.x/member/abc", "m.x/member/d/e", "m.x/retirement", "m.x/journal")
#: What nobody needs any more. Some ids begin as those do.
OTHERS: tuple[Any, ...] = (
    "m.x/pass", "m.x/pass/verify/1/t/00001", "m.x/conversion", "m.x/members", "m.x/phase/old", "mix/member/abc",
    {"mismatch": "m.x", "id": 1}, {"dead": "m.x", "id": "m.x/phase"}, "m.x/samples",
)  # fmt: skip


@pytest.mark.parametrize("kind", ["as it was", "phase", "x", "dead", None, 7, "gone"])
async def test_the_last_rows_are_kept_by_their_ids(database: Any, kind: Any) -> None:
    """Rows of other kinds are removed, and those of another migration stay; `kind` is only one of a row's values."""
    rows = [{"_id": id, "migration": "m.x", "kind": "samples" if id == "m.x/samples" else "other"} for id in OTHERS]
    rows += [{"_id": id, "migration": "m.x", "kind": id.split("/")[1] if kind == "as it was" else kind} for id in KEPT]
    for row in rows:
        if row["kind"] == "gone":
            del row["kind"]
    await database[CONTROL].insert_many([*rows, {"_id": "other/pass", "migration": "other", "kind": "pass"}])
    record = parts_of(Control(database[CONTROL], clock=SYSTEM_CLOCK)).retirement("m.x")
    assert await record.count_others() == len(OTHERS) - 1, "samples count for nothing"
    assert await record.remove_others() == len(OTHERS)
    assert {row["_id"] async for row in database[CONTROL].find()} == {*KEPT, "other/pass"}
