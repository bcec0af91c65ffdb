"""What a sample can exclude: the exact bound, against independent sums and published values, and its words."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import pytest

from lazymig.verifying.confidence import describe_sample, find_upper_bound


def tail(found: int, sampled: int, share: float) -> float:
    """The probability of so few or fewer, by exact arithmetic."""
    exact = Fraction(share)
    return float(sum(comb(sampled, k) * exact**k * (1 - exact) ** (sampled - k) for k in range(found + 1)))


@pytest.mark.parametrize(
    ("found", "sampled"), [(0, 1), (0, 10), (0, 3000), (1, 2), (1, 100), (3, 50), (49, 50), (100, 300), (7, 2000)]
)
def test_the_bound_is_exact(found: int, sampled: int) -> None:
    """At the bound, a sample holds so few with a probability of 5 %."""
    assert tail(found, sampled, find_upper_bound(found, sampled)) == pytest.approx(0.05, rel=1e-6)


@pytest.mark.parametrize(("found", "sampled", "bound"), [(0, 3000, 0.000998), (1, 20, 0.21611), (5, 100, 0.10225)])
def test_known_values(found: int, sampled: int, bound: float) -> None:
    """One-sided Clopper-Pearson bounds as tables list them."""
    assert find_upper_bound(found, sampled) == pytest.approx(bound, abs=5e-6)


@pytest.mark.parametrize(("found", "sampled"), [(1000, 100_000), (99_999, 100_000), (50_000, 100_000)])
def test_large_samples(found: int, sampled: int) -> None:
    """The bound of a large sample is above its share, and by less than two standard deviations."""
    share = found / sampled
    bound = find_upper_bound(found, sampled)
    assert (
        share < bound <= min(1, share + 2 * (max(share * (1 - share), 1 / sampled) / sampled) ** 0.5 + 1 / sampled * 5)
    )


def test_everything_wrong() -> None:
    """Where the whole sample is wrong, everything may be."""
    assert find_upper_bound(5, 5) == 1


def test_words() -> None:
    """The words say what can be missed, what is at most wrong, and where all were compared."""
    clean = describe_sample(0, 3000, 200_000, "entities of V1", "do not agree")
    assert clean == (
        "0 of 3,000 sampled entities of V1 do not agree: with 95% confidence fewer than 1 in 1,001 of all 200,000 do; "
        "a defect of fewer than 200 can be missed"
    )
    found = describe_sample(511, 4000, 22_999, "documents of V2", "are orphans")
    assert found.endswith("with 95% confidence fewer than 13.7% of all 22,999 do, at most 3,146")
    assert describe_sample(1, 10, 10, "entities of V1", "do not agree").endswith("; these are all")
    assert describe_sample(0, 0, 0, "documents of V2", "are orphans") == "there are no documents of V2 to sample"
