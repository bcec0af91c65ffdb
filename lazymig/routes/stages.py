"""The stage of a call: the route of the phase in which it runs, fixed or as the fleet goes."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Generic, Protocol, TypeVar

from attrs import frozen

from lazymig.control import Standing
from lazymig.errors import PhaseError
from lazymig.loop.deadline import Deadline
from lazymig.membership.in_flight import Generation
from lazymig.membership.member import Member
from lazymig.phases import Phase, explain_unfilled
from lazymig.routes.route import Route
from lazymig.stores.given import Session
from lazymig.surroundings.first_use import FirstUse

V1 = TypeVar("V1")
V2 = TypeVar("V2")


@frozen
class Stage(Generic[V1, V2]):
    """What a call needs of its phase: the route, and the check of the collections before the first call."""

    phase: Phase
    route: Route[V1, V2]
    first_use: FirstUse
    #: The epoch in which the phase began; 0 where it is fixed.
    since: int = 0


def check_fills_v2(what: str, stage: Stage[V1, V2]) -> None:
    """Raise `PhaseError`, with the reason, if V2 is not filled from V1 in this stage."""
    if not stage.route.fills_v2:
        raise PhaseError(f"{what} runs only where V2 is filled from V1. {explain_unfilled(stage.phase)}")


def check_keeps_v1(what: str, stage: Stage[V1, V2]) -> None:
    """Raise `PhaseError` if V1 is not written in this stage."""
    if not stage.route.keeps_v1:
        raise PhaseError(f"{what} writes V1, which the phase {stage.phase} does not; V1 is stale there")


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

    async def leave(self) -> None:
        """Leave the fleet, if this repository follows one."""
        raise NotImplementedError

    def call(self, *, writes: bool) -> Call[V1, V2]:
        """Return the context of one call."""
        raise NotImplementedError

    async def is_current(self, stage: Stage[V1, V2]) -> bool:
        """Whether what was read in this stage until now may be given to a caller. Raises `PhaseError`."""
        raise NotImplementedError

    async def may_answer_from_v1(self, stage: Stage[V1, V2]) -> bool:
        """Whether what V1 answered until now in this stage was no staler than its call. Driver errors pass through."""
        raise NotImplementedError

    def rebuilt(
        self, build: Callable[[Standing | Phase], Stage[V1, V2]], session: Session | None = None
    ) -> Stages[V1, V2]:
        """Return the same stages with other routes, of calls in this session if one is given."""
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

    async def leave(self) -> None:
        """Do nothing: there is no fleet."""

    def call(self, *, writes: bool) -> Call[V1, V2]:
        stage = self._stage
        if stage.first_use.due:
            return _FirstCall(stage, stage.first_use.call(writes=writes))
        return _FixedCall(stage, self._timeout_s)

    async def is_current(self, stage: Stage[V1, V2]) -> bool:
        return True

    async def may_answer_from_v1(self, stage: Stage[V1, V2]) -> bool:
        return True

    def rebuilt(
        self, build: Callable[[Standing | Phase], Stage[V1, V2]], session: Session | None = None
    ) -> FixedStages[V1, V2]:
        return FixedStages(build(self._stage.phase), self._timeout_s)


class _FixedCall(Deadline, Generic[V1, V2]):
    """A deadline that also returns the stage: one object, because every call of a service makes one."""

    __slots__ = ("_stage",)

    def __init__(self, stage: Stage[V1, V2], timeout_s: float | None) -> None:
        self._timeout_s, self._open, self._stage = timeout_s, None, stage

    async def __aenter__(self) -> Stage[V1, V2]:
        self.begin()
        return self._stage


class _FirstCall(Generic[V1, V2]):
    __slots__ = ("_deadline", "_stage")

    def __init__(self, stage: Stage[V1, V2], deadline: Deadline) -> None:
        self._stage = stage
        self._deadline = deadline

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
        self,
        member: Member,
        build: Callable[[Standing | Phase], Stage[V1, V2]],
        timeout_s: float | None,
        session: Session | None = None,
    ) -> None:
        self.member = member
        self.session = session
        self._build = build
        self._timeout_s = timeout_s
        self._built: tuple[Standing, Stage[V1, V2]] | None = None

    def __str__(self) -> str:
        known = self.member.known
        return "under control" if known is None else f"in {known.phase}, under control"

    @property
    def now(self) -> Stage[V1, V2]:
        return self.of(self.member.standing)

    def of(self, standing: Standing) -> Stage[V1, V2]:
        """Return the stage of a record that this process follows.

        A change that leaves phase and settings as they are keeps the stage.
        """
        built = self._built
        if built is not None and built[0] is standing:
            return built[1]
        kept = built is not None and _is_alike(built[0], standing)
        stage = built[1] if built is not None and kept else self._build(standing)
        if self.member.known is standing:  # and not that of a transaction that began earlier
            self._built = standing, stage
        return stage

    async def arrive(self) -> Stage[V1, V2]:
        await self.member.join()
        return self.now

    async def leave(self) -> None:
        await self.member.leave()

    def call(self, *, writes: bool) -> Call[V1, V2]:
        return _SteeredCall(self, Deadline(self._timeout_s), writes=writes)

    async def is_current(self, stage: Stage[V1, V2]) -> bool:
        # While this process has not acknowledged another phase, the fleet is one step away at most. So what it read
        # until now was read beside phases that may run beside its own.
        now = self.of(await self.member.find_followed(self.session))
        return (now.phase, now.since) == (stage.phase, stage.since)

    async def may_answer_from_v1(self, stage: Stage[V1, V2]) -> bool:
        # Beside every other phase V1 is written. A transaction is over before writes are held.
        if stage.phase is not Phase.V2_PRIMARY or self.member.calls.find_begun(self.session) is not None:
            return True
        known = self.member.known
        if known is None or (known.phase, known.last.epoch) != (stage.phase, stage.since):
            return False
        # Once this process has acknowledged that writes are held, others may be in v2_only before it knows.
        return known.hold != "writes" or await self.member.is_recorded(known)

    def rebuilt(
        self, build: Callable[[Standing | Phase], Stage[V1, V2]], session: Session | None = None
    ) -> SteeredStages[V1, V2]:
        return SteeredStages(self.member, build, self._timeout_s, session)


def _is_alike(one: Standing, other: Standing) -> bool:
    return one.last == other.last and one.settings == other.settings


class _SteeredCall(Generic[V1, V2]):
    __slots__ = ("_deadline", "_generation", "_stages", "_writes")

    def __init__(self, stages: SteeredStages[V1, V2], deadline: Deadline, *, writes: bool) -> None:
        self._stages = stages
        self._deadline = deadline
        self._writes = writes
        self._generation: Generation | None = None

    async def __aenter__(self) -> Stage[V1, V2]:
        await self._deadline.__aenter__()
        try:
            stages, writes = self._stages, self._writes
            generation = None if stages.session is not None else stages.member.try_to_enter(writes=writes)
            if generation is None:
                generation = await stages.member.enter(writes=writes, session=stages.session)
            self._generation = generation
            stage = stages.of(generation.standing)
            if stage.first_use.due:
                await stage.first_use.passed(writes=writes)
        except BaseException as error:
            # Python does not call `__aexit__` for an error in `__aenter__`.
            await self.__aexit__(type(error), error, error.__traceback__)
            raise
        return stage

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._generation is not None:
            self._stages.member.end(self._generation, writes=self._writes)
        await self._deadline.__aexit__(kind, error, trace)
