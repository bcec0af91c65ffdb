"""The switch: it moves a fleet from one phase to the next, and refuses a step that would lose data."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from lazymig.control import Control, Moved, parts_of
from lazymig.errors import ConfigurationError, PhaseError
from lazymig.phases import Phase
from lazymig.repository import Repository, calls_of
from lazymig.switching.case import Demands
from lazymig.switching.desk import Desk
from lazymig.switching.gates import check_accepted
from lazymig.switching.moves import Mover, Order, choose_ladder
from lazymig.switching.plan import Direction, Gate, Plan

__all__ = ["Gate", "Plan", "Switch"]

V1 = TypeVar("V1")
V2 = TypeVar("V2")


def _silent(_: str) -> None:
    """Say nothing."""


class Switch(Generic[V1, V2]):
    """Moves all processes of a migration from one phase to the next, or back.

    It does not join the fleet, and `plan` writes nothing.

    Args:
        repository: The repository as the service makes it, with `phase=control`.
        control: The control collection; by default the one that the repository follows.
        soak_s: For how long verifications must have found nothing before V2 is trusted.
        max_age_s: How old the last full verification may be then.
        wait_s: How long to wait for acknowledgements.
        on_wait: Called with a line of text when something is waited for, or was given up.

    Raises:
        ConfigurationError: If the repository has a fixed phase, or a number is negative.
    """

    def __init__(
        self,
        repository: Repository[V1, V2],
        control: Control | None = None,
        *,
        soak_s: float = 3600.0,
        max_age_s: float = 86_400.0,
        wait_s: float = 90.0,
        on_wait: Callable[[str], None] = _silent,
    ) -> None:
        calls = calls_of(repository)
        if calls.control is None:
            raise ConfigurationError(
                f"the repository of {repository.migration.name} has a fixed phase, which only a deploy changes: pass "
                "phase=Control(collection) in every process, and they follow the recorded one"
            )
        if min(soak_s, max_age_s, wait_s) < 0:
            raise ConfigurationError("soak_s, max_age_s, wait_s: 0 or more seconds")
        desk: Desk[V1, V2] = Desk(calls, control or calls.control, wait_s, on_wait)
        self._mover: Mover[V1, V2] = Mover(desk, Demands(soak_s, max_age_s), choose_ladder(desk))

    async def plan(self, direction: Direction, *, accept: Iterable[str] = ()) -> Plan:
        """Check what the next step needs and what it would do. Changes nothing; driver errors pass through.

        Args:
            direction: "advance" for the next phase, "rollback" for the one before.
            accept: The names of gates that may be closed.

        Returns:
            The plan. `blocked` says whether the step would be refused now.

        Raises:
            PhaseError: If no phase is recorded.
            ConfigurationError: If a gate is named that nobody may accept.
        """
        return await self._mover.plan(_check_direction(direction), check_accepted(accept))

    async def advance(self, *, by: str, why: str, confirm: str | None = None, accept: Iterable[str] = ()) -> Moved:
        """Move the fleet one phase on.

        Args:
            by: Who does it, for the history.
            why: The reason, for the history.
            confirm: The migration's name, typed by hand: only into `V2_ONLY`, from which there is no way back.
            accept: The names of gates that may be closed. They are added to the reason.

        Returns:
            The step, once it is recorded, and acknowledged as far as processes did in time.

        Raises:
            PhaseError: If the step is refused, someone else has moved the fleet, or a process did not acknowledge the
                last step in time. The phase is as before.
            ConfigurationError: If `by` or `why` is empty, or a gate is named that nobody may accept.
        """
        return await self._mover.move("advance", _make_order(by, why, confirm, accept))

    async def rollback(self, *, by: str, why: str) -> Moved:
        """Move the fleet one phase back. There is no way back from `V2_ONLY`.

        Args:
            by: Who does it, for the history.
            why: The reason, for the history.

        Returns:
            The step, once it is recorded, and acknowledged as far as processes did in time.

        Raises:
            PhaseError: If there is no phase before this one, someone else has moved the fleet, or a process did not
                acknowledge the last step in time. The phase is as before.
            ConfigurationError: If `by` or `why` is empty.
        """
        return await self._mover.move("rollback", _make_order(by, why))

    async def begin(self, phase: Phase, *, by: str, why: str) -> Moved:
        """Record the first phase: the one that all processes are in now.

        Args:
            phase: The phase.
            by: Who does it, for the history.
            why: The reason, for the history.

        Returns:
            The first entry of the history.

        Raises:
            PhaseError: If a phase is recorded already.
            ConfigurationError: If there is no such phase, or `by` or `why` is empty.
        """
        order, mover = _make_order(by, why), self._mover
        phase = mover.ladder.check_begin(phase)
        await parts_of(mover.desk.control).ensure_indexes()
        begun = await mover.phases.begin(phase, by=order.by, why=order.why)
        if begun is None:
            standing = await mover.find()
            raise PhaseError(
                f"{mover.name} is in {standing.phase} since {standing.last.at:%Y-%m-%d %H:%M:%S} UTC, by "
                f"{standing.last.by}: advance or roll back from there"
            )
        return begun.last

    async def release(self) -> bool:
        """Undo what a step into `V2_ONLY` left that was cut off: held writes, and fences that refuse writes.

        `advance` and `rollback` do this as well. A step that is at work is left alone.

        Returns:
            False if there was nothing to undo.

        Raises:
            PhaseError: If a step is at work, or a fence cannot be lifted; the message says what to do.
        """
        return await self._mover.release()

    async def history(self) -> tuple[Moved, ...]:
        """Find the changes of the phase, and of what processes follow beside it. Driver errors pass through.

        Returns:
            The changes, oldest first, those beside the phase with a text in `what`; none where no phase is recorded.
        """
        standing = await self._mover.phases.find()
        if standing is None:
            return ()
        return tuple(sorted((*standing.history, *standing.changes), key=lambda moved: moved.epoch))


def mover_of(switch: Switch[V1, V2]) -> Mover[V1, V2]:
    """Return what a `Switch` is composed of, for lazymig's own tools."""
    return switch._mover


def _check_direction(direction: Direction) -> Direction:
    if direction not in ("advance", "rollback"):
        raise ConfigurationError('direction: pass "advance" or "rollback"')
    return direction


def _make_order(by: str, why: str, confirm: str | None = None, accept: Iterable[str] = ()) -> Order:
    if not (by.strip() and why.strip()):
        raise ConfigurationError("by, why: say who moves the fleet and for what reason; the history keeps both")
    return Order(by=by, why=why, confirm=confirm, accepted=check_accepted(accept))
