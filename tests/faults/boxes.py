"""The migration that the faults are let loose on: lossless both ways, so that each door's answer tells the whole value.

A value is (who wrote it last, how many updates since it was put there). Every write leaves a name of its own, and an
update counts on from what it found: a lost update, a stale read and a returned dead entity each show in the history.
"""

from __future__ import annotations

from typing import Any

from attrs import evolve, frozen

from lazymig import Migration
from lazymig.testing.linearizability import Operation, entity_model

Value = tuple[str, int]


@frozen
class BoxV1:
    """The old shape: both in one text."""

    id: int
    label: str


@frozen
class BoxV2:
    """The new shape."""

    id: int
    writer: str
    count: int


def to_v2(v1: BoxV1) -> BoxV2:
    """V1 to V2."""
    writer, _, count = v1.label.rpartition("#")
    return BoxV2(v1.id, writer, int(count))


def to_v1(v2: BoxV2) -> BoxV1:
    """V2 to V1."""
    return BoxV1(v2.id, f"{v2.writer}#{v2.count}")


migration = Migration(name="boxes", v1=BoxV1, v2=BoxV2, upgrade=to_v2, downgrade=to_v1)
#: The same, where the label is a part of documents that belong to others as well.
as_parts = evolve(migration, part=True)


def legacy(id: int) -> dict[str, Any]:
    """A document from before lazymig, with a field that no class knows."""
    return {"_id": id, "label": f"legacy.{id}#0", "color": f"c{id}"}


class DoorV2:
    """Values to entities and back, for a client that speaks V2."""

    def __init__(self, repository: Any) -> None:
        self.calls = repository

    def entity(self, id: int, value: Value) -> BoxV2:
        return BoxV2(id, *value)

    def value(self, entity: BoxV2 | None) -> Value | None:
        return None if entity is None else (entity.writer, entity.count)

    def written_by(self, writer: str, entity: BoxV2) -> BoxV2:
        return evolve(entity, writer=writer, count=entity.count + 1)


class DoorV1:
    """The same for a client that still speaks V1."""

    def __init__(self, repository: Any) -> None:
        self.calls = repository.v1

    def entity(self, id: int, value: Value) -> BoxV1:
        return to_v1(BoxV2(id, *value))

    def value(self, entity: BoxV1 | None) -> Value | None:
        return None if entity is None else DoorV2(None).value(to_v2(entity))

    def written_by(self, writer: str, entity: BoxV1) -> BoxV1:
        return to_v1(DoorV2(None).written_by(writer, to_v2(entity)))


def model(state: Any, operation: Operation) -> tuple[bool, Any]:
    """One box: `entity_model`, and `exists`."""
    if operation.name == "exists":
        return operation.result == (state is not None), state
    return entity_model(state, operation)
