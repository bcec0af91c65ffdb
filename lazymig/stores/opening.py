"""Checking the user's two collections and opening their stores, plain or coalescing."""

from __future__ import annotations

from typing import Literal, cast

from attrs import frozen

from lazymig.errors import ConfigurationError
from lazymig.loop.clock import Clock
from lazymig.stores.carried import WHOLE, Carried
from lazymig.stores.coalescing import CoalescingV1, CoalescingV2
from lazymig.stores.coalescing_alone import CoalescingAlone
from lazymig.stores.coalescing_wholes import CoalescingWholes
from lazymig.stores.drivers import DriverSession, collection_of, driver_of, is_tz_aware
from lazymig.stores.given import Collection, Collections, Session, Store
from lazymig.stores.mongo_v1 import V1Store
from lazymig.stores.mongo_v2 import V2Store
from lazymig.stores.mongo_wholes import WholeStore
from lazymig.stores.v2_alone import AloneStore


@frozen(kw_only=True)
class Terms:
    """How stores are opened.

    `conv` is the revision of the conversion whose bodies are stored. `remembers`: whether bodies may hold what V1
    cannot express.
    """

    clock: Clock
    conv: int
    remembers: bool
    coalesce: bool
    timeout_s: float | None
    read_concern: Literal["linearizable"] | None
    session: Session | None = None
    #: Whether no process knows V1 any more.
    finished: bool = False
    #: How V1's documents carry the entities.
    carried: Carried = WHOLE


def check_collection(side: str, collection: object) -> None:
    """Raise `ConfigurationError` unless this is an async collection that acknowledges writes."""
    try:
        driver_of(collection)
    except ConfigurationError as error:
        raise ConfigurationError(f"{side}: {error}") from None
    concern = getattr(collection, "write_concern", None)
    if concern is not None and not getattr(concern, "acknowledged", True):
        raise ConfigurationError(f"{side}: write concern 0 acknowledges nothing; configure w=1 or majority")


def are_tz_aware(given: Collections) -> tuple[bool, bool]:
    """Return whether the clients of V1 and of V2 return aware datetimes."""
    return is_tz_aware(given.v1), is_tz_aware(given.v2)


def open_stores(given: Collections, terms: Terms) -> tuple[V1Store, V2Store, AloneStore]:
    """Return V1's store, the one that keeps both the ledger and the bodies in V2, and V2's as the only truth."""
    if (
        terms.coalesce and terms.read_concern is None
    ):  # linearizable reads cannot share a statement: each finds one document
        v2 = CoalescingV2(given.v2, terms.clock, terms.conv, terms.timeout_s, remembers=terms.remembers)
        alone = CoalescingAlone(given.v2, terms.clock, terms.conv, terms.timeout_s, forgets=terms.finished)
        return CoalescingV1(given.v1, terms.timeout_s, terms.carried, v2.find_many), v2, alone
    session = cast("DriverSession | None", terms.session)  # the driver checks that it is one of its own
    return (
        V1Store(given.v1, session, terms.read_concern, terms.carried),
        V2Store(given.v2, terms.clock, terms.conv, session, terms.read_concern, remembers=terms.remembers),
        AloneStore(given.v2, terms.clock, terms.conv, session, terms.read_concern, forgets=terms.finished),
    )


def open_wholes(collection: Collection, terms: Terms) -> WholeStore:
    """Return the store of documents that carry both shapes."""
    if terms.coalesce and terms.read_concern is None:
        return CoalescingWholes(collection_of(collection), terms.timeout_s)
    return WholeStore(collection_of(collection), cast("DriverSession | None", terms.session), terms.read_concern)


def name_unused_beside(one: Store) -> Collection:
    """Return a collection in this one's database for a repository that has no other. Nothing reads or writes it."""
    collection = collection_of(one)
    found: Collection = collection.database[f"{collection.name}_lazymig_unused"]
    return found
