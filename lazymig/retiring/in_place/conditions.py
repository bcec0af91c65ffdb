"""What must hold before V1's fields may go, each with what was seen and what to do about it."""

from __future__ import annotations

from typing import TypeVar

from lazymig.control import Standing
from lazymig.protocol.in_place.parts import Parts
from lazymig.retiring.conditions import Condition, Soak, judge_fleet, judge_soak
from lazymig.retiring.in_place.ground import PlaceGround
from lazymig.stores.keyset import BY_ID
from lazymig.stores.whole_documents import LIFTED, UNMOVED
from lazymig.stores.whole_reducing import WholeReducing

V1 = TypeVar("V1")
V2 = TypeVar("V2")

#: Waiting entities that are looked at.
_LOOKED_AT = 1000


async def find_conditions(ground: PlaceGround[V1, V2], standing: Standing | None, soak: Soak) -> list[Condition]:
    """Look at everything that the end of V1's fields depends on. Changes nothing."""
    found = [] if standing is None else [await judge_fleet(ground, standing)]
    found += [await _judge_letters(ground), await _judge_waiting(ground)]
    watched = await ground.parts.watching(ground.name).find_watched()
    base = None if standing is None else standing.last.at
    found.append(judge_soak(watched, base, ground.clock.now(), soak))
    if ground.shape.within is not None:
        found += [_judge_followed(standing), await _judge_indexes(ground)]
        if ground.place.conversions.v2.names.opaque:
            found.append(await _judge_names(ground))
    return found


async def _judge_names(ground: PlaceGround[V1, V2]) -> Condition:
    """At the top of documents, only the names that V2's class declares are known to be V2's."""
    store, shape = ground.place.store, ground.shape
    found = await store.page(store.question({LIFTED: {"$ne": True}}), BY_ID, _LOOKED_AT)
    names = {name for stored in found if stored.of is not None or stored.alone for name in shape.v2_part(stored)}
    strange = names - shape.v2 - {"_id"}
    return Condition(
        "names", not strange,
        f"V2's converter stores {len(strange):,} names that its class does not declare, which nobody would read at the "
        "top of a document" if strange else "V2's converter stores the names that its class declares",
        "let its hook store the names that the class declares, or generate it with cattrs.gen, which reveals new names",
    )  # fmt: skip


async def _judge_letters(ground: PlaceGround[V1, V2]) -> Condition:
    count = await ground.parts.letters.count_open(ground.name)
    return Condition(
        "dead letters", not count, f"{count:,} entities have V1's part alone, because they never converted",
        "look at them by lazymig dead-letters list; store what is needed through the repository, or waive them: waived "
        "ones stay as they are",
    )  # fmt: skip


async def _judge_waiting(ground: PlaceGround[V1, V2]) -> Condition:
    # What was recorded says nothing where V1's part has changed since.
    store = ground.place.store
    found = await store.page(store.question({UNMOVED: "waiting"}), BY_ID, _LOOKED_AT)
    count = sum(Parts(ground.place, stored).fits for stored in found)
    more = " or more" if len(found) == _LOOKED_AT else ""
    return Condition(
        "waiting entities", not count,
        f"{count:,}{more} entities have V1's part alone and wait for their users (NotYet)",
        "let upgrade return an entity or LEAVE for them; a write through the repository ends the wait as well",
    )  # fmt: skip


def _judge_followed(standing: Standing | None) -> Condition:
    return Condition(
        "processes", standing is not None,
        "all follow the record, and learn from it where V2's fields are" if standing is not None else
        "no phase is recorded, so no process would learn that V2's fields have left their sub-document",
        "pass phase=lazymig.Control(...) in every process, and lazymig phase begin v2_only",
    )  # fmt: skip


async def _judge_indexes(ground: PlaceGround[V1, V2]) -> Condition:
    """Each index of the sub-document has one like it at the top, where listings will look."""
    within, found = f"{ground.shape.within}.", await WholeReducing(ground.place.store).find_indexes()
    keys = [[(str(path), kind) for path, kind in index["key"]] for _, index in found]
    wanted = [
        [(path.removeprefix(within), kind) for path, kind in key]
        for key in keys
        if key and all(path.startswith(within) for path, _ in key)
    ]
    lacking = [key for key in wanted if key not in keys]
    first = ", ".join(f'"{path}": {kind!r}' for path, kind in lacking[0]) if lacking else ""
    return Condition(
        "indexes", not lacking,
        f"{len(lacking):,} indexes of {within[:-1]} have no counterpart at the top" if lacking else
        f"each of the {len(wanted):,} indexes of {within[:-1]} has a counterpart at the top",
        f"create them: createIndex({{{first}}})",
    )  # fmt: skip
