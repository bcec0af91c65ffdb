"""The table of judgements: each event by what both sides hold, and each guard of it taken away once."""

from __future__ import annotations

import sys
from datetime import datetime
from types import ModuleType
from typing import Any

import pytest

from lazymig.following import judging
from lazymig.following.judging import Finding, Memory, Sight
from lazymig.stores.events import Event, Operation
from lazymig.stores.records import PLACEHOLDER, StoredV2, Unmoved

INSERT, UPDATE, REPLACE, DELETE = Operation.INSERT, Operation.UPDATE, Operation.REPLACE, Operation.DELETE
OURS, ROGUE, OPEN, VANISHED = Finding.OURS, Finding.ROGUE, Finding.OPEN, Finding.VANISHED


def event(operation: Operation, revision: int | None = None, id: int = 1) -> Event:
    return Event(id, operation, revision, datetime(2024, 5, 1), {})


def v2(rev: int, intent: int | None = None, *, gone: bool = False) -> StoredV2:
    return StoredV2(1, rev, rev if intent is None else intent, gone, None, {})


def left(rev: int, intent: int | None = None) -> StoredV2:
    return v2(rev, intent, gone=True)._replace(unmoved=Unmoved("left"))


#: What happened, V2, V1's revision (None: V1 lacks it), the revision of the event before, and what it is.
CASES: dict[str, tuple[Event, StoredV2 | None, int | None, int | None, Finding]] = {
    "an update between its compare-and-set and its apply": (event(UPDATE, 6), v2(5, 6), 6, 5, OURS),
    "an update that is finished": (event(UPDATE, 6), v2(6), 6, 5, OURS),
    "an update, and two more since": (event(UPDATE, 6), v2(8), 8, 5, OURS),
    "an update, and the next one is under way": (event(UPDATE, 6), v2(6, 7), 7, None, OURS),
    "an update, and the next ones are under way": (event(UPDATE, 6), v2(7, 9), 8, None, OURS),
    "an update, and a delete since": (event(UPDATE, 6), v2(7, gone=True), None, 5, OURS),
    "an update, and a delete and an insert since": (event(UPDATE, 6), v2(900), 900, 5, OURS),
    "an update, and a delete and the purge since": (event(UPDATE, 6), None, None, 5, OURS),
    "an insert before its apply": (event(INSERT, 6), v2(PLACEHOLDER, 6, gone=True), 6, None, OURS),
    "an insert over a tombstone": (event(INSERT, 9), v2(9), 9, None, OURS),
    "an insert, and the entity's next life": (event(INSERT, 9), v2(20), 20, None, OURS),
    "an update whose body was lost": (event(UPDATE, 6), v2(3, 6), 6, 5, OURS),
    "a delete": (event(DELETE), v2(6, gone=True), None, 5, OURS),
    "a delete before its tombstone": (event(DELETE), v2(5, 6), None, 5, OPEN),
    "a delete, and an insert since": (event(DELETE), v2(9), 9, 5, OURS),
    "a delete, and an insert under way": (event(DELETE), v2(6, 9, gone=True), 9, 5, OURS),
    "a delete, a rogue insert since, and a write under way": (event(DELETE), v2(6, 7, gone=True), 0, 5, OURS),
    "a delete in the middle of an insert": (event(DELETE), v2(PLACEHOLDER, 6, gone=True), None, 6, OPEN),
    "an update that left the revision alone": (event(UPDATE), v2(5), 5, 5, ROGUE),
    "an update of what V2 lacks": (event(UPDATE), None, 0, None, ROGUE),
    "an insert without a revision": (event(INSERT), None, 0, None, ROGUE),
    "an insert without a revision over a tombstone": (event(INSERT), v2(6, gone=True), 0, None, ROGUE),
    "an insert with a revision that nobody announced": (event(INSERT, 6), None, 6, None, ROGUE),
    "a replace without a revision": (event(REPLACE), v2(5), 0, 5, ROGUE),
    "a replace that carries the revision along": (event(REPLACE, 5), v2(5), 5, 5, ROGUE),
    "a replace that carries the revision along, seen first": (event(REPLACE, 5), v2(5), 5, None, ROGUE),
    "a revision past every announcement": (event(UPDATE, 50), v2(5), 50, 5, ROGUE),
    "a deleted entity that came back as it was": (event(INSERT, 5), v2(6, gone=True), 5, None, ROGUE),
    "an update, a delete, and a rogue insert since": (event(UPDATE, 5), v2(6, gone=True), 0, None, OURS),
    "a revision past a tombstone": (event(INSERT, 50), v2(6, gone=True), 50, None, ROGUE),
    "two revisions past every announcement": (event(UPDATE, 50), v2(5), 51, 5, ROGUE),
    "a revision that was set back": (event(UPDATE, 3), v2(6), 3, None, ROGUE),
    "a revision that was set back before the last apply": (event(UPDATE, 3), v2(3, 6), 3, 6, ROGUE),
    "a revision that was set back below a dirty body": (event(UPDATE, 3), v2(6, 7), 3, None, ROGUE),
    "an update of what is left": (event(UPDATE, 6), left(5, 6), 6, 5, OURS),
    "a delete of what was left": (event(DELETE), v2(6, gone=True), None, 5, OURS),
    "a delete of what is left, before its tombstone": (event(DELETE), left(5, 6), None, 5, OPEN),
    "a rogue delete of what is left": (event(DELETE), left(5), None, 5, ROGUE),
    "what is left, set back": (event(UPDATE, 3), left(6), 3, None, ROGUE),
    "an update of what is left, set back since": (event(UPDATE, 5), left(6), 3, None, ROGUE),
    "a rogue delete": (event(DELETE), v2(5), None, 5, ROGUE),
    "a rogue delete of what V2 lacks": (event(DELETE), None, None, None, VANISHED),
    "a rogue delete and a rogue insert": (event(DELETE), v2(5), 0, 5, ROGUE),
    "a rogue delete and a rogue insert of what was never written": (event(DELETE), v2(0), 0, None, VANISHED),
}


