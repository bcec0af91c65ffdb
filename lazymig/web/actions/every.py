"""Every action that a page can offer."""

from __future__ import annotations

from collections.abc import Mapping

from lazymig.web.actions.action import Action
from lazymig.web.actions.cut_over import ChangeCutOver
from lazymig.web.actions.letters import Retry, Unwaive, Waive
from lazymig.web.actions.passes import Pause, Rate, Resume
from lazymig.web.actions.phase import Advance, Begin, Release, Rollback
from lazymig.web.actions.retiring import Archive, Drop, Finish, Quarantine, Reduce, Restore, Retire

#: Every action, by its name in the path.
ACTIONS: Mapping[str, Action] = {
    one.name: one
    for one in (
        Begin(), Advance(), Rollback(), Release(), ChangeCutOver(), Pause(), Resume(), Rate(), Waive(), Unwaive(),
        Retry(), Retire(), Quarantine(), Restore(), Archive(), Drop(), Reduce(), Finish(),
    )
}  # fmt: skip
#: The steps of V1's end, in their order.
END_STEPS = ("quarantine", "restore", "archive", "drop", "reduce", "finish")
#: Those of which a migration has one at a time.
EXCLUSIVE = frozenset(name for name, action in ACTIONS.items() if action.exclusive)
