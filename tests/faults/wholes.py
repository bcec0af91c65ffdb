"""Documents with both shapes under fire: clients of both doors, programs on the plain driver, and the answers they got.

`label` is V1's, of which V2 has two fields; `side` is shared, and only other programs write it; `note` is V2's alone.
Each write leaves a name of its own, so that a lost one has no explanation by any order.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from random import Random
from typing import Any

from attrs import Factory, define, evolve, frozen
from pymongo import WriteConcern
from pymongo.errors import DuplicateKeyError, PyMongoError

from lazymig import AlreadyExists, Contention, Migration, NotFound, Phase, Repository
from lazymig.testing.linearizability import Operation, Outcome, Verdict, check
from tests.by_field import UNSEEN, kept, split_by

FIELDS = ("box", "side", "note")
IDS = range(6)
#: How often each call is made, relative to the others.
INSIDE = {"get": 5, "get by V1": 2, "box": 5, "box by V1": 3, "note": 5, "insert": 3, "delete": 1}
OUTSIDE = {"out side": 5, "out box": 6, "out delete": 1, "out insert": 3}


@frozen
class WholeV1:
    """The old shape: two values in one text."""

    id: int
    label: str
    side: str


@frozen
class WholeV2:
    """The new shape, with a note that the old one cannot express."""

    id: int
    writer: str
    count: int
    side: str
    note: str = ""


def upgrade(v1: WholeV1, previous: WholeV2 | None) -> WholeV2:
    """V1 to V2, with the note that V2 held."""
    writer, _, count = v1.label.rpartition("#")
    return WholeV2(v1.id, writer, int(count), v1.side, previous.note if previous else "")


def downgrade(v2: WholeV2) -> WholeV1:
    """V2 to V1."""
    return WholeV1(v2.id, f"{v2.writer}#{v2.count}", v2.side)


MIGRATION: Migration[WholeV1, WholeV2] = Migration(
    name="wholes", v1=WholeV1, v2=WholeV2, upgrade=upgrade, downgrade=downgrade
)


def opened(database: Any, phase: Phase) -> Repository[WholeV1, WholeV2]:
    """A repository as a service has it."""
    return Repository.in_place(MIGRATION, database["wholes"], phase=phase, timeout_s=10.0)


def value_of(entity: Any) -> Any:
    """An entity's value by field."""
    if entity is None:
        return None
    v1 = downgrade(entity) if isinstance(entity, WholeV2) else entity
    writer, _, count = v1.label.rpartition("#")
    return ((writer, int(count)), v1.side, getattr(entity, "note", UNSEEN))


def argument_of(verb: str, writer: str) -> tuple[str, Any]:
    """What a call is in a history, and what it does to each field."""
    match verb.removesuffix(" by V1"):
        case "get" | "delete" | "out delete" as name:
            return name.removeprefix("out "), None
        case "box":
            return "update", (lambda box: (writer, box[1] + 1), kept, kept)
        case "note":
            return "update", (kept, kept, writer)
        case "out side":
            return "update", (kept, writer, kept)
        case "out box":
            return "update", ((writer, 0), kept, kept)
        case _:
            return "insert", ((writer, 0), writer, "")


@define
class Entry:
    """One call: `result` is None twice over where it never returned."""

    client: str
    verb: str
    writer: str
    id: int
    called_at: float
    returned_at: float | None = None
    result: Any = Outcome.UNCERTAIN
    #: A call that says nothing and changed nothing.
    silent: bool = False

    def operation(self) -> Operation:
        """The call as histories have it."""
        name, argument = argument_of(self.verb, self.writer)
        certain = self.result is not Outcome.UNCERTAIN
        returned_at = self.returned_at if certain else None
        return Operation(self.client, name, argument, self.result, self.called_at, returned_at, self.id)


