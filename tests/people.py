"""The migration that the tests of the core run on, small enough to see through."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from attrs import Factory, evolve, frozen

from lazymig import Migration


@frozen
class PersonV1:
    """The old shape: one name."""

    id: int
    name: str
    age: int | None = None
    tags: list[str] = Factory(list)


@frozen
class PersonV2:
    """The new shape: the name split in two, and a note that V1 cannot express."""

    id: int
    first: str
    last: str
    age: int | None = None
    tags: list[str] = Factory(list)
    note: str | None = None


def split(v1: PersonV1, previous: PersonV2 | None = None) -> PersonV2:
    """V1 to V2; a name of one word does not convert, and the error quotes it as careless code does."""
    first, space, last = v1.name.partition(" ")
    if not space:
        raise ValueError(f"{v1.name!r} is not a full name")
    return PersonV2(v1.id, first, last, v1.age, v1.tags, previous.note if previous else None)


def join(v2: PersonV2) -> PersonV1:
    """V2 to V1."""
    return PersonV1(v2.id, f"{v2.first} {v2.last}", v2.age, v2.tags)


def join_on(v2: PersonV2, current: PersonV1 | None) -> PersonV1:
    """V2 to V1 by a conversion that looks at V1's present entity, and keeps its age."""
    return evolve(join(v2), age=current.age if current else v2.age)


def people(**changed: Any) -> Migration[PersonV1, PersonV2]:
    """The migration, with any of its fields changed."""
    return Migration(
        **{"name": "people", "v1": PersonV1, "v2": PersonV2, "upgrade": split, "downgrade": join} | changed
    )


def ada(id: int = 1, **changed: Any) -> PersonV2:
    """A person in V2's shape."""
    return evolve(PersonV2(id, "Ada", "Lovelace", 36, ["math"]), **changed)


def ada_v1(id: int = 1, **changed: Any) -> dict[str, Any]:
    """The same person as a V1 document that lazymig never touched, with a field that no class knows."""
    return {"_id": id, "name": "Ada Lovelace", "age": 36, "tags": ["math"], "shoe_size": 38} | changed


class TestClock:
    """A clock that stands until it is moved; sleeping moves it."""

    __test__ = False

    def __init__(self) -> None:
        self.time = datetime(2024, 5, 1, 12)
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.time.timestamp()

    def random(self) -> float:
        return 0.5

    async def sleep(self, delay_s: float) -> None:
        self.slept.append(delay_s)
        self.time += timedelta(seconds=delay_s)
