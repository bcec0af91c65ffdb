"""The smallest migration: a name becomes two. The README shows it, and the pages of the documentation import it."""

from attrs import frozen

from lazymig import Migration


@frozen
class PersonV1:
    id: int
    name: str


@frozen
class PersonV2:
    id: int
    first: str
    last: str


migration = Migration(
    name="people",
    v1=PersonV1,
    v2=PersonV2,
    upgrade=lambda v1: PersonV2(v1.id, *v1.name.split(" ", 1)),
    downgrade=lambda v2: PersonV1(v2.id, f"{v2.first} {v2.last}"),
)
