"""Reading what the server knows about one collection. What this user may not see is noted and is no error."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any, TypeVar

from attrs import field, frozen
from bson.binary import Binary
from pymongo.errors import OperationFailure

from lazymig.stores.given import Store
from lazymig.stores.probes import Probe, probe_of
from lazymig.stores.records import Document

T = TypeVar("T")

#: The codes of answers that this user or server cannot give: not authorized, no such command, not supported, not in the
#: strict API, out of time (`maxTimeMS`).
_HIDDEN = frozenset({13, 59, 115, 8000, 323, 50})
#: The codes of answers that do not exist: no such collection, indexes of a view.
_ABSENT = frozenset({26, 166})


@frozen
class Seen:
    """One collection as the server describes it."""

    #: "v1", "v2" or "control": the argument's name.
    side: str
    #: Database and collection.
    name: str
    #: "collection", "view" or "timeseries"; None where there is none yet, or where that cannot be seen.
    kind: str | None = None
    options: Document = field(factory=dict)
    indexes: Sequence[Document] = ()
    hello: Document = field(factory=dict)
    #: Whether the client uses one server and does not look for others.
    direct: bool = False
    #: The shard key; empty where the collection is not sharded, or where that cannot be seen.
    shard_key: Document = field(factory=dict)
    #: What this user may not see, in words.
    unseen: tuple[str, ...] = ()

    @property
    def may_step_down(self) -> bool:
        """Whether the client's only server is a primary now that would still answer as a secondary."""
        return self.direct and "setName" in self.hello


async def look(side: str, probe: Probe, hello: Document) -> Seen:
    """Look at one collection of a server that answered `hello`. In memory there is nothing to look at."""
    if probe.in_memory:
        return Seen(side, probe.name)
    unseen: list[str] = []
    described = await _describe(probe, unseen, side)
    indexes: list[dict[str, Any]] = []
    if described.get("type") == "collection":
        indexes = await attempt(probe.find_indexes(), [], unseen, f"{side}: its indexes")
    shard_key: Document = {}
    if hello.get("msg") == "isdbgrid":
        shard_key = await attempt(probe.find_shard_key(), {}, unseen, f"{side}: its shard key")
    return Seen(
        side, probe.name, described.get("type"), described.get("options", {}), indexes, hello,
        probe.is_direct, shard_key, tuple(unseen),
    )  # fmt: skip


async def uuid_of(probe: Probe) -> str | None:
    """Return the server's UUID of a collection; None where it does not exist or cannot be seen."""
    if probe.in_memory:
        return None
    described = await _describe(probe, [], "")
    return _format_uuid(described.get("info", {}).get("uuid"))


async def identify(v1: Store, v2: Store) -> dict[str, str | None] | None:
    """Return the UUIDs of the collections of two stores; None where one does not exist or cannot be seen."""
    found = {"v1": await uuid_of(probe_of(v1)), "v2": await uuid_of(probe_of(v2))}
    return None if None in found.values() else found


def _format_uuid(value: Any) -> str | None:
    """Format a UUID of any type that a driver returns."""
    if value is None:
        return None
    return bytes(value).hex() if isinstance(value, Binary) else str(value.hex)


async def attempt(call: Awaitable[T], otherwise: T, unseen: list[str], what: str) -> T:
    """Return the answer, or `otherwise` where this user or server cannot give it; then note `what` as unseen."""
    try:
        return await call
    except OperationFailure as error:
        if error.code in _HIDDEN:
            unseen.append(what)
        elif error.code not in _ABSENT:
            raise
        return otherwise


async def greet_all(*probes: Probe) -> list[dict[str, Any]]:
    """Return the `hello` of each collection's server. Each client asks once."""
    answers: dict[int, dict[str, Any]] = {}
    for probe in probes:
        if not probe.in_memory:
            answers[probe.client_key] = answers.get(probe.client_key) or await probe.greet()
    return [answers.get(probe.client_key, {}) for probe in probes]


async def _describe(probe: Probe, unseen: list[str], side: str) -> dict[str, Any]:
    hidden: list[str] = []
    found = await attempt(probe.describe(), {}, hidden, "")
    if hidden:
        # A user who may read only some collections of a database may still see their names and types.
        unseen.append(f"{side}: its options (capped, collation, validator)")
        found = await attempt(probe.describe(name_only=True), {}, hidden, "")
    return found
