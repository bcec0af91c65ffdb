"""`lazymig serve`: the page on which a team follows a migration, on a port of this machine."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from lazymig.cli.failures import Unusable
from lazymig.cli.loading import find_attribute, opened
from lazymig.cli.options import Debug, Exit
from lazymig.cli.output import remark, say
from lazymig.cli.packages import needing
from lazymig.cli.phase_options import DEMANDS
from lazymig.cli.site import Site
from lazymig.cli.stopping import stopped_by_signals
from lazymig.cli.sweep_options import Seconds, Text
from lazymig.status.looking import AnyRepository

if TYPE_CHECKING:
    from lazymig.cli.serving import Serving
    from lazymig.web import Authorize


async def serve(
    *,
    app: Annotated[tuple[str, ...], Parameter(name="--app", env_var="LAZYMIG_APP", negative="")],
    host: str = "127.0.0.1",
    port: Annotated[int, Parameter(validator=Number(gte=0, lte=65_535))] = 8800,
    authorize: Text = None,
    soak: Annotated[Seconds, Parameter(group=DEMANDS)] = 3600.0,
    max_age: Annotated[Seconds, Parameter(group=DEMANDS)] = 86_400.0,
    debug: Debug = False,
) -> int:
    """Show a page on which a team follows a migration, until Ctrl-C.

    It shows what lazymig status shows, live, with the conditions of the next step and how the numbers went. It changes
    nothing unless --authorize is passed, and joins no fleet. Without --host nobody but this machine reaches it.

    Args:
        app: module:attribute, where the attribute is a lazymig.Repository or a (possibly async) function that returns
            one. Give it once for each migration.
        host: The address at which it listens. Where other machines reach it, everybody there sees the page, so put a
            server before it that asks who they are.
        port: The port; 0 takes any that is free.
        authorize: module:function, called with the request and the name of an action before anything is changed. It
            returns who orders it, or None to refuse. Without it nothing can be changed.
        soak: Seconds for which verifications must have found nothing before V2 is trusted.
        max_age: Seconds that the last full verification may be old then.
    """
    hook, make_serving = _find_hook(authorize), _find_maker()
    async with AsyncExitStack() as stack:
        repositories = [await stack.enter_async_context(opened(one)) for one in dict.fromkeys(app)]
        names = _check_names(repositories)
        serving = make_serving(repositories, Site(host, port, hook, soak, max_age))
        say(f"{serving.url} shows {', '.join(names)}. Ctrl-C ends it.")
        sys.stdout.flush()
        if serving.is_open:
            remark("it listens beyond this machine: everybody who can reach it sees the page", in_json=False)
        with stopped_by_signals(serving.stop, quietly=True):
            await serving.run()
    return Exit.DONE


def _find_hook(authorize: str | None) -> Authorize | None:
    """Return the function that says who may act; None where nobody may."""
    if authorize is None:
        return None
    found = find_attribute(authorize, "--authorize", "shop.rights:authorize")
    if not callable(found):
        raise Unusable(
            f"--authorize {authorize}: found {type(found).__name__}; name a function of a request and a name"
        )
    hook: Authorize = found
    return hook


def _find_maker() -> Callable[[Sequence[AnyRepository], Site], Serving]:
    """Return what makes a server. Raises `Missing` where its packages are not installed."""
    with needing("serve", "the page"):
        from lazymig.cli.serving import make_serving
    return make_serving


def _check_names(repositories: Sequence[AnyRepository]) -> list[str]:
    names = [one.migration.name for one in repositories]
    for name in names:
        if names.count(name) > 1:
            raise Unusable(f"--app: two of them have a migration named {name}; the page shows each name once")
    return names
