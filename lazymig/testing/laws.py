"""Laws that a migration's conversions must keep for lazymig's promises to hold, checked on random entities.

    def test_laws():
        assert_laws(migration)

Unlike all other errors of lazymig, these show contents, because the entities are test data.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from typing import Any, Final, Generic, TypeVar

import bson
from attrs import frozen
from bson import Int64
from bson.codec_options import CodecOptions

from lazymig.errors import ConfigurationError, ConversionError
from lazymig.shapes.annotations import fields_of, holds_model
from lazymig.shapes.codec import Codec, failure_path, leaf_error
from lazymig.shapes.conversions import Conversions, conversions_for
from lazymig.shapes.entities import is_entity
from lazymig.shapes.migration import Migration, get_downgrading, get_upgrading, is_upcasting_only
from lazymig.stores.documents import DOCUMENT_BYTES_MAX, META_FIELD, REVISION_FIELD
from lazymig.stores.records import Unmoved
from lazymig.testing.differences import reduce_to_common, without_own
from lazymig.testing.extras import (
    FailedHealthCheck,
    HealthCheck,
    Phase,
    SearchStrategy,
    Unsatisfiable,
    given,
    settings,
)
from lazymig.testing.law import (
    DOWNGRADE_DETERMINISTIC,
    DOWNGRADE_PURE,
    DOWNGRADE_TOTAL,
    HELD,
    READABLE,
    SAME_TYPES,
    SIZE,
    STORABLE,
    UPCAST_DETERMINISTIC,
    UPCAST_PURE,
    UPGRADE_DETERMINISTIC,
    UPGRADE_PURE,
    UPGRADE_TOTAL,
    V1_BACK,
    V2_BACK,
    LawBroken,
    same,
)
from lazymig.testing.newest import of_newest
from lazymig.testing.sharing import Sharing
from lazymig.testing.strategies import entities

V1 = TypeVar("V1")
V2 = TypeVar("V2")
T = TypeVar("T")

#: lazymig's own fields count towards the size.
_OWN_FIELDS: Final[Mapping[str, dict[str, Any]]] = {
    "V1": {REVISION_FIELD: Int64(1)},
    "V2": {META_FIELD: {"rev": Int64(1), "intent": Int64(1), "by": "sweep", "gone": True, "at": bson.DatetimeMS(0)}},
}
Run = Callable[[Coroutine[Any, Any, None]], None]


def assert_laws(
    migration: Migration[V1, V2],
    *,
    v1: SearchStrategy[Any] | None = None,
    v2: SearchStrategy[V2] | None = None,
    tz_aware: bool = False,
    examples: int | None = None,
    in_place: bool = False,
) -> None:
    """Check a migration's laws on random entities. Hypothesis shrinks a failing example to the smallest entity.

    If a conversion is async, call this from a plain test function, not from an async one.

    Args:
        migration: The migration.
        v1: A strategy for V1 entities, or for V1 documents as a client returns them. By default it is derived from the
            class.
        v2: A strategy for V2 entities. By default it is derived from the class.
        tz_aware: Whether your client returns aware datetimes.
        examples: The number of examples for each side. By default it is that of the Hypothesis profile.
        in_place: Check as well that one document can carry both shapes, for `Repository.in_place`: no conversion
            changes a field that both share.

    Raises:
        LawBroken: A conversion breaks a law. This `AssertionError` names the law and the field.
        ConfigurationError: With `in_place`, a name means two things. Or a class refuses nearly all values that its
            types admit, so pass a strategy; or a conversion is async and an event loop is running; or a plain
            conversion waits for something.
    """
    models = any(map(holds_model, (migration.v1, migration.v2)))
    conversions = conversions_for(migration, v1_aware=tz_aware, v2_aware=tz_aware)
    laws = _Laws(conversions, tz_aware, models, Sharing.of(conversions) if in_place else None)
    derived = {"id_field": migration.id_field, "tz_aware": tz_aware}
    with _running(migration) as run:
        ones = of_newest(migration, entities(migration.v1, **derived)) if v1 is None else v1  # type: ignore[arg-type]
        _hold("v1", ones, examples, laws.of_v1, run)
        others = entities(migration.v2, **derived) if v2 is None else v2  # type: ignore[arg-type]
        if v2 is None and is_upcasting_only(migration):
            others = of_newest(migration, others)
        _hold("v2", others, examples, laws.of_v2, run)


def _hold(
    side: str,
    strategy: SearchStrategy[T],
    examples: int | None,
    law: Callable[[T], Coroutine[Any, Any, None]],
    run: Run,
) -> None:
    @settings(
        max_examples=examples or settings().max_examples,
        deadline=None,
        # Report one law with its smallest entity. Looking for further bugs and for variations would only take time.
        report_multiple_bugs=False,
        phases=[phase for phase in settings().phases if phase is not Phase.explain],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(strategy)
    def laws_hold(entity: T) -> None:
        run(law(entity))

    try:
        laws_hold()
    except (Unsatisfiable, FailedHealthCheck) as error:
        raise ConfigurationError(
            f"{side}: the class refuses nearly all that its types admit; pass a strategy, {side}=..."
        ) from error


@contextmanager
def _running(migration: Migration[V1, V2]) -> Iterator[Run]:
    if not (get_upgrading(migration).is_async or get_downgrading(migration).is_async):
        yield _at_once
        return
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        with asyncio.Runner() as runner:
            yield runner.run
    else:
        raise ConfigurationError("a conversion is async: call assert_laws from a plain test function, not an async one")


def _at_once(coroutine: Coroutine[Any, Any, None]) -> None:
    # Nothing in it waits, so it needs no event loop, and a running one does not matter.
    try:
        coroutine.send(None)
    except StopIteration:
        return
    coroutine.close()
    raise ConfigurationError("a conversion waits for something but is not an async function; declare it `async def`")


@frozen
class _Laws(Generic[V1, V2]):
    conversions: Conversions[V1, V2]
    tz_aware: bool
    #: Whether either class is a pydantic class or contains one.
    models: bool
    #: How one document carries both shapes, where it is to do so.
    sharing: Sharing[V1, V2] | None

    async def of_v1(self, given: Any) -> None:
        """Check the laws that begin with a V1 entity."""
        conversions = self.conversions
        if isinstance(given, Mapping):
            given = self._bring_up(given)
        entity: V1 = self._read(given) if isinstance(given, Mapping) else given
        document = self._stored("V1", conversions.v1, entity)
        if isinstance(given, Mapping):
            stored = {key: given[key] for key in document if key in given}
            same(SAME_TYPES.format(side="V1"), *reduce_to_common(stored, document))
        upgraded = await _total(UPGRADE_TOTAL, conversions.upgrade(entity, None))
        again = await _total(UPGRADE_TOTAL, conversions.upgrade(entity, None))
        if isinstance(upgraded, Unmoved) or isinstance(again, Unmoved):
            if upgraded != again:
                raise LawBroken(UPGRADE_DETERMINISTIC, "", f"expected {upgraded}, found {again}")
            same(UPGRADE_PURE, document, self._stored("V1", conversions.v1, entity))
            return
        same(UPGRADE_DETERMINISTIC, upgraded, again)
        same(UPGRADE_PURE, document, self._stored("V1", conversions.v1, entity))
        self._share(
            dict(given) if isinstance(given, Mapping) else document, self._stored("V2", conversions.v2, upgraded)
        )
        back = await _total(DOWNGRADE_TOTAL, conversions.downgrade(upgraded, entity))
        self._come_back(V1_BACK, entity, back)
        self._come_back(V1_BACK, document, self._stored("V1", conversions.v1, back))

    async def of_v2(self, entity: V2) -> None:
        """Check the laws that begin with a V2 entity."""
        conversions = self.conversions
        document = self._stored("V2", conversions.v2, entity)
        downgraded = await _total(DOWNGRADE_TOTAL, conversions.downgrade(entity, None))
        again = await _total(DOWNGRADE_TOTAL, conversions.downgrade(entity, None))
        same(DOWNGRADE_DETERMINISTIC, downgraded, again)
        self._share(self._stored("V1", conversions.v1, downgraded), document)
        back = await _total(UPGRADE_TOTAL, conversions.upgrade(downgraded, entity))
        if isinstance(back, Unmoved):
            # A V2 entity that was stored would be lost with the next write through V1's door.
            raise LawBroken(V2_BACK, "", f"expected {entity}, found {back}")
        same(DOWNGRADE_PURE, document, self._stored("V2", conversions.v2, entity))
        self._come_back(V2_BACK, entity, back)
        self._come_back(V2_BACK, document, self._stored("V2", conversions.v2, back))

    def _come_back(self, law: str, expected: Any, found: Any) -> None:
        # The constructor of a pydantic model turns an Int64 into a plain int, and no conversion can prevent that.
        same(law, expected, found, any_int=self.models)

    def _share(self, v1: dict[str, Any], v2: dict[str, Any]) -> None:
        if self.sharing is not None:
            self.sharing.check(v1, v2)

    def _bring_up(self, document: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a document of any version in the newest one, by upcasters that do the same twice."""
        before = deepcopy(document)
        try:
            made, again = self.conversions.v1.bring_up(document), self.conversions.v1.bring_up(document)
        except Exception as error:
            raise LawBroken(READABLE, failure_path(error), repr(leaf_error(error))) from error
        same(UPCAST_DETERMINISTIC, made, again)
        same(UPCAST_PURE, before, document)
        return made

    def _read(self, document: Mapping[str, Any]) -> V1:
        try:
            return self.conversions.v1.decode(document)
        except Exception as error:
            raise LawBroken(READABLE, failure_path(error), repr(leaf_error(error))) from error

    def _stored(self, side: str, codec: Codec[T], entity: T) -> dict[str, Any]:
        """Check the laws of storing an entity, and return its document as the server would return it."""
        raw = _encoded(STORABLE.format(side=side), side, codec, entity)
        if len(raw) > DOCUMENT_BYTES_MAX:
            raise LawBroken(SIZE.format(side=side), _largest(raw), f"{len(raw)} bytes")
        options: CodecOptions[Any] = CodecOptions(tz_aware=self.tz_aware)
        document = without_own(bson.decode(raw, options))
        if side == "V1" and not self.conversions.carried.holds(document):
            raise LawBroken(HELD, "", "no attribute would be stored; store one as null")
        try:
            read = codec.decode(document)
        except Exception as error:
            raise LawBroken(SAME_TYPES.format(side=side), "", f"reading it back: {error!r}") from error
        same(SAME_TYPES.format(side=side), entity, read)
        again = without_own(bson.decode(_encoded(STORABLE.format(side=side), side, codec, read), options))
        same(SAME_TYPES.format(side=side), document, again)
        return document


def _encoded(law: str, side: str, codec: Codec[T], entity: T) -> bytes:
    try:
        return bson.encode({"_id": codec.id_of(entity), **codec.encode(entity), **_OWN_FIELDS[side]})
    except Exception as error:
        raise LawBroken(law, _refused(codec, entity), repr(error)) from error


def _refused(codec: Codec[Any], entity: Any) -> str:
    """Return the path of the first field that cannot be stored."""
    for name, kind in fields_of(type(entity)).items():
        value = getattr(entity, name)
        try:
            bson.encode({"": codec.fast.unstructure(value, unstructure_as=kind)})
        except Exception:
            inner = _refused(codec, value) if is_entity(type(value)) else ""
            return f"{name}.{inner}" if inner else name
    return ""


def _largest(raw: bytes) -> str:
    sizes = {key: len(bson.encode({"": value})) for key, value in bson.decode(raw).items()}
    return max(sizes, key=lambda key: sizes[key])


async def _total(law: str, converted: Awaitable[T]) -> T:
    try:
        return await converted
    except ConversionError as error:
        raise LawBroken(law, error.path, repr(error.cause)) from error.cause
