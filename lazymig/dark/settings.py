"""Dark reads as a user sets them up, and what they have found."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal

from attrs import frozen

from lazymig.comparing.checks import Checks
from lazymig.comparing.equivalences import Equivalence
from lazymig.control import Control, Standing
from lazymig.errors import ConfigurationError
from lazymig.histogram import Histogram
from lazymig.stores.verdicts import Mismatch
from lazymig.telemetry import (
    DARK_COMPARED,
    DARK_DROPPED,
    DARK_FAILED,
    DARK_MATCHED,
    DARK_MISMATCHED,
    DARK_MISSING,
    DARK_MOVED,
    DARK_UNREPORTED,
    Tally,
)

_COUNTED: Final = (
    DARK_COMPARED, DARK_MATCHED, DARK_MISMATCHED, DARK_MOVED, DARK_MISSING, DARK_DROPPED, DARK_FAILED, DARK_UNREPORTED,
)  # fmt: skip


@frozen(kw_only=True)
class Setup:
    """What the keywords of `DarkReads` say, but for what may change."""

    expects_all: bool
    checks: Checks
    on_mismatch: Callable[[Mismatch], object] | None
    log_max: int
    in_flight_max: int
    rate_max: float | None
    timeout_s: float
    control: Control | None


class DarkReads:
    """Compares a share of live reads with the other side, behind their callers.

    The caller gets exactly what it would get without the comparison, or the same exception. Only reads by id are
    compared: `get` and `get_many` of the repository and of its V1 view, outside of sessions. Each repository needs its
    own `DarkReads`.

    Args:
        share: The part of the reads to compare, from 0 to 1. It can be changed at any time.
        serve: Which side answers the repository's reads in the phase `coexist`: "v2", or "v1", whose converted entity
            lacks the values that only V2 can hold. In `shadow` V1 answers in either case, and in `v2_primary` only V2
            may. Writes reach both sides.
        aa: Compare V1 with V1 instead, for the noise floor: how much moves between two reads, how long both take, and
            whether `upgrade` is pure. It needs serve="v1", and two collections.
        expects_all: Treat an entity that V2 lacks as a mismatch: for the time after a finished sweep.
        invariants: Functions `f(v1, v2) -> bool` by name, sync or async.
        expected: `f(v1) -> v2`, or `f(v1, stored_v2) -> v2`: what V2 should hold, written independently of `upgrade`.
        accept: Names of differences to accept, and equivalences of your own.
        ordered: Whether the order of the keys of documents counts.
        on_mismatch: A function, sync or async, that is called with each `Mismatch`. What it raises is logged and
            counted.
        log_max: How many entities the log in the control collection holds at most; 0 for no log.
        in_flight_max: How many entities are compared at a time at most. A read that is sampled while as many are in
            flight is not compared. Keep it well below the `maxPoolSize` of the client.
        rate_max: How many entities are compared in a second at most; None for no bound. Further sampled reads are not
            compared. Comparisons share the event loop, so this bounds the part of its time that they take.
        timeout_s: Seconds that one comparison may take, with a second look at a difference.
        control: The control collection with the log; by default the one that the repository follows, or
            `lazymig_control` in V2's database.

    Raises:
        ConfigurationError: If an argument cannot work; the message says what to change.
    """

    def __init__(
        self,
        share: float = 0.01,
        *,
        serve: Literal["v1", "v2"] = "v2",
        aa: bool = False,
        expects_all: bool = False,
        invariants: Mapping[str, Callable[..., object]] | None = None,
        expected: Callable[..., object] | None = None,
        accept: Sequence[str | Equivalence] = (),
        ordered: bool = False,
        on_mismatch: Callable[[Mismatch], object] | None = None,
        log_max: int = 1000,
        in_flight_max: int = 16,
        rate_max: float | None = 200.0,
        timeout_s: float = 1.0,
        control: Control | None = None,
    ) -> None:
        _check_choices(serve, aa, on_mismatch, control)
        _check_bounds(log_max, in_flight_max)
        _check_positive("timeout_s", timeout_s)
        if rate_max is not None:
            _check_positive("rate_max", rate_max)
        self.share = share
        self._serve, self._aa = serve, bool(aa)
        self._setup = Setup(
            expects_all=bool(expects_all), on_mismatch=on_mismatch, log_max=log_max, in_flight_max=in_flight_max,
            rate_max=rate_max, timeout_s=timeout_s, control=control,
            checks=Checks(invariants=invariants or {}, expected=expected, accept=accept, ordered=ordered),
        )  # fmt: skip
        self._latency = {"control": Histogram(), "candidate": Histogram()}
        self._tally: Tally | None = None

    def __repr__(self) -> str:
        return f"<DarkReads of {self.share:.2%} of the reads, served by {self._serve}: {self.counts}>"

    @property
    def share(self) -> float:
        """The part of the reads that is compared, from 0 to 1; it may be set at any time.

        Where the fleet's dark share is set (`lazymig phase cut-over --dark-share`), that holds in its place.
        """
        return self._share

    @share.setter
    def share(self, share: float) -> None:
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
            raise ConfigurationError("share: pass a number from 0 to 1")
        self._share = float(share)

    @property
    def serve(self) -> Literal["v1", "v2"]:
        """Which side answers reads in the phase `coexist`."""
        return self._serve

    @property
    def aa(self) -> bool:
        """Whether V1 is compared with V1."""
        return self._aa

    @property
    def latency(self) -> Mapping[str, Histogram]:
        """How long single reads took, by side: "control" answered the caller, "candidate" was read behind it."""
        return self._latency

    @property
    def counts(self) -> dict[str, int]:
        """What became of the sampled reads: compared, matched, mismatched, moved, missing, dropped and so on."""
        counted = {} if self._tally is None else self._tally.counts
        return {name.rpartition(".")[2]: counted.get(name, 0) for name in _COUNTED}

    @property
    def consistency(self) -> float | None:
        """The share of comparisons at one revision that found both sides equal; None before the first one."""
        counts = self.counts
        return counts["matched"] / counts["compared"] if counts["compared"] else None


def open_dark_reads(dark: DarkReads, tally: Tally) -> Setup:
    """Let dark reads count for one repository, and return their setup.

    Raises `ConfigurationError` if they belong to another repository.
    """
    if dark._tally is not None:
        raise ConfigurationError("dark_reads: this DarkReads belongs to another repository; make one for each")
    dark._tally = tally
    return dark._setup


def find_share(standing: Standing) -> float | None:
    """Return the share of dark reads that all processes follow; None where each has its own."""
    share = standing.settings.get("dark_share")
    usable = isinstance(share, int | float) and not isinstance(share, bool) and 0 <= share <= 1
    return float(str(share)) if usable else None


def _check_choices(serve: object, aa: object, on_mismatch: object, control: object) -> None:
    if serve not in ("v1", "v2"):
        raise ConfigurationError('serve: pass "v1" or "v2"')
    if aa and serve != "v1":
        raise ConfigurationError('aa compares V1 with V1, so V1 must answer: pass serve="v1" with aa=True')
    if on_mismatch is not None and not callable(on_mismatch):
        raise ConfigurationError("on_mismatch: pass a function of a Mismatch, or None")
    if control is not None and not isinstance(control, Control):
        raise ConfigurationError("control: pass a lazymig.Control, or None")


def _check_bounds(log_max: object, in_flight_max: object) -> None:
    for name, number, least in (("log_max", log_max, 0), ("in_flight_max", in_flight_max, 1)):
        if isinstance(number, bool) or not isinstance(number, int) or number < least:
            raise ConfigurationError(f"{name}: pass a whole number, {least} or more")


def _check_positive(name: str, number: object) -> None:
    if isinstance(number, bool) or not isinstance(number, int | float) or not number > 0:
        raise ConfigurationError(f"{name}: pass a number above 0")