def found_by(module: Any, name: str) -> Finding:
    """Judge one case as the lookout does."""
    what, seen, v1_revision, last, _ = CASES[name]
    found = module.judge_at_once(what, seen, last)
    if found is module.Finding.ASK:
        found = module.judge(what, module.Sight(seen, v1_revision, seen))
    return Finding[found.name]


@pytest.mark.parametrize("name", CASES)
def test_judgements(name: str) -> None:
    """Each kind of event is judged by what both sides hold."""
    assert found_by(judging, name) is CASES[name][-1]


@pytest.mark.parametrize("operation", list(Operation))
def test_movement_decides_nothing(operation: Operation) -> None:
    """Where V2 moved between the two looks, they are repeated: neither is V2's state while V1 was read."""
    sight = Sight(v2(5), None, v2(5, 6))
    assert judging.judge(event(operation, 3), sight) is OPEN


@pytest.mark.parametrize(
    ("guard", "without"),
    [
        # A delete that V2 knows nothing of, and one that lazymig has followed by an insert, differ in V1 only.
        ("if v1_revision is not None:", "if v1_revision is not None and event.operation is not Operation.DELETE:"),
        ("v1_revision > seen.intent", "v1_revision >= seen.intent"),
        ("return v1_revision < seen.revision", "return v1_revision <= seen.revision"),
        ("seen.revision <= revision <= seen.intent", "seen.revision <= revision"),
        ("seen.revision <= revision <= seen.intent", "revision <= seen.intent"),
        ("last is not None and revision <= last", "False"),
        ("event.operation is Operation.REPLACE or revision is None", "revision is None"),
        ("seen.gone and seen.intent == seen.revision and", "seen.gone and"),
        ("seen.revision and seen.unmoved is None", "seen.revision"),
        ("if seen.gone and seen.unmoved is None", "if seen.gone"),
        ("event.revision == v1_revision < seen.revision", "v1_revision < seen.revision"),
        ("event.revision == v1_revision < seen.revision", "False"),
        ("and event.revision == v1_revision", "and False"),
        ("if seen is None:\n        return Finding.VANISHED", "if seen is None:\n        return Finding.OURS"),
        ("if seen.settled:\n", "if False:\n"),
        ("if seen.settled:\n", "if seen.clean:\n"),
    ],
)
def test_every_guard_is_needed(guard: str, without: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one guard taken away, some event is judged wrongly: a rogue change is missed, or an own write counted."""
    assert judging.__file__ is not None
    with open(judging.__file__, encoding="utf-8") as file:
        source = file.read()
    assert guard in source
    mutant: Any = ModuleType("mutant")
    monkeypatch.setitem(sys.modules, "mutant", mutant)
    exec(compile(source.replace(guard, without, 1), "mutant", "exec"), mutant.__dict__)
    assert [name for name in CASES if found_by(mutant, name) is not CASES[name][-1]]


def test_memory() -> None:
    """The last revision of a life is known, whatever set it; a delete ends the life, an unset leaves the last one."""
    memory = Memory()
    events = [event(INSERT, 5), event(UPDATE, 6), event(UPDATE), event(UPDATE, 3), event(REPLACE), event(UPDATE, 9)]
    assert memory.trace(events) == [None, 5, 6, 6, 3, None]
    assert memory.trace([event(UPDATE, 10), event(DELETE), event(INSERT, 2), event(UPDATE, 3)]) == [9, None, None, 2]
    memory.forget()
    assert memory.trace([event(UPDATE, 11)]) == [None]


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The entities that changed last are remembered."""
    monkeypatch.setattr(judging, "_REMEMBERED", 2)
    memory = Memory()
    memory.trace([event(UPDATE, 5, id) for id in (1, 2, 1, 3)])
    assert memory.trace([event(UPDATE, 6, id) for id in (1, 3)]) == [5, 5]
    assert memory.trace([event(UPDATE, 6, 2)]) == [None]
