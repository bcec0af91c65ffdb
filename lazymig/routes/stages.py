"""The stage of a call: the route of the phase in which it runs, fixed or as the fleet goes."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Generic, Protocol, TypeVar

from attrs import frozen

from lazymig.control import Standing
from lazymig.errors import PhaseError
from lazymig.loop.deadline import Deadline
from lazymig.membership.in_flight import Entered
from lazymig.membership.member import Member
from lazymig.phases import Phase
from lazymig.routes.route import Route
from lazymig.surroundings.first_use import FirstUse

V1 = TypeVar("V1")
V2 = TypeVar("V2")


@frozen
class Stage(Generic[V1, V2]):
    """What a call needs of its phase: the route, and the check of the collections before the first call."""

    phase: Phase
    route: Route[V1, V2]
    first_use: FirstUse


class Call(Protocol[V1, V2]):
    """The context of one call: its bound in time, and its stage."""

    async def __aenter__(self) -> Stage[V1, V2]: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Stages(Protocol[V1, V2]):
    """The stages of one repository."""

    @property
    def now(self) -> Stage[V1, V2]:
        """The stage of a call that began now. Raises `PhaseError` where the phase is not known yet."""
        raise NotImplementedError

    async def arrive(self) -> Stage[V1, V2]:
        """Return the stage of a call that began now, once the phase is known. Raises `PhaseError`."""
        raise NotImplementedError

    def at(self, standing: Standing | None) -> Stage[V1, V2]:
        """Return the stage where the migration stands so, for tools that only look and join no fleet.

        Raises `PhaseError` where a phase is followed and none is recorded.
        """
        raise NotImplementedError

    async def leave(self) -> None:
        """Leave the fleet, if this repository follows one."""
        raise NotImplementedError

    def call(self, *, writes: bool) -> Call[V1, V2]:
        """Return the context of one call."""
        raise NotImplementedError

    async def keep_on(self, stage: Stage[V1, V2]) -> None:
        """Return if a listing that began in this stage may give another page. Raises `PhaseError`."""
        raise NotImplementedError

    def rebuilt(self, build: Callable[[Standing | Phase], Stage[V1, V2]]) -> Stages[V1, V2]:
        """Return the same stages with other routes."""
        raise NotImplementedError


class FixedStages(Stages[V1, V2], Generic[V1, V2]):
    """One phase for the life of the process."""

    def __init__(self, stage: Stage[V1, V2], timeout_s: float | None) -> None:
        self._stage = stage
        self._timeout_s = timeout_s

    def __str__(self) -> str:
        return f"in {self._stage.phase}"

    @property
    def now(self) -> Stage[V1, V2]:
        return self._stage

    async def arrive(self) -> Stage[V1, V2]:
        return self._stage

    def at(self, standing: Standing | None) -> Stage[V1, V2]:
        return self._stage

    async def leave(self) -> None:
        """Do nothing: there is no fleet."""

    def call(self, *, writes: bool) -> Call[V1, V2]:
        return _FixedCall(self._stage, self._timeout_s, writes=writes)

    async def keep_on(self, stage: Stage[V1, V2]) -> None:
        """Return: the phase does not change."""

    def rebuilt(self, build: Callable[[Standing | Phase], Stage[V1, V2]]) -> FixedStages[V1, V2]:
        return FixedStages(build(self._stage.phase), self._timeout_s)


class _FixedCall(Generic[V1, V2]):
    __slots__ = ("_deadline", "_stage")

    def __init__(self, stage: Stage[V1, V2], timeout_s: float | None, *, writes: bool) -> None:
        self._stage = stage
        due = stage.first_use.due
        self._deadline = stage.first_use.call(writes=writes) if due else Deadline(timeout_s)

    async def __aenter__(self) -> Stage[V1, V2]:
        await self._deadline.__aenter__()
        return self._stage

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._deadline.__aexit__(kind, error, trace)


class SteeredStages(Stages[V1, V2], Generic[V1, V2]):
    """The phase that the fleet follows: each call runs in the one that is recorded when it begins."""

    def __init__(
        self, member: Member, build: Callable[[Standing | Phase], Stage[V1, V2]], timeout_s: float | None
    ) -> None:
        self.member = member
        self._build = build
        self._timeout_s = timeout_s
        self._built: tuple[Standing, Stage[V1, V2]] | None = None

    def __str__(self) -> str:
        return "under control" if self._built is None else f"in {self._built[0].phase}, under control"

    @property
    def now(self) -> Stage[V1, V2]:
        standing = self.member.standing
        if self._built is None or self._built[0].epoch != standing.epoch:
            self._built = standing, self._adopt(standing)
        return self._built[1]

    def _adopt(self, standing: Standing) -> Stage[V1, V2]:
        """Return the stage of this record. A change that leaves phase and settings as they are keeps the stage."""
        if self._built is not None:
            before, stage = self._built
            if (before.phase, before.settings) == (standing.phase, standing.settings):
                return stage
        return self._build(standing)

    async def arrive(self) -> Stage[V1, V2]:
        await self.member.join()
        return self.now

    def at(self, standing: Standing | None) -> Stage[V1, V2]:
        if standing is None:
            raise PhaseError("no phase is recorded: lazymig phase begin --app ... records the first one")
        return self._build(standing)

    async def leave(self) -> None:
        await self.member.leave()

    def call(self, *, writes: bool) -> Call[V1, V2]:
        return _SteeredCall(self, Deadline(self._timeout_s), writes=writes)

    async def keep_on(self, stage: Stage[V1, V2]) -> None:
        phase = (await self.arrive()).phase
        if phase is not stage.phase and (phase is Phase.V2_ONLY or _distance(phase, stage.phase) > 1):
            raise PhaseError(f"this listing began in the phase {stage.phase}, and it is {phase} now: list again")

    def rebuilt(self, build: Callable[[Standing | Phase], Stage[V1, V2]]) -> SteeredStages[V1, V2]:
        return SteeredStages(self.member, build, self._timeout_s)


def _distance(one: Phase, other: Phase) -> int:
    order = list(Phase)
    return abs(order.index(one) - order.index(other))


class _SteeredCall(Generic[V1, V2]):
    __slots__ = ("_deadline", "_entered", "_stages", "_writes")

    def __init__(self, stages: SteeredStages[V1, V2], deadline: Deadline, *, writes: bool) -> None:
        self._stages = stages
        self._deadline = deadline
        self._writes = writes
        self._entered: Entered | None = None

    async def __aenter__(self) -> Stage[V1, V2]:
        await self._deadline.__aenter__()
        try:
            self._entered = await self._stages.member.enter(writes=self._writes)
            stage = self._stages.now
            if stage.first_use.due:
                await stage.first_use.passed(writes=self._writes)
        except BaseException as error:
            # Python does not call `__aexit__` for an error in `__aenter__`.
            await self.__aexit__(type(error), error, error.__traceback__)
            raise
        return stage

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._entered is not None:
            self._stages.member.end(self._entered)
        await self._deadline.__aexit__(kind, error, trace)
