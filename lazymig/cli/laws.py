"""The laws of a migration on random entities, as findings. They show generated values, never those of a document."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import TypeVar

from lazymig.cli.failures import Unusable
from lazymig.diagnosis.findings import Finding, blocks, passes, warns
from lazymig.errors import ConfigurationError
from lazymig.shapes.migration import Migration

V1 = TypeVar("V1")
V2 = TypeVar("V2")

_CHECK = "laws"


def require_hypothesis() -> None:
    """Raise `Unusable` where the package that makes random entities is not installed."""
    if find_spec("hypothesis") is None:
        raise Unusable(
            "the laws are checked on random entities, which needs hypothesis: pip install 'lazymig[testing]', or pass "
            "--examples 0 to leave the laws out"
        )


def check_laws(migration: Migration[V1, V2], examples: int, *, tz_aware: bool) -> Sequence[Finding]:
    """Check the laws on this many random entities of each class. Call it without a running event loop."""
    from hypothesis import settings

    from lazymig.testing import LawBroken, assert_laws

    # No folder of examples: this command changes nothing.
    settings.register_profile("lazymig check", settings(), database=None)
    settings.load_profile("lazymig check")
    try:
        assert_laws(migration, tz_aware=tz_aware, examples=examples)
    except LawBroken as broken:
        detail = " ".join(str(broken).split("\n", 2)[-1].split())
        where = f"at field {broken.path}" if broken.path else "for the whole entity"
        return [
            blocks(
                _CHECK, f'"{broken.law}" does not hold {where}. A random entity shows it: {detail}',
                "correct the conversion or the class; lazymig.testing.assert_laws in a test repeats this",
            )
        ]  # fmt: skip
    except ConfigurationError as error:
        return [
            warns(
                _CHECK, f"not checked: {error}",
                "call lazymig.testing.assert_laws in a test of your own, and pass --examples 0 here",
            )
        ]  # fmt: skip
    return [passes(_CHECK, f"{examples:,} random entities of each class keep all laws")]
