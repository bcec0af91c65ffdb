"""A `Pair` from what the user gave: the one place that checks collections and chooses the stores."""

from __future__ import annotations

from typing import Any, TypeVar

from lazymig.batching import CoalescingV1, CoalescingV2
from lazymig.behind import Behind
from lazymig.clock import Clock
from lazymig.conversions import conversions_for
from lazymig.drivers import driver_of, tz_aware
from lazymig.errors import ConfigurationError
from lazymig.migration import Migration
from lazymig.pair import Pair
from lazymig.stores import V1Store, V2Store
from lazymig.surroundings.uuids import check_uuids
from lazymig.telemetry import LEFT_DIRTY, Tally

V1 = TypeVar("V1")
V2 = TypeVar("V2")

#: V2 bodies on their way behind the callers, at most.
_BEHIND_MAX = 1000


def build_pair(
    migration: Migration[V1, V2],
    v1: Any,
    v2: Any,
    *,
    clock: Clock,
    coalesce: bool = False,
    write_behind: bool = False,
    checked: bool = False,
    read_concern: str | None = None,
    max_attempts: int = 32,
    timeout_s: float | None = None,
    session: Any = None,
    tally: Tally | None = None,
    v2_wait_s: float | None = None,
    behind: Behind | None = None,
) -> Pair[V1, V2]:
    """Check the collections and put the stores together. Raises `ConfigurationError`."""
    if not isinstance(migration, Migration):
        raise ConfigurationError("migration: pass a lazymig.Migration")
    if max_attempts < 1:
        raise ConfigurationError("max_attempts: pass 1 or more")
    for side, collection in (("v1", v1), ("v2", v2)):
        _check_collection(side, collection)
    _check_distinct(v1, v2)
    check_uuids(migration, v1=v1, v2=v2)
    conversions = conversions_for(migration, v1_aware=tz_aware(v1), v2_aware=tz_aware(v2))
    stores: tuple[V1Store, V2Store]
    conv, remembers = migration.revision, migration.upgrading.takes_other
    if coalesce and session is None and read_concern is None:
        stores = CoalescingV1(v1, timeout_s), CoalescingV2(v2, clock, conv, timeout_s, remembers=remembers)
    else:
        # A session runs one statement at a time, and a linearizable read names one document.
        found = V2Store(v2, clock, conv, session, read_concern, remembers=remembers)
        stores = V1Store(v1, session, read_concern), found
    tally = tally or Tally(migration.name)
    # Half of a call's time: were V2 to hang, the call would end in time with V1's answer or write, and no error.
    half_s = None if timeout_s is None else timeout_s / 2
    behind = behind or Behind(_BEHIND_MAX if write_behind else 0, half_s, lambda: tally.count(LEFT_DIRTY))
    ahead = coalesce and session is None  # a session runs one statement at a time
    return Pair(
        *stores, conversions, clock, tally, behind, max_attempts, checked, session is not None, ahead, v2_wait_s
    )


def _check_collection(side: str, collection: Any) -> None:
    try:
        driver_of(collection)
    except ConfigurationError as error:
        raise ConfigurationError(f"{side}: {error}") from None
    concern = getattr(collection, "write_concern", None)
    if concern is not None and not getattr(concern, "acknowledged", True):
        raise ConfigurationError(f"{side}: write concern 0 acknowledges nothing; configure w=1 or majority")


def _check_distinct(v1: Any, v2: Any) -> None:
    if v1 is v2 or (v1.full_name == v2.full_name and v1.database.client == v2.database.client):
        raise ConfigurationError(f"v1 and v2 are the same collection, {v1.full_name}; V2 needs one of its own")
