"""What a comparison checks beside the conversions, as a user gives it, and what it found."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from attrs import field, frozen

from lazymig.comparing.equivalences import Equivalence
from lazymig.errors import ConfigurationError
from lazymig.stores.verdicts import Difference, Verdict

UPGRADE: Final = "upgrade"
DOWNGRADE: Final = "downgrade"
EXPECTED: Final = "expected"


def _check_invariants(_checks: object, _field: object, given: object) -> None:
    if not isinstance(given, Mapping):
        raise ConfigurationError("invariants: pass a mapping of names to functions, f(v1, v2) -> bool")
    for name, function in given.items():
        if not isinstance(name, str) or not name or not name.isprintable() or not callable(function):
            raise ConfigurationError("invariants: pass non-empty names and functions, f(v1, v2) -> bool")
        if name in (UPGRADE, DOWNGRADE, EXPECTED):
            raise ConfigurationError(f"invariants: {name!r} is the name of a check of lazymig; choose another")


@frozen(kw_only=True)
class Checks:
    """What to check beside the conversions.

    Args:
        invariants: Functions `f(v1, v2) -> bool` by name; they may be async. Each gets the stored entities.
        expected: `f(v1) -> v2`, or `f(v1, stored_v2) -> v2` where V2 holds values that V1 cannot express: what V2
            should hold, written independently of `upgrade`. It may be async. It returns a V2 entity, or a mapping like
            V2's stored document.
        accept: Names of equivalences, and equivalences of your own.
        ordered: Whether the order of the keys of documents counts.
        show_values: Whether differences show values. Without it, a comparison shows nothing of the documents.
        round_trip: Whether V2 downgraded is compared with V1, too. Without it, `upgrade` is checked by itself.

    Raises:
        ConfigurationError: A function or a name cannot be used.
    """

    invariants: Mapping[str, Callable[..., object]] = field(factory=dict, validator=_check_invariants)
    expected: Callable[..., object] | None = None
    accept: Sequence[str | Equivalence] = ()
    ordered: bool = False
    show_values: bool = False
    round_trip: bool = True


@frozen
class Comparison:
    """What a comparison of one entity's two sides found.

    Attributes:
        verdict: The verdict.
        check: The check that failed: "upgrade", "downgrade", "expected" or an invariant's name; "" where no bodies were
            compared, or all checks passed.
        differences: At most 20 fields that differ.
        reason: What is wrong in words, without contents.
        signature: Depends on both documents as they were read; "" for a match.
        accepted: The names of the equivalences that accepted a difference.
    """

    verdict: Verdict
    check: str = ""
    differences: tuple[Difference, ...] = ()
    reason: str = ""
    signature: str = ""
    accepted: tuple[str, ...] = ()


MATCH: Final = Comparison(Verdict.MATCH)
