"""The gradual cut-over, as the phase's record holds it: whose reads V2 answers first, and how many are compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeGuard

from attrs import frozen

from lazymig.control.cohorts import check_cohort_name
from lazymig.control.phases import Note, Phases, Standing
from lazymig.errors import ConfigurationError, PhaseError
from lazymig.phases import Phase

#: How often a change is tried again that lost to another one.
_TRIES = 10
#: The phases in which the cut-over can be set: before V2 answers for everybody.
_BEFORE = (Phase.V1_ONLY, Phase.PREPARE, Phase.SHADOW, Phase.COEXIST)


@frozen
class CutOver:
    """Whose reads V2 answers first in the phase `coexist`.

    Attributes:
        share: The part of all entities, from 0 to 1, chosen by a fixed hash of the id: a larger share only adds some.
        cohorts: The names of the cohorts that are chosen whatever the share.
        dark_share: The part of the reads that all processes compare; None: as each process was set up.
    """

    share: float = 1.0
    cohorts: tuple[str, ...] = ()
    dark_share: float | None = None

    @property
    def whole(self) -> bool:
        """Whether every entity is chosen. Only then may the phase `v2_primary` begin."""
        return self.share >= 1


def read_cut_over(settings: Mapping[str, object]) -> CutOver:
    """Return what the settings of a phase's record say. Raises `PhaseError` where they cannot be read."""
    share, cohorts, dark = settings.get("share", 1.0), settings.get("cohorts", ()), settings.get("dark_share")
    if not _is_share(share) or not (dark is None or _is_share(dark)) or not isinstance(cohorts, list | tuple):
        raise PhaseError(
            "the control collection records a cut-over that cannot be read: set it by lazymig phase cut-over --share"
        )
    return CutOver(float(share), tuple(str(name) for name in cohorts), None if dark is None else float(dark))


def _is_share(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


async def set_cut_over(
    phases: Phases,
    *,
    share: float | None = None,
    cohorts: Iterable[str] | None = None,
    dark_share: float | None = None,
    own_dark_share: bool = False,
    by: str = "",
    why: str = "",
    epoch: int | None = None,
) -> Standing:
    """Record the share, the cohorts and the share of dark reads for all processes; what is None stays.

    `own_dark_share`: each process compares the share that it was set up with. The record keeps who did it and why.
    With an `epoch`, the change is refused if the record has changed since then.

    Raises `ConfigurationError` for values that cannot work, and `PhaseError` where no phase is recorded, where V2
    answers for everybody already, or where others keep changing the record.
    """
    changed = _make_settings(share, cohorts, dark_share)
    if own_dark_share:
        changed["dark_share"] = None
    note = Note(by, why, _describe(changed))
    for _ in range(_TRIES):
        standing = await phases.find()
        if standing is None:
            raise PhaseError("no phase is recorded for this migration: lazymig phase begin --app ... records the first")
        if epoch not in (None, standing.epoch):
            raise PhaseError("the phase's record has changed meanwhile; nothing was done. Look at it, and try again")
        if standing.phase not in _BEFORE and not changed.keys() <= {"dark_share"}:
            raise PhaseError(
                f"in the phase {standing.phase} V2 answers for everybody; go back to coexist to change the cut-over"
            )
        made = await phases.change(standing, hold=standing.hold, settings=changed, note=note)
        if made is not None:
            return made
    raise PhaseError("the phase's record keeps changing: look at lazymig phase show, and try again")


def _make_settings(share: object, cohorts: Iterable[str] | None, dark_share: object) -> dict[str, object]:
    changed: dict[str, object] = {}
    for name, value in (("share", share), ("dark_share", dark_share)):
        if value is None:
            continue
        if not _is_share(value):
            raise ConfigurationError(f"{name}: pass a number from 0 to 1")
        changed[name] = float(value)
    if cohorts is not None:
        if isinstance(cohorts, str):
            raise ConfigurationError("cohorts: pass the names in a list")
        changed["cohorts"] = sorted({check_cohort_name(name) for name in cohorts})
    return changed


def _describe(changed: Mapping[str, object]) -> str:
    """Return the changes in words, for the history."""
    words = {"share": "share", "dark_share": "dark share"}
    said = [f"{words[name]} {'own' if value is None else value}" for name, value in changed.items() if name in words]
    if isinstance(cohorts := changed.get("cohorts"), list):
        said.append(f"cohorts {', '.join(cohorts) or 'none'}")
    return "; ".join(said)
