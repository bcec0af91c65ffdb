"""What every step of a retirement works on: both collections, the record, and who works."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from attrs import evolve, frozen

from lazymig.control import Parts
from lazymig.control.retirement import RetirementRecord, RetirementStage
from lazymig.errors import ConfigurationError, PhaseError
from lazymig.loop.clock import Clock
from lazymig.protocol.pair import Pair
from lazymig.shapes.migration import is_finished
from lazymig.stores.given import Store
from lazymig.stores.moving_away import Removable

V1 = TypeVar("V1")
V2 = TypeVar("V2")

_ORDER = list(RetirementStage)
#: The stages at which V1 exists.
BEFORE_THE_DROP = frozenset({RetirementStage.SERVING, RetirementStage.QUARANTINED})
#: The steps by the stages that they lead to.
_LEADS_TO = {
    RetirementStage.SERVING: "restore",
    RetirementStage.QUARANTINED: "quarantine",
    RetirementStage.DROPPED: "drop",
    RetirementStage.REDUCED: "reduce",
}


@frozen(kw_only=True)
class Work:
    """The record of one migration's retirement, and who works."""

    name: str
    parts: Parts
    clock: Clock
    #: Who works, for the history.
    by: str = ""
    #: Whether the run is to stop.
    stopping: Callable[[], bool] = lambda: False

    async def begin(self, record: RetirementRecord, what: str, **changes: object) -> RetirementRecord:
        """Record that a step begins, with what it needs to be resumed. Raises `OvertakenError`."""
        after = evolve(record, doing=what, **changes)  # type: ignore[arg-type]
        return await self.parts.retirement(self.name).save(record, after, by=self.by, what=f"{what} begun")

    async def end(self, record: RetirementRecord, said: str, **changes: object) -> RetirementRecord:
        """Record that the step that has begun is done. Raises `OvertakenError`."""
        after = evolve(record, doing="", **changes)  # type: ignore[arg-type]
        if after.stage is not record.stage:
            after = evolve(after, since=self.clock.now())
        return await self.parts.retirement(self.name).save(record, after, by=self.by, what=said)


@frozen(kw_only=True)
class Ground(Work, Generic[V1, V2]):
    """The collections and the record of one migration's retirement."""

    pair: Pair[V1, V2]

    @property
    def v1(self) -> Removable:
        """V1 under the name that the application gives it."""
        return Removable(self.pair.v1)

    @property
    def is_part(self) -> bool:
        """Whether V1's entities are parts of documents, which stay."""
        return self.pair.conversions.carried.is_part

    def describe_fields(self) -> str:
        """Return the names of V1's fields, where entities are parts of documents."""
        return ", ".join(self.pair.conversions.carried.names)

    def in_quarantine(self, record: RetirementRecord) -> Removable:
        """Return V1 under its name in quarantine."""
        return Removable(self.v1.named(record.quarantine))

    def here(self, record: RetirementRecord) -> Store:
        """Return V1 where it is now."""
        if self.is_part:
            return self.pair.v1  # which knows what of a document is an entity
        return self.v1.named(record.quarantine if record.stage is RetirementStage.QUARANTINED else self.v1.name)

    async def find(self) -> RetirementRecord:
        """Find the record.

        Raises `ConfigurationError` if it is about another V1 than this repository has, and `PhaseError` if V1 is needed
        and this release does not know it.
        """
        record = await self.parts.retirement(self.name).find()
        if is_finished(self.pair.conversions.migration) and record.stage in BEFORE_THE_DROP:
            raise PhaseError(
                "retirement: this release has Migration.finished(...), which no longer knows V1, and V1 is not "
                "dropped; run lazymig retire with the release that has both classes"
            )
        if record.v1 and record.v1 != self.v1.place and not is_finished(self.pair.conversions.migration):
            raise ConfigurationError(
                f"v1: the retirement of {record.v1} has begun, and this repository has {self.v1.place}; pass the "
                "repository of that collection"
            )
        return record


def check_step(record: RetirementRecord, what: str, *stages: RetirementStage) -> None:
    """Raise `PhaseError` unless this step may begin or go on: at one of these stages, with no other step half done."""
    if record.doing not in ("", what):
        raise PhaseError(f"{what}: {record.doing} has begun and is not done; run lazymig retire {record.doing} again")
    if record.stage not in stages:
        raise PhaseError(f"{what}: V1 is {describe_stage(record.stage)}; {_explain(record.stage, stages)}")


def describe_stage(stage: RetirementStage) -> str:
    """Return what a stage means for V1, in words."""
    return {
        RetirementStage.SERVING: "not in quarantine",
        RetirementStage.QUARANTINED: "in quarantine",
        RetirementStage.DROPPED: "gone",
        RetirementStage.REDUCED: "gone, and V2 is reduced",
        RetirementStage.RETIRED: "retired",
    }[stage]


def _explain(at: RetirementStage, stages: tuple[RetirementStage, ...]) -> str:
    if _ORDER.index(at) > _ORDER.index(stages[-1]):
        return "this is done already"
    return f"run lazymig retire {_LEADS_TO[stages[0]]} first"
