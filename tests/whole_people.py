"""People whose documents carry both shapes, and what the tests of their phases and of their retirement share."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from lazymig import Control, Phase, Repository, RunRecord, Switch
from lazymig.control import parts_of
from lazymig.verifying.options import KIND
from lazymig.verifying.report import COUNTED
from tests.people import PersonV1, PersonV2, people

#: Who moves fleets in tests, and why.
ORDER = {"by": "me", "why": "a test"}
#: What the last step needs of a person.
LAST = {"confirm": "people", "accept": ["outside-writes"]}
META = "_lazymig"
WITHIN = {"v2_within": "profile"}


def whole(database: Any, phase: Phase | None = None, **options: Any) -> Repository[PersonV1, PersonV2]:
    """The people in the collection `people`: in a fixed phase, or in the one that the control collection records."""
    migration = options.pop("migration", None) or people()
    clocks = {"clock": options["clock"]} if "clock" in options else {}
    lease = {"lease_s": options.pop("lease_s")} if "lease_s" in options else {}
    follows = Control(database["lazymig_control"], **clocks, **lease)
    return Repository.in_place(migration, database["people"], phase=phase or follows, **options)


async def verified(database: Any, clock: Any, ago_s: float = 0, **found: int) -> None:
    """Record what a full verification found that began this long ago."""
    counts = {"compared": 5, **dict.fromkeys((*COUNTED, "sample", "filtered", "sharded", "upgrade_only"), 0), **found}
    now = clock.now()
    run = RunRecord("people", now, now, True, counts, now - timedelta(seconds=ago_s), 1)
    await parts_of(Control(database["lazymig_control"], clock)).runs.record(run, kind=KIND)


async def lift_to(switch: Switch[Any, Any], database: Any, clock: Any, *phases: Phase) -> None:
    """Make these steps, each with a verification where one is needed."""
    for phase in phases:
        last: Mapping[str, Any] = LAST if phase is Phase.V2_ONLY else {}
        if phase in (Phase.V2_PRIMARY, Phase.V2_ONLY):
            await verified(database, clock)
        assert (await switch.advance(**ORDER, **last)).after is phase