@define
class Client:
    """One client of lazymig, or a program that knows nothing of it (without a repository)."""

    name: str
    collection: Any
    repository: Repository[WholeV1, WholeV2] | None
    random: Random
    tell: Callable[[Entry], None]
    entries: list[Entry] = Factory(list)

    async def step(self) -> None:
        """One call, chosen by the seed. It is reported before it is made and after it returned."""
        weights = INSIDE if self.repository else OUTSIDE
        verb = self.random.choices(list(weights), list(weights.values()))[0]
        id = int(len(IDS) * self.random.random() ** 2)
        entry = Entry(self.name, verb, f"{self.name}.{len(self.entries)}", id, time.monotonic())
        self.entries.append(entry)
        self.tell(entry)
        try:
            entry.result = await self._call(verb, id, entry.writer)
        except NotFound:
            entry.result = Outcome.NOT_FOUND
        except (AlreadyExists, DuplicateKeyError):
            entry.result = Outcome.ALREADY_EXISTS
        except Contention:
            entry.silent = True
        except PyMongoError:
            entry.silent = verb.startswith("get")
        entry.returned_at = time.monotonic()
        self.tell(entry)

    async def _call(self, verb: str, id: int, writer: str) -> Any:
        return await (self._outside if self.repository is None else self._inside)(verb, id, writer)

    async def _inside(self, verb: str, id: int, writer: str) -> Any:
        repository: Any = self.repository
        match verb:
            case "get":
                return value_of(await repository.get(id))
            case "get by V1":
                return value_of(await repository.v1.get(id))
            case "box":
                change = lambda one: evolve(one, writer=writer, count=one.count + 1)  # noqa: E731
                return value_of(await repository.update(id, change))
            case "box by V1":
                return value_of(await repository.v1.update(id, lambda one: _labelled(one, writer)))
            case "note":
                return value_of(await repository.update(id, lambda one: evolve(one, note=writer)))
            case "delete":
                await repository.delete(id)
                return Outcome.DONE
        return value_of(await repository.insert(WholeV2(id, writer, 0, writer)))

    async def _outside(self, verb: str, id: int, writer: str) -> Any:
        if verb == "out insert":
            await self.collection.insert_one({"_id": id, "label": f"{writer}#0", "side": writer})
            return Outcome.DONE
        if verb == "out delete":
            done = (await self.collection.delete_one({"_id": id})).deleted_count
        else:
            change = {"side": writer} if verb == "out side" else {"label": f"{writer}#0"}
            done = (await self.collection.update_one({"_id": id}, {"$set": change})).matched_count
        return Outcome.DONE if done else Outcome.NOT_FOUND


def _labelled(one: WholeV1, writer: str) -> WholeV1:
    count = int(one.label.rpartition("#")[2])
    return evolve(one, label=f"{writer}#{count + 1}")


def crowd(database: Any, seed: int, tell: Callable[[Entry], None], name: str = "") -> list[Client]:
    """Clients of two adjacent phases, and three other programs."""
    plain = database["wholes"].with_options(write_concern=WriteConcern("majority"))
    made = [opened(database, phase) for phase in (Phase.COEXIST, Phase.V2_PRIMARY)]
    return [
        Client(f"{name}c{number}", plain, one, Random(f"{seed} {name} {number}"), tell)
        for number, one in enumerate([*made, *made, None, None, None])
    ]


async def fill(database: Any) -> dict[int, Any]:
    """Documents that lazymig has never seen; return their values."""
    collection = database["wholes"]
    await collection.delete_many({})
    await collection.insert_many(
        [{"_id": id, "label": f"old.{id}#0", "side": "old", "kept": id} for id in IDS if id % 3]
    )
    return {id: ((f"old.{id}", 0), "old", "") for id in IDS if id % 3}


async def work(clients: Iterable[Client], going: Callable[[], bool]) -> None:
    """Let all clients make calls while `going()`."""

    async def one(client: Client) -> None:
        while going():
            await client.step()
            await asyncio.sleep(0)

    await asyncio.gather(*map(one, clients))


async def find_violations(database: Any, initial: Mapping[int, Any], entries: Iterable[Entry]) -> list[str]:
    """Read all entities by each door and by the plain driver, and return each field whose history has no order."""
    heard = [entry for entry in entries if not entry.silent]
    found: list[str] = []
    for phase in (Phase.V2_PRIMARY, Phase.COEXIST):
        repository = opened(database, phase)
        for verb, door in (("get", repository), ("get by V1", repository.v1)):
            for id in IDS:
                at = time.monotonic()
                seen = value_of(await door.get(id))
                heard.append(Entry("afterwards", verb, "", id, at, time.monotonic(), seen))
    async for document in database["wholes"].find():
        both = (
            (document["label"], document.get("note", "")),
            (f"{document['writer']}#{document['count']}", document["note"]),
        )
        found += [f"{document['_id']}: the parts differ: {both}"] if both[0] != both[1] else []
        seen = value_of(upgrade(WholeV1(document["_id"], document["label"], document["side"]), None))
        at = time.monotonic()
        heard.append(Entry("the driver", "get", "", document["_id"], at, at, (*seen[:2], document["note"])))
    histories: dict[Any, list[Operation]] = {}
    for entry in heard:
        for part in split_by(FIELDS)(entry.operation()):
            histories.setdefault(part.entity, []).append(part)
    for (id, name), history in histories.items():
        value = initial.get(id)
        begun = None if value is None else value[FIELDS.index(name)]
        verdict = check(history, begun, budget=400_000)
        if verdict is not Verdict.OK:
            found.append(f"{id} {name}: {verdict}\n{_describe_history(history)}")
    return found


def _describe_history(history: list[Operation]) -> str:
    ordered = sorted(history, key=lambda one: one.called_at)
    return "\n".join(
        f"  {one.called_at:.4f} to {one.returned_at} {one.client} {one.name} {one.result}" for one in ordered
    )
