"""The whole check of a migration's collections, and its result."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from attrs import field, frozen
from attrs.converters import optional

from lazymig.errors import ConfigurationError
from lazymig.shapes.one_document import OneDocument
from lazymig.stores.given import Store
from lazymig.stores.probes import Probe, probe_of
from lazymig.stores.records import Document
from lazymig.surroundings.complete import find_incomplete
from lazymig.surroundings.contents import Foreign, find_legacy_ids, look_for_foreign
from lazymig.surroundings.judging import find_problems
from lazymig.surroundings.leftovers import find_tombstones
from lazymig.surroundings.looking import Seen, greet_all, look
from lazymig.surroundings.one_collection import (
    find_leftovers,
    find_refused_parts,
    find_taken,
    find_unfilled,
    judge_one,
)
from lazymig.surroundings.probing import find_refusals, find_refused_revision
from lazymig.surroundings.validators import is_fenced

_Hellos = Mapping[str, Document]


@frozen(kw_only=True)
class Asked:
    """Which collections to check, and what they must allow. Without `v2`, only V1 is checked.

    Each may be given as a collection or a store.
    """

    v1: Probe = field(converter=probe_of)
    v2: Probe | None = field(converter=optional(probe_of))
    control: Probe | None = field(default=None, converter=optional(probe_of))
    id_types: tuple[type, ...] = ()
    linearizable: bool = False
    #: Whether each read compares V2 with V1.
    compared: bool = False
    #: Whether V2 must hold every entity that V1 holds.
    complete: bool = False
    #: Whether calls read or write V1. Where none does, its documents are not looked at.
    reads_v1: bool = True
    #: Whether to look at a sample of V2's documents as well.
    widely: bool = False
    #: How V1's documents carry V2's shape as well; None where V2 has documents of its own.
    shape: OneDocument | None = None
    #: Whether V2 parts are stored in them.
    fills: bool = False


@frozen
class Surroundings:
    """What a check found out, as far as this user may see it."""

    v1: Seen
    v2: Seen | None
    #: What lazymig cannot work with; each says what to change.
    problems: tuple[str, ...]
    #: What could not be checked.
    unseen: tuple[str, ...]
    foreign: Foreign

    @property
    def fenced(self) -> tuple[bool, bool]:
        """Whether V1 and V2 have the fences of the seal, as far as this user may see that."""
        return is_fenced(self.v1), is_fenced(self.v2)

    @property
    def foreign_problem(self) -> tuple[str, ...]:
        """What to do about V2's documents without `_lazymig`; empty where none was seen."""
        return self.foreign.problem

    def check(self, *, foreign: bool | None = None) -> None:
        """Raise `ConfigurationError` where something must be changed.

        V2's documents without `_lazymig` count where they are many. `foreign` decides instead: True, every one of
        them counts; False, none does.
        """
        wrong = self.problems
        if self.foreign.is_back_fill if foreign is None else foreign:
            wrong += self.foreign_problem
        if wrong:
            raise ConfigurationError("\n".join(wrong))


async def look_around(asked: Asked) -> Surroundings:
    """Check all collections, those of each side one after the other. Writes nothing; driver errors pass through."""
    unseen: list[str] = []
    sides_asked = {"v1": asked.v1, "v2": asked.v2, "control": asked.control}
    given = {side: probe for side, probe in sides_asked.items() if probe is not None}
    hellos = dict(zip(given, await greet_all(*given.values()), strict=True))
    sides = await asyncio.gather(
        _look_at_v1(asked, hellos, unseen), _look_at_v2(asked, hellos, unseen), _look_at_control(asked, hellos, unseen)
    )
    (v1, wrong_v1), (v2, wrong_v2, strange), wrong_control = sides
    wrong = tuple(dict.fromkeys([*wrong_v1, *wrong_v2, *wrong_control]))
    if asked.complete and asked.v2 is not None and not wrong:
        wrong = tuple(await find_incomplete(asked.v1, asked.v2, unseen))
    return Surroundings(v1, v2, wrong, tuple(dict.fromkeys(unseen)), strange)


async def _look_at_v1(asked: Asked, hellos: _Hellos, unseen: list[str]) -> tuple[Seen, list[str]]:
    if asked.shape is not None:
        return await _look_at_one(asked, asked.shape, hellos["v1"], unseen)
    seen = await look("v1", asked.v1, hellos["v1"])
    unseen += seen.unseen
    found = list(find_problems(seen, linearizable=asked.linearizable, compared=asked.compared or asked.v2 is None))
    if not found and asked.reads_v1:
        found += await find_tombstones(asked.v1, seen, unseen)
        found += await find_refused_revision(asked.v1, seen, unseen)
        found += await find_legacy_ids(asked.v1, asked.id_types, unseen)
    return seen, found


async def _look_at_one(asked: Asked, shape: OneDocument, hello: Document, unseen: list[str]) -> tuple[Seen, list[str]]:
    """Look at the collection whose documents carry both shapes."""
    probe, keeps_v1 = asked.v1, asked.reads_v1
    seen = await look("collection", probe, hello)
    unseen += seen.unseen
    # The server removes both parts of a document that expires.
    found = list(find_problems(seen, linearizable=asked.linearizable, compared=True))
    found += judge_one(seen, shape, keeps_v1=keeps_v1)
    if found:  # the contents of an unusable collection do not matter
        return seen, found
    found += await find_refused_parts(probe, seen, shape, unseen)
    found += await find_legacy_ids(probe, asked.id_types, unseen)
    if keeps_v1:
        found += await find_leftovers(probe, seen, unseen)
    if keeps_v1 and asked.fills and not found:
        found += await find_taken(probe, seen, shape, unseen)
    if asked.complete and not found:
        found += await find_unfilled(probe, seen, shape.name, unseen)
    return seen, found


async def _look_at_v2(asked: Asked, hellos: _Hellos, unseen: list[str]) -> tuple[Seen | None, list[str], Foreign]:
    if asked.v2 is None:
        return None, [], Foreign()
    seen = await look("v2", asked.v2, hellos["v2"])
    unseen += seen.unseen
    found = list(find_problems(seen, linearizable=asked.linearizable))
    if found:  # the contents of an unusable collection do not matter
        return seen, found, Foreign()
    found += await find_refusals(asked.v1, asked.v2, seen, asked.id_types, unseen)
    alone = not asked.reads_v1
    return seen, found, await look_for_foreign(asked.v2, seen, unseen, widely=asked.widely, alone=alone)


async def _look_at_control(asked: Asked, hellos: _Hellos, unseen: list[str]) -> list[str]:
    if asked.control is None:
        return []
    seen = await look("control", asked.control, hellos["control"])
    unseen += seen.unseen
    return list(find_problems(seen))


def check_apart(control: Store, v1: Store, v2: Store) -> None:
    """Raise `ConfigurationError` if the control collection is V1 or V2. Each may be a collection or a store."""
    sides = (("the collection of the entities", v1),) if is_same(v1, v2) else (("v1", v1), ("v2", v2))
    for side, one in sides:
        if is_same(one, control):
            name = probe_of(control).name
            raise ConfigurationError(
                f"control: {name} is {side} itself; the control collection needs a name of its own"
            )


def is_same(one: Store, other: Store) -> bool:
    """Whether two collections or stores are one collection of one client."""
    return probe_of(one).is_same(probe_of(other))
