"""The ladder of one collection: five phases, each beside the next, and nothing to prepare or to hold between them."""

from __future__ import annotations

from typing import ClassVar, Final, Generic, TypeVar

from attrs import frozen

from lazymig.control import Standing
from lazymig.phases import Phase
from lazymig.routes.in_place.building import ROUTES, check_phase
from lazymig.switching.case import AnyCase
from lazymig.switching.desk import Desk
from lazymig.switching.in_place import gates
from lazymig.switching.ladder import Ladder, Step
from lazymig.switching.plan import Direction, Gate

V1 = TypeVar("V1")
V2 = TypeVar("V2")

_CONSEQUENCES: Final[dict[tuple[Phase, Phase], tuple[str, ...]]] = {
    (Phase.V1_ONLY, Phase.SHADOW): ("V2's part is filled by reads, writes and sweeps; V1's part answers",),
    (Phase.SHADOW, Phase.COEXIST): ("V2's part answers where it is trusted; V1's part stays the truth",),
    (Phase.COEXIST, Phase.V2_PRIMARY): (
        "lists and counts go by V2's fields: they find what another program changes by its old values, until a read or "
        "a sweep has converted it",
    ),
    (Phase.V2_PRIMARY, Phase.V2_ONLY): (
        "V1's fields are not written any more, and there is no way back",
        "what another program writes into V1's fields is ignored once a process has written the document",
        "sweeper and verifier refuse to run",
    ),
    (Phase.V2_PRIMARY, Phase.COEXIST): ("lists and counts go by V1's fields again",),
    (Phase.COEXIST, Phase.SHADOW): (
        "V1's part answers: fields that V1 cannot express are out of reach until the phase is coexist again",
    ),
    (Phase.SHADOW, Phase.V1_ONLY): (
        "V2's part is no longer filled; on the way up, its fingerprint shows what has changed meanwhile",
    ),
}


@frozen
class OneCollection(Ladder, Generic[V1, V2]):
    """The phases of documents that carry both shapes. A fingerprint takes the place of marks and of the seal."""

    desk: Desk[V1, V2]
    rungs: ClassVar[tuple[Phase, ...]] = tuple(ROUTES)

    async def judge(self, case: AnyCase, accepted: frozenset[str]) -> tuple[Gate, ...]:
        return await gates.judge(case, accepted)

    async def describe_steps(self, case: AnyCase) -> tuple[str, ...]:
        epoch = case.standing.epoch
        behind = sorted(member.name for member in await case.members() if member.is_behind(epoch, epoch))
        steps = []
        if behind:
            steps.append(f"wait until {', '.join(behind)} has acknowledged epoch {epoch}, or its lease is over")
        steps.append(f"record the phase {case.to}, for all processes; no write is held")
        steps.append("wait until all processes have acknowledged it")
        return tuple(steps)

    def describe_consequences(self, before: Phase, after: Phase) -> tuple[str, ...]:
        return _CONSEQUENCES[(before, after)]

    def explain_no_way(self, phase: Phase, direction: Direction) -> str:
        name = self.desk.name
        if phase not in self.rungs:
            return (
                f"{name} is recorded to be in {phase}, and documents that carry both shapes have no such phase: the "
                "record is of two collections. Roll it back to v1_only with the release that has them, or give this "
                "migration another name"
            )
        if phase is Phase.V1_ONLY:
            return f"{name} is in {phase}: there is no phase before it"
        if direction == "rollback":
            return (
                f"{name} is in {phase}: V1's fields lack what was written since, so no phase leads back. The way back "
                "is a migration of its own, migration.reversed(name), once lazymig retire reduce --strip has ended this"
            )
        return f"{name} is in {phase}, the last phase: lazymig retire takes V1's fields out"

    def check_begin(self, phase: Phase) -> Phase:
        return check_phase(phase)

    async def find_left_over(self, standing: Standing) -> list[str]:
        return []

    async def prepare(self, step: Step) -> Standing:
        return step.standing

    async def record(self, step: Step) -> Standing:
        moved = await self.desk.phases.move(step.standing, step.target, by=step.by, why=step.why)
        if moved is None:
            raise await self.desk.explain_lost(step.standing)
        return moved

    async def release(self, standing: Standing) -> Standing:
        return standing
