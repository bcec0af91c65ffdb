"""What a random sample can and cannot exclude: the exact binomial bound (Clopper and Pearson), in words."""

from __future__ import annotations

from math import ceil, exp, floor, lgamma, log, log1p
from typing import Final

#: With this probability the true share of entities is below the bound.
CONFIDENCE: Final = 0.95
_HALVINGS = 60


def find_upper_bound(found: int, sampled: int, confidence: float = CONFIDENCE) -> float:
    """Return the share of all entities that the true share is below, with this confidence.

    It is the share at which a sample would hold so few with a probability of 1 - confidence. The sample is drawn
    without putting entities back, which only makes the true bound smaller.
    """
    if found >= sampled:
        return 1.0
    if found == 0:
        return float(1 - (1 - confidence) ** (1 / sampled))
    low, high = found / sampled, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _find_tail(found, sampled, middle) > 1 - confidence:
            low = middle
        else:
            high = middle
    return high


def _find_tail(found: int, sampled: int, share: float) -> float:
    """Return the probability that a sample holds `found` or fewer."""
    if share >= 1:
        return 0.0
    # In logarithms: the single terms are far below what a float can hold.
    ways = lgamma(sampled + 1) - lgamma(found + 1) - lgamma(sampled - found + 1)
    term = exp(ways + found * log(share) + (sampled - found) * log1p(-share))
    total, odds = 0.0, (1 - share) / share
    # From the last term down: above the mode they shrink, so the sum soon stops growing.
    for count in range(found, -1, -1):
        total += term
        if term < total * 1e-17:
            break
        term *= count / (sampled - count + 1) * odds
    return total


def describe_sample(found: int, sampled: int, population: int, what: str, wrong: str) -> str:
    """Return what the sample says about all entities, such as "0 of 3,000 sampled entities of V1 do not agree: ..."."""
    if sampled == 0:
        return f"there are no {what} to sample"
    head = f"{found:,} of {sampled:,} sampled {what} {wrong}"
    if sampled >= population:
        return f"{head}; these are all"
    bound = find_upper_bound(found, sampled)
    most = min(ceil(bound * population), population)
    share = f"fewer than 1 in {floor(1 / bound):,}" if bound <= 0.1 else f"fewer than {bound:.1%}"
    text = f"{head}: with {CONFIDENCE:.0%} confidence {share} of all {population:,} do"
    return f"{text}; a defect of fewer than {most:,} can be missed" if found == 0 else f"{text}, at most {most:,}"
