"""Steering the passes that run: pause, resume, and their rate, in all processes."""

from __future__ import annotations

from collections.abc import Mapping

from lazymig.control import Steering
from lazymig.status.recorded import STEERED
from lazymig.status.words import describe_pause, describe_running
from lazymig.web.actions.action import Action, Case, NotDone, check_length
from lazymig.web.actions.sheets import Choice, Field, Sheet

_NAMED = {"sweep": "sweeps", "verify": "verifications", "rewrite": "rewriting passes"}
#: No limit, as the command line writes it.
_NO_LIMIT = "none"


class _Steer(Action):
    """An order to the passes of one kind. It waits for nothing, so it may come while another action is under way."""

    exclusive = False
    asks = frozenset({"kind"})
    back = "passes"

    async def find_orders(self, case: Case) -> dict[str, Steering]:
        """Find the orders that stand, by kind."""
        return {kind: await case.parts.orders(case.name, kind).find() for kind in STEERED}

    async def find_facts(self, case: Case) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """Find what runs now, in words."""
        running = await case.parts.runners(case.name).find_all()
        lines = tuple(describe_running(one) for one in running) or ("nothing",)
        return (("Runs now", lines),)

    def choose_kind(self, case: Case, kinds: list[str]) -> Field:
        """Return the field for the kind."""
        asked = case.typed.one("kind")
        value = (asked if asked in kinds else kinds[0],)
        choices = tuple(Choice(kind, _NAMED[kind]) for kind in kinds)
        return Field(name="kind", label="Which", kind="one", value=value, choices=choices)

    def check(self, case: Case, sheet: Sheet) -> Mapping[str, str]:
        known = {one.value for field in sheet.fields if field.name == "kind" for one in field.choices}
        return {} if case.typed.one("kind") in known else {"kind": "Choose one."}


def _make_seen(kind: str, standing: Steering) -> str:
    return f"{kind}:{standing.paused_at}"


class Pause(_Steer):
    """Make all processes of a kind of pass wait."""

    name = "pause"

    async def look(self, case: Case) -> Sheet:
        orders = await self.find_orders(case)
        kinds = [kind for kind, standing in orders.items() if not standing.paused]
        title = f"Pause passes over {case.name}"
        if not kinds:
            return Sheet(title=title, why_not="All are paused already.")
        reason = Field(name="why", label="Reason", hint="Those who see that nothing moves read it.")
        return Sheet(
            title=title, button="Pause", fields=(self.choose_kind(case, kinds), reason),
            text=("They finish the batches in flight, within about a second, and keep their place.",
                  "Those that start later wait too, until they are resumed."),
            lists=await self.find_facts(case), seen=",".join(kinds),
        )  # fmt: skip

    def check(self, case: Case, sheet: Sheet) -> Mapping[str, str]:
        return {**super().check(case, sheet), **check_length(case)}

    def describe(self, case: Case, sheet: Sheet) -> str:
        why = case.typed.words("why")
        return f"{_NAMED[case.typed.one('kind')]}{f': {why}' if why else ''}"

    async def act(self, case: Case, sheet: Sheet) -> str:
        kind = case.typed.one("kind")
        if not await case.control.pause(case.name, by=case.by, reason=case.typed.words("why"), kind=kind):
            standing = await case.control.steering(case.name, kind=kind)
            raise NotDone(f"They are paused already, {describe_pause(standing)}.")
        return f"{_NAMED[kind]} are paused"


class Resume(_Steer):
    """End a pause."""

    name = "resume"

    async def look(self, case: Case) -> Sheet:
        paused = {kind: standing for kind, standing in (await self.find_orders(case)).items() if standing.paused}
        title = f"Resume passes over {case.name}"
        if not paused:
            return Sheet(title=title, why_not="None is paused.")
        lines = tuple(f"{_NAMED[kind]}, {describe_pause(standing)}" for kind, standing in paused.items())
        return Sheet(
            title=title, text=("The processes go on where they were, within about a second.",), button="Resume",
            fields=(self.choose_kind(case, list(paused)),), lists=(("Paused", lines),),
            # Another pause of the same kind has another moment: its reason has not been read.
            seen=",".join(_make_seen(kind, standing) for kind, standing in paused.items()),
        )  # fmt: skip

    def describe(self, case: Case, sheet: Sheet) -> str:
        return _NAMED[case.typed.one("kind")]

    async def act(self, case: Case, sheet: Sheet) -> str:
        kind = case.typed.one("kind")
        orders = case.parts.orders(case.name, kind)
        standing = await orders.find()
        if _make_seen(kind, standing) not in sheet.seen.split(",") or not await orders.resume(case.by, seen=standing):
            raise NotDone("This pause has just been ended. Nothing was done; look at the passes again.")
        return f"{_NAMED[kind]} go on"


class Rate(_Steer):
    """Set how many documents per second each running process may do."""

    name = "rate"

    async def look(self, case: Case) -> Sheet:
        orders = await self.find_orders(case)
        lines = tuple(
            f"{_NAMED[kind]}: {f'{one.rate:,g} documents/s' if one.rate else 'no limit'}"
            for kind, one in orders.items()
            if one.rate_set
        )
        rate = Field(name="rate", label="Documents per second", hint="At most, in each process; none for no limit.")
        return Sheet(
            title=f"Set the rate of passes over {case.name}", button="Set the rate",
            text=("It holds for the passes that run now. Later ones go by their own options again.",),
            fields=(self.choose_kind(case, list(STEERED)), rate),
            lists=(*await self.find_facts(case), *((("Set before", lines),) if lines else ())),
            # A rate that somebody else has set since then has not been read.
            seen=",".join(f"{kind}:{one.rate_at}" for kind, one in orders.items() if one.rate_set),
        )  # fmt: skip

    def check(self, case: Case, sheet: Sheet) -> Mapping[str, str]:
        wrong = {} if self._parse(case) is not None else {"rate": "Type documents per second above 0, or none."}
        return {**super().check(case, sheet), **wrong}

    def _parse(self, case: Case) -> tuple[float | None] | None:
        text = case.typed.words("rate")
        if text == _NO_LIMIT:
            return (None,)
        try:
            rate = float(text)
        except ValueError:
            return None
        return (rate,) if 0 < rate < float("inf") else None

    def describe(self, case: Case, sheet: Sheet) -> str:
        return f"{_NAMED[case.typed.one('kind')]}: {case.typed.words('rate')}"

    async def act(self, case: Case, sheet: Sheet) -> str:
        kind, parsed = case.typed.one("kind"), self._parse(case)
        assert parsed is not None  # checked
        await case.control.set_rate(case.name, parsed[0], by=case.by, kind=kind)
        limit = "no limit" if parsed[0] is None else f"{parsed[0]:,g} documents/s in each process"
        return f"{_NAMED[kind]}: {limit}"
