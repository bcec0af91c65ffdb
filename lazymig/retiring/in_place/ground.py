"""What the steps work on where one document carries both shapes."""

from __future__ import annotations

from typing import Generic, TypeVar

from attrs import evolve, frozen

from lazymig.control.retirement import RetirementRecord, RetirementStage
from lazymig.errors import PhaseError
from lazymig.protocol.in_place.place import Place
from lazymig.retiring.ground import Work
from lazymig.shapes.migration import is_finished
from lazymig.shapes.one_document import Lift, OneDocument
from lazymig.stores.moving_away import Removable

V1 = TypeVar("V1")
V2 = TypeVar("V2")


@frozen(kw_only=True)
class PlaceGround(Work, Generic[V1, V2]):
    """The collection and the record of one migration's retirement."""

    place: Place[V1, V2]

    @property
    def whole(self) -> Removable:
        """The collection as a whole."""
        return Removable(self.place.store)

    @property
    def shape(self) -> OneDocument:
        """Which fields are whose, before anything is lifted."""
        return self.place.shape

    def at(self, lift: Lift) -> PlaceGround[V1, V2]:
        """Return the ground as it is once V2 parts are lifted so far."""
        return evolve(self, place=evolve(self.place, shape=self.shape.at(lift)))

    async def find(self) -> RetirementRecord:
        """Find the record. Raises `PhaseError` if V1's fields are there and this release does not know V1."""
        record = await self.parts.retirement(self.name).find()
        if is_finished(self.place.conversions.migration) and record.stage is RetirementStage.SERVING:
            raise PhaseError(
                "retirement: this release has Migration.finished(...), which no longer knows V1, and V1's fields are "
                "not taken out; run lazymig retire with the release that has both classes"
            )
        return record


def check_step_in_place(record: RetirementRecord, what: str, *stages: RetirementStage) -> None:
    """Raise `PhaseError` unless this step may begin or go on: at one of these stages, with no other step half done."""
    if record.doing not in ("", what):
        raise PhaseError(f"{what}: {record.doing} has begun and is not done; run lazymig retire {record.doing} again")
    if record.stage in stages:
        return
    if record.stage is RetirementStage.SERVING:
        raise PhaseError(f"{what}: V1's fields are still there; run lazymig retire reduce first")
    raise PhaseError(f"{what}: V1's fields are taken out already; there is nothing left for this step")


def list_v1_names(shape: OneDocument) -> list[str] | None:
    """Return the names of the fields that only V1 has; None where V1's converter does not reveal them."""
    return None if shape.v1 is None else [name for name in shape.v1 if name not in shape.shared and name != "_id"]
