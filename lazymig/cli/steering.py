"""`lazymig sweep pause | resume | set`, and for verify and rewrite: steer the passes that run, in all processes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, TypeAlias

from attrs import frozen
from cyclopts import App as CycloptsApp
from cyclopts import Parameter

from lazymig.cli.failures import Unusable
from lazymig.cli.loading import opened
from lazymig.cli.options import App, Debug, Exit, Json, examples, find_user
from lazymig.cli.output import is_terminal, say, show_json, wrapped
from lazymig.control import Running, Steering, parts_of
from lazymig.control.steering import Orders
from lazymig.status.looking import control_of
from lazymig.status.words import describe_pause

By: TypeAlias = Annotated[
    str | None,
    Parameter(name="--by", help="Who does this, for the others. By default the user of this machine.",
              show_default=False),
]  # fmt: skip
#: What a number of processes of each kind is called.
_NAMED = {"sweep": "sweep", "verify": "verification", "rewrite": "rewriting pass"}


@frozen
class _Steered:
    """One kind of pass of one migration, to steer."""

    migration: str
    kind: str
    orders: Orders
    running: list[Running]

    @property
    def now(self) -> str:
        """What runs now, in words."""
        count, name = len(self.running), _NAMED[self.kind]
        return f"no {name} runs now" if not count else f"{count:,} {name} {'process' if count == 1 else 'processes'}"


def steered(kind: str, command: Callable[..., object], help_epilogue: str) -> CycloptsApp:
    """Return a verb that runs passes of this kind, with the commands that steer those that run."""
    usage = (
        f"Usage: lazymig {kind} --app STR [OPTIONS]\n       lazymig {kind} pause | resume | set --app STR [OPTIONS]\n"
    )
    app = CycloptsApp(name=kind, default_command=command, help_epilogue=help_epilogue, usage=usage)
    given = "--app shop.people:repository"
    app.command(
        _make_pause(kind), name="pause",
        help_epilogue=examples(f"lazymig {kind} pause {given} --reason 'the shop is slow'"),
    )  # fmt: skip
    app.command(_make_resume(kind), name="resume", help_epilogue=examples(f"lazymig {kind} resume {given}"))
    app.command(
        _make_set(kind), name="set",
        help_epilogue=examples(f"lazymig {kind} set {given} --rate 500", f"lazymig {kind} set {given} --rate none"),
    )  # fmt: skip
    return app


def _make_pause(kind: str) -> Callable[..., object]:
    async def pause(
        *,
        app: App,
        reason: Annotated[str, Parameter(help="Why. Those who see that nothing moves read it.")] = "",
        by: By = None,
        json: Json = False,
        debug: Debug = False,
    ) -> int:
        """Make all processes of a running pass wait, and those that start later, until it is resumed.

        They finish the batches in flight, within about a second, and keep their place. They can be stopped meanwhile.
        """

        async def order(orders: Orders) -> bool:
            return await orders.pause(by or find_user(), reason)

        found, changed, standing = await _ordered(app, kind, order, json=json)
        if json:
            return _show_json(found, standing, changed=changed)
        if not changed:
            say(f"{found.migration}: paused already, {describe_pause(standing)}")
            return Exit.DONE
        waiting = f"{found.now} will wait" if found.running else f"{found.now}; one that starts will wait"
        _print(f"{found.migration}: paused; {waiting} until lazymig {kind} resume")
        return Exit.DONE

    return pause


def _make_resume(kind: str) -> Callable[..., object]:
    async def resume(*, app: App, by: By = None, json: Json = False, debug: Debug = False) -> int:
        """End a pause: the processes go on where they were, within about a second."""

        async def order(orders: Orders) -> bool:
            return await orders.resume(by or find_user())

        found, changed, standing = await _ordered(app, kind, order, json=json)
        if json:
            return _show_json(found, standing, changed=changed)
        say(f"{found.migration}: resumed; {found.now}" if changed else f"{found.migration}: not paused; {found.now}")
        return Exit.DONE

    return resume


def _make_set(kind: str) -> Callable[..., object]:
    async def set_(
        *,
        app: App,
        rate: Annotated[
            str | None,
            Parameter(help="Documents per second at most, in each process; none for no limit.", show_default=False),
        ] = None,
        concurrency: Annotated[
            int | None, Parameter(help="Batches in flight at the same time, in each process.", show_default=False)
        ] = None,
        by: By = None,
        json: Json = False,
        debug: Debug = False,
    ) -> int:
        """Change the pace of all processes of a running pass. The next pass goes by its own options again."""
        if rate is None and concurrency is None:
            raise Unusable("pass --rate, such as --rate 500 or --rate none, or --concurrency")
        if concurrency is not None and concurrency < 1:
            raise Unusable("--concurrency: pass 1 or more")
        limit = None if rate is None else _parse_rate(rate)

        async def order(orders: Orders) -> bool:
            if rate is not None:
                await orders.set_rate(limit, by or find_user())
            if concurrency is not None:
                await orders.set_concurrency(concurrency, by or find_user())
            return True

        found, _, standing = await _ordered(app, kind, order, json=json)
        if json:
            return _show_json(found, standing, changed=True)
        parts = [] if rate is None else [f"{limit:,g} documents/s in each process" if limit else "no limit on the rate"]
        if concurrency is not None:
            parts.append(f"{concurrency:,} batch{'' if concurrency == 1 else 'es'} in flight in each process")
        _print(f"{found.migration}: {', '.join(parts)}; {found.now}")
        return Exit.DONE

    return set_


async def _ordered(
    app: str, kind: str, order: Callable[[Orders], Awaitable[bool]], *, json: bool
) -> tuple[_Steered, bool, Steering]:
    """Give an order; return what it is about, whether it changed anything, and the orders that stand now."""
    async with opened(app, in_json=json) as repository:
        parts, name = parts_of(control_of(repository)), repository.migration.name
        orders = parts.orders(name, kind)
        changed = await order(orders)
        running = [one for one in await parts.runners(name).find_all() if one.kind == kind]
        return _Steered(name, kind, orders, running), changed, await orders.find()


def _show_json(found: _Steered, standing: Steering, *, changed: bool) -> int:
    show_json(
        {
            "migration": found.migration, "kind": found.kind, "changed": changed, "running": len(found.running),
            "paused": standing.paused, "paused_by": standing.paused_by, "paused_at": standing.paused_at,
            "reason": standing.reason, "rate": standing.rate, "rate_set": standing.rate_set,
            "concurrency": standing.concurrency,
        }
    )  # fmt: skip
    return Exit.DONE


def _print(message: str) -> None:
    """Print a line of the result; on a terminal broken between words, in a pipe whole, where it is searched for."""
    (wrapped if is_terminal() else say)(message)


def _parse_rate(text: str) -> float | None:
    if text == "none":
        return None
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate < float("inf"):
        raise Unusable("--rate: pass documents per second above 0, or none")
    return rate
