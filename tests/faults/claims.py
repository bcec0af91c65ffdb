"""What must hold after any fault, and the ledger of what was tried.

1. Nothing acknowledged is lost, nothing deleted returns: each entity's history, with the reads afterwards, is
   linearizable (a write that raised may or may not have happened).
2. After a sweep V1 and V2 agree, and nothing but clean documents is left in V2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from attrs import frozen

from lazymig import Control, Sweeper
from lazymig.stores.documents import parse_v1, parse_v2
from lazymig.testing.linearizability import Operation, Verdict, check_entities
from tests.faults.boxes import BoxV2, DoorV1, DoorV2, legacy, migration, model, to_v1
from tests.faults.load import History, ShiftedClock, repository

GRACE_S = 20.0


@frozen
class Row:
    """One line of the table."""

    fault: str
    injected: int
    operations: int
    uncertain: int
    entities: int
    violations: int


def added(rows: Sequence[Row]) -> Row:
    """Several runs of one fault as one line."""
    columns = ("injected", "operations", "uncertain", "entities", "violations")
    return Row(rows[0].fault, *(sum(getattr(row, column) for row in rows) for column in columns))


async def judge(fault: str, injected: int, database: Any, history: History, ids: range, clock: ShiftedClock) -> Row:
    """The verdict as a line of the ledger; printed in full when there is anything to tell."""
    found = await verdict(database, history, ids, clock)
    print(*found, sep="\n")
    return Row(fault, injected, history.calls, history.counts["uncertain"], len(ids), len(found))


async def verdict(database: Any, history: History, ids: range, clock: ShiftedClock) -> list[str]:
    """Every violation of the two claims, told in words; sweeps the database on the way."""
    found = await disagreements_after_sweep(database, clock)
    await read_back(database, history, ids, clock)
    return found + illegal(history)


async def disagreements_after_sweep(database: Any, clock: ShiftedClock) -> list[str]:
    """Sweep with all marks old, and compare the two collections and the fields that lazymig does not know."""
    clock.ahead += timedelta(seconds=GRACE_S * 3)
    control = Control(database["control"], clock)
    report = await Sweeper(repository(database, clock), control=control, grace_s=GRACE_S, clock=clock).run()
    found = [f"the sweep left {report.dead_letters} dead letters"] if report.needs_person or not report.finished else []
    v1 = {document["_id"]: document async for document in database["v1"].find({})}
    v2 = {document["_id"]: document async for document in database["v2"].find({})}
    for id in sorted({*v1, *v2}):
        found += [f"{id}: {text}" for text in _disagreement(v1.get(id), v2.get(id))]
    return found


def _disagreement(v1: Mapping[str, Any] | None, v2: Mapping[str, Any] | None) -> list[str]:
    if v1 is None or v2 is None:
        return [f"in V1 {v1}, in V2 {v2}"]
    truth, seen = parse_v1(v1), parse_v2(v2)
    body = BoxV2(seen.id, v2.get("writer"), v2.get("count"))  # type: ignore[arg-type]
    found = [] if seen.clean and seen.revision == truth.revision else [f"not clean at V1's revision: {v1}, {v2}"]
    if v1["label"] != to_v1(body).label:
        found.append(f"bodies differ: {v1}, {v2}")
    if "color" in v1 and v1["color"] != legacy(truth.id)["color"]:
        found.append(f"an unknown field was changed: {v1}")
    return found


async def read_back(
    database: Any, history: History, ids: range, clock: ShiftedClock, migration: Any = migration
) -> None:
    """Read each entity by both doors, as the last operations of the history."""
    opened = [repository(database, clock, migration=migration) for _ in range(2)]
    for door in (DoorV2(opened[0]), DoorV1(opened[1])):
        for id in ids:

            async def call(door: Any = door, id: int = id) -> Any:
                return door.value(await door.calls.get(id))

            await history.record("afterwards", "get", [id], call)


def illegal(history: History) -> list[str]:
    """Entities whose history no order of instants explains, or none was found within the budget."""
    verdicts = check_entities(history.operations, history.initial, model=model, budget=400_000)
    return [f"{id}: {verdict}\n{told(history, id)}" for id, verdict in verdicts.items() if verdict is not Verdict.OK]


def told(history: History, id: int) -> str:
    """One entity's history, a line per operation."""
    mine = sorted((one for one in history.operations if one.entity == id), key=lambda one: one.called_at)
    start = mine[0].called_at if mine else 0.0

    def line(one: Operation) -> str:
        returned = "never" if one.returned_at is None else f"{one.returned_at - start:.4f}"
        argument = "" if one.argument is None or callable(one.argument) else f" {one.argument}"
        return f"  {one.called_at - start:.4f} to {returned} {one.client} {one.name}{argument} -> {one.result}"

    return "\n".join([f"  at first: {history.initial.get(id)}", *map(line, mine)])
