"""What a follower reports while it runs and at the end."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen


@frozen
class FollowReport:
    """What a follower did, and how far it was behind.

    Attributes:
        migration: The migration's name.
        events: Changes of V1 that were seen, announced or not.
        rogue: Changes that were not announced, by operation: "insert", "update", "replace", "delete".
        healed: Entities that were brought up to V1. One that changed several times within a batch counts once.
        dead: Entities that could not be healed; each has a dead letter.
        lag_s: The age of the oldest change that is not handled, in seconds; where all are, the age that the last one
            had, and 0 where there was none.
        staleness_p50_s: The median time from a change that was not announced to its durable heal; None without any.
        staleness_p99_s: The time within which 99 of 100 of them were healed; None without any.
        catch_ups: How often the position was unknown or lost, so that both sides were verified as a whole.
        catching_up: Whether such a verification is not finished yet.
        waiting: Whether another process follows, and this one waits to take over.
        throttle: Why it waits or goes slowly; empty where it does not.
        elapsed_s: Seconds since the run began.
    """

    migration: str
    events: int
    rogue: Mapping[str, int]
    healed: int
    dead: int
    lag_s: float
    staleness_p50_s: float | None
    staleness_p99_s: float | None
    catch_ups: int
    catching_up: bool
    waiting: bool
    throttle: str
    elapsed_s: float

    @property
    def needs_person(self) -> bool:
        """Whether something is left that the follower cannot resolve."""
        return self.dead > 0
