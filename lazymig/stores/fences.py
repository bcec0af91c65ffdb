"""The fences of the seal: validators by which the server refuses what a phase no longer allows.

`fencing.Fence` states what each method guarantees.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo import ReadPreference
from pymongo.errors import OperationFailure, WTimeoutError

from lazymig.stores.drivers import Driver, collection_of, driver_of, tune
from lazymig.stores.fencing import Ability, Barrier, Fence, Own, Side, find_fencing
from lazymig.stores.given import Store
from lazymig.stores.records import Document

#: Undecoded: the user's validator is stored again byte by byte.
_RAW: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)
#: What the codes of refusals mean.
_ANSWERS = (
    (Ability.FORBIDDEN, frozenset({13, 8000})),
    (Ability.ABSENT, frozenset({26})),
    # Not known, or not for this kind of collection.
    (Ability.UNSUPPORTED, frozenset({59, 72, 115, 166, 303, 323})),
    # Not within the time, or in conflict with another operation.
    (Ability.BUSY, frozenset({24, 50, 112, 117, 262})),
)


class MongoFence(Fence):
    """The fence of one collection."""

    def __init__(self, store: Store, side: Side) -> None:
        self._collection = collection_of(store)
        self.side: Side = side
        self._documents = tune(self._collection)
        self._name = str(self._collection.full_name)
        # The explorer's collections know validators.
        kind = type(self._collection)
        self._none = driver_of(self._collection) is Driver.MEMORY and not hasattr(kind, "takes_validators")

    async def look(self) -> Barrier:
        return await self._answer(self._look)

    async def rehearse(self, within_s: float, look_s: float) -> Barrier:
        async def ask() -> Barrier:
            options = await self._find_options()
            barrier = self._judge(options)
            if barrier.ability is not Ability.OPEN:
                return barrier
            await self._change({}, within_s)  # changes nothing, and needs the same right
            loose = await self._has_misfit(Own.of(options or {}), look_s)
            return self._barrier(Ability.LOOSE if loose else barrier.ability)

        return await self._answer(ask)

    async def put_up(self, key: str, within_s: float) -> Barrier:
        async def change() -> Barrier:
            options = await self._find_options()
            if options is None:
                return self._barrier(Ability.ABSENT)
            await self._change(Own.of(options).fenced(self.side, key).arguments, within_s)
            return self._barrier(Ability.STANDS, key)

        return await self._answer(change)

    async def take_down(self, within_s: float, key: str | None = None) -> Barrier:
        async def change() -> Barrier:
            found = find_fencing(await self._find_options() or {})
            if found is None:
                return self._barrier(Ability.OPEN)
            if key is not None and found.key != key:
                return self._barrier(Ability.STANDS, found.key)
            await self._change(found.own.arguments, within_s)
            return self._barrier(Ability.OPEN)

        return await self._answer(change)

    async def _look(self) -> Barrier:
        return self._judge(await self._find_options())

    def _judge(self, options: Document | None) -> Barrier:
        if options is None:
            return self._barrier(Ability.ABSENT)
        found = find_fencing(options)
        return self._barrier(Ability.OPEN) if found is None else self._barrier(Ability.STANDS, found.key)

    async def _has_misfit(self, own: Own, within_s: float) -> bool:
        """Whether a document exists that the user's validator refuses and would let be changed."""
        if own.level != "moderate" or own.is_loose or not own.validator:
            return False
        where = {"$nor": [own.validator]}
        return await self._documents.find_one(where, {"_id": 1}, max_time_ms=_milliseconds(within_s)) is not None

    async def _answer(self, ask: Callable[[], Awaitable[Barrier]]) -> Barrier:
        """Return what was found out, also where the server cannot do it; other driver errors pass through."""
        if self._none:
            return self._barrier(Ability.IN_MEMORY)
        try:
            return await ask()
        except WTimeoutError:
            return self._barrier(Ability.BUSY)
        except OperationFailure as error:
            for ability, codes in _ANSWERS:
                if error.code in codes:
                    return self._barrier(ability)
            raise

    def _barrier(self, ability: Ability, key: str = "") -> Barrier:
        return Barrier(self.side, self._name, ability, key)

    async def _find_options(self) -> Document | None:
        found = await self._collection.database.command(
            "listCollections", 1, filter={"name": self._collection.name}, read_preference=ReadPreference.PRIMARY,
            codec_options=_RAW,
        )  # fmt: skip
        first = found["cursor"]["firstBatch"]
        if not first:
            return None
        options: Document = first[0].get("options", {})
        return options

    async def _change(self, arguments: Document, within_s: float) -> None:
        # By majority: a new primary must have the fence too, and nothing from before it can be rolled back then.
        concern = {"w": "majority", "wtimeout": _milliseconds(within_s)}
        reply = await self._collection.database.command(
            "collMod", self._collection.name, **arguments, maxTimeMS=_milliseconds(within_s), writeConcern=concern
        )
        if "writeConcernError" in reply:
            raise WTimeoutError("collMod has not reached the majority in time", 64, dict(reply["writeConcernError"]))


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))
