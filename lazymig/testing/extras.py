"""Hypothesis names that the test tools use, or an error that says what to install."""

from lazymig.testing import extra_missing

try:
    from hypothesis import HealthCheck, Phase, given, reject, settings
    from hypothesis import strategies as st
    from hypothesis.errors import FailedHealthCheck, Unsatisfiable
    from hypothesis.strategies import SearchStrategy
except ModuleNotFoundError as error:
    raise extra_missing("lazymig.testing", error.name) from None

__all__ = [
    "FailedHealthCheck",
    "HealthCheck",
    "Phase",
    "SearchStrategy",
    "Unsatisfiable",
    "given",
    "reject",
    "settings",
    "st",
]
