"""What a seal is given, and what becomes of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

from attrs import frozen

from lazymig.stores.fencing import Fence


@frozen
class Fences:
    """The fences of both collections. V1 has none where entities are parts of documents, which live on."""

    v1: Fence | None
    v2: Fence

    def __iter__(self) -> Iterator[Fence]:
        """Yield the fences, V1's first: V2's keeps late writers from beginning anything while they are lifted."""
        yield from (fence for fence in (self.v1, self.v2) if fence is not None)


@frozen(kw_only=True)
class Fleet:
    """What a seal asks of the fleet.

    Attributes:
        hold: Asks all processes to hold new writes; returns once every live one has acknowledged that and has no write
            in flight. It must exclude any other seal, and leave nothing held where it raises. Returns for how many
            seconds writes have been held by then; 0 where it does not know.
        switch: Records the phase `v2_only` if nobody has changed the record since `hold`, durably. False: somebody has,
            and it was not recorded. An error means that nobody knows whether it was.
        release: Lets writes go on, in the phase that is recorded. Called once after each `hold` that returned.
    """

    hold: Callable[[], Awaitable[float]]
    switch: Callable[[], Awaitable[bool]]
    release: Callable[[], Awaitable[object]]


@frozen(kw_only=True)
class Terms:
    """How a seal is made.

    Attributes:
        key: Names this attempt; it is stored in the fences, and only the fences of this attempt are lifted.
        within_s: Seconds from the hold to the switch, at most; None for no bound.
        change_s: Seconds that one change of a validator waits for open transactions, at most. Other statements on the
            collection wait behind it.
        at_once: How many marks are healed at a time.
        leases_only: Whether to go on where a collection cannot be fenced. Only the leases keep late writes out then.
    """

    key: str
    within_s: float | None = 8.0
    change_s: float = 0.5
    at_once: int = 32
    leases_only: bool = False


@frozen(kw_only=True)
class Seal:
    """What became of a seal.

    Attributes:
        sealed: Whether the phase is `v2_only` now.
        why: Why not; "" where it is sealed.
        healed: How many open marks were healed.
        buried: How many open marks over entities that V1 lacks were turned into tombstones.
        held_s: Seconds that writes were held.
        fenced: Whether both fences stand now.
        unfenced: Where it is sealed without a fence: why. Where it is not: what the fences' lifting failed with.
        late: Ids of entities that were written although writes were held, at most 20, as entities hold them.
    """

    sealed: bool = False
    why: str = ""
    healed: int = 0
    buried: int = 0
    held_s: float = 0.0
    fenced: bool = False
    unfenced: tuple[str, ...] = ()
    late: tuple[object, ...] = ()
