"""The record of the cut-over, changed for the epoch that a person looked at."""

from __future__ import annotations

import pytest

from lazymig import Control, Phase, PhaseError
from lazymig.control import parts_of, read_cut_over, set_cut_over


async def test_a_change_for_another_epoch_is_refused(control: Control) -> None:
    """A change is made for the epoch that was looked at, and for none that is over; the record stays as it is then."""
    phases = parts_of(control).phases("m")
    await phases.begin(Phase.COEXIST, by="ada", why="begin")
    made = await set_cut_over(phases, share=0.5, by="ada", why="half", epoch=1)
    assert (made.epoch, read_cut_over(made.settings).share) == (2, 0.5)
    with pytest.raises(PhaseError, match="has changed meanwhile; nothing was done"):
        await set_cut_over(phases, share=0.2, by="bob", why="less", epoch=1)
    assert await phases.find() == made
