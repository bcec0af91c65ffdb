"""How the migration came to where it is: the samples of the last day, for one line of the screen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

from attrs import define, field

from lazymig.cli.output import encodable
from lazymig.control import Sample, parts_of
from lazymig.status.looking import AnyRepository, Status, control_of
from lazymig.status.remaining_time import describe_remaining_time, estimate_remaining_time
from lazymig.status.words import describe_age

_KEPT = timedelta(days=1)
#: A process may count for so long that another one's later sample is stored before its own.
_OVERLAP = timedelta(seconds=30)
#: How many blocks are drawn.
_BLOCKS_DRAWN = 12
_BLOCKS = "▁▂▃▄▅▆▇█"


@define
class Course:
    """The samples of the last day, oldest first. All are read at first, and then only what is new."""

    samples: Sequence[Sample] = field(default=())

    async def follow(self, repository: AnyRepository, found: Status) -> None:
        """Read the samples that are new at this look."""
        kept = {one.at: one for one in self.samples if one.at > found.at - _KEPT}
        since = max(kept) - _OVERLAP if kept else found.at - _KEPT
        new = await parts_of(control_of(repository)).samples(found.migration).find(since)
        kept |= {one.at: one for one in new}
        self.samples = [kept[at] for at in sorted(kept)]


def sparkline(values: Sequence[int]) -> str:
    """Draw values as blocks of eight heights, the largest value the highest; zero is a dot.

    Where stdout's encoding lacks blocks, the heights are the digits 1 to 8.
    """
    highest, blocks = max(values, default=0), encodable(_BLOCKS + "·", "12345678.")
    return "".join(blocks[max(value * 8 // (highest + 1), 0)] if value else blocks[8] for value in values)


def describe_course(found: Status, samples: Sequence[Sample], *, drawn: bool = False) -> str:
    """Return how much was migrated in the course of the last day; "" where that has not changed."""
    if found.upcasting_only or len(samples) < 2 or samples[0].share == found.share:
        return ""
    begin = f"{_percent(samples[0].share)} {describe_age(samples[0].at, found.at)}"
    if not drawn:
        return f"Migrated: {begin}, {_percent(found.share)} now"
    return f"{sparkline([round(share * 1000) for share in _spread(found, samples)])} {begin}"


def describe_rest(found: Status, samples: Sequence[Sample], *, known: bool) -> str:
    """Return how long the rest takes, while a sweep runs; with `known`, only where that is known."""
    if not any(one.kind == "sweep" for one in found.passes.running):
        return ""
    rest = estimate_remaining_time(found, samples)
    return "" if known and rest.seconds is None else f"Remaining time: {describe_remaining_time(rest)}"


def _spread(found: Status, samples: Sequence[Sample]) -> Iterator[float]:
    """Yield the shares of moments that are equally far apart: of the last sample before each, and the present one."""
    first, place = samples[0].at, 0
    for step in range(_BLOCKS_DRAWN - 1):
        moment = first + (found.at - first) * step / _BLOCKS_DRAWN
        while place + 1 < len(samples) and samples[place + 1].at <= moment:
            place += 1
        yield samples[place].share
    yield found.share


def _percent(share: float) -> str:
    return f"{int(share * 1000) / 10} %"
