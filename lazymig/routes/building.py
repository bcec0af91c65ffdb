"""A `Pair` from what the user gave: the one place that checks collections and chooses the stores."""

from __future__ import annotations

from typing import Any, TypeVar

from attrs import evolve, frozen

from lazymig.errors import ConfigurationError
from lazymig.loop.behind import Behind
from lazymig.loop.clock import Clock
from lazymig.protocol.pair import Pair
from lazymig.shapes.conversions import conversions_for
from lazymig.shapes.migration import Migration
from lazymig.stores.coalescing import CoalescingV1, CoalescingV2
from lazymig.stores.drivers import driver_of, tz_aware
from lazymig.stores.mongo_v2 import V1Store, V2Store
from lazymig.surroundings.checking import is_same
from lazymig.surroundings.uuids import check_uuids
from lazymig.telemetry import LEFT_DIRTY, Tally

V1 = TypeVar("V1")
V2 = TypeVar("V2")

#: V2 bodies on their way behind the callers, at most.
_BEHIND_MAX = 1000


@frozen(kw_only=True)
class Options:
    """How the steps are made: the arguments of `Repository` by the same names."""

    clock: Clock
    coalesce: bool
    write_behind: bool
    checked: bool
    read_concern: str | None
    max_attempts: int
    timeout_s: float | None
    v2_wait_s: float | None

    def in_session(self) -> Options:
        """These options for a session, which runs one statement at a time, and whose transaction has its own time."""
        return evolve(self, coalesce=False, write_behind=False, timeout_s=None)


def build_pair(
    migration: Migration[V1, V2],
    v1: Any,
    v2: Any,
    options: Options,
    *,
    session: Any = None,
    tally: Tally | None = None,
    behind: Behind | None = None,
) -> Pair[V1, V2]:
    """Check the collections and put the stores together. Raises `ConfigurationError`."""
    if not isinstance(migration, Migration):
        raise ConfigurationError("migration: pass a lazymig.Migration")
    if options.max_attempts < 1:
        raise ConfigurationError("max_attempts: pass 1 or more")
    for side, collection in (("v1", v1), ("v2", v2)):
        _check_collection(side, collection)
    _check_distinct(v1, v2)
    check_uuids(migration, v1=v1, v2=v2)
    conversions = conversions_for(migration, v1_aware=tz_aware(v1), v2_aware=tz_aware(v2))
    tally = tally or Tally(migration.name)
    # Half of a call's time: were V2 to hang, the call would end in time with V1's answer or write, and no error.
    half_s = None if options.timeout_s is None else options.timeout_s / 2
    behind = behind or Behind(_BEHIND_MAX if options.write_behind else 0, half_s, lambda: tally.count(LEFT_DIRTY))
    return Pair(
        *_stores(migration, v1, v2, options, session), conversions, options.clock, tally, behind,
        max_attempts=options.max_attempts, checked=options.checked, in_session=session is not None,
        ahead=options.coalesce, v2_wait_s=options.v2_wait_s,
    )  # fmt: skip


def _stores(migration: Migration[V1, V2], v1: Any, v2: Any, options: Options, session: Any) -> tuple[V1Store, V2Store]:
    conv, remembers, clock = migration.revision, migration.upgrading.takes_other, options.clock
    if options.coalesce and options.read_concern is None:  # a linearizable read names one document
        coalescing = CoalescingV2(v2, clock, conv, options.timeout_s, remembers=remembers)
        return CoalescingV1(v1, options.timeout_s), coalescing
    bodies = V2Store(v2, clock, conv, session, options.read_concern, remembers=remembers)
    return V1Store(v1, session, options.read_concern), bodies


def _check_collection(side: str, collection: Any) -> None:
    try:
        driver_of(collection)
    except ConfigurationError as error:
        raise ConfigurationError(f"{side}: {error}") from None
    concern = getattr(collection, "write_concern", None)
    if concern is not None and not getattr(concern, "acknowledged", True):
        raise ConfigurationError(f"{side}: write concern 0 acknowledges nothing; configure w=1 or majority")


def _check_distinct(v1: Any, v2: Any) -> None:
    if is_same(v1, v2):
        raise ConfigurationError(f"v1 and v2 are the same collection, {v1.full_name}; V2 needs one of its own")
