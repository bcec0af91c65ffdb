"""Calls in a program that ends: by what a change raises, or by a signal while any statement is under way.

`KeyboardInterrupt` and `SystemExit` are no `Exception`, and a client that gets one makes no further calls on purpose.
"""

import asyncio
from contextlib import suppress

from attrs import evolve

from lazymig.errors import NotFound
from lazymig.repository import calls_of
from lazymig.testing.exploration.statement import Statement
from lazymig.testing.explore import Call
from tests.interleaving import subject
from tests.interleaving.subject import ID


def interrupt_statements(monkeypatch):
    """Let a cancellation, which the explorer makes at any statement, arrive as Ctrl-C does in a plain loop."""
    awaited = Statement.__await__

    def await_or_end(statement):
        try:
            return (yield from awaited(statement))
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None

    monkeypatch.setattr(Statement, "__await__", await_or_end)


def ended_update(end):
    """An update whose change ends the program: nothing is written."""

    async def update(s):
        def stop(_entity):
            raise end

        with suppress(end, NotFound):
            await s.repository.update(ID, stop)

    return update


def calls(amount):
    """Every call, and updates that end the program."""
    made = subject.calls(amount) | {
        "interrupted update": Call("interrupted update", ended_update(KeyboardInterrupt)),
        "exiting update": Call("exiting update", ended_update(SystemExit)),
    }
    return {name: evolve(call, run=_interrupted(call.run)) for name, call in made.items()}


def _interrupted(run):
    """The call, of which the explorer learns that it was interrupted as that it was cancelled."""

    async def run_until_interrupted(s):
        try:
            return await run(s)
        except KeyboardInterrupt:
            raise asyncio.CancelledError from None

    return run_until_interrupted


def scenario(state, clients, **changes):
    """Clients by lists of call names, from one starting state."""
    return subject.scenario(state, clients, make=calls, **changes)


def left_clean(state, clients):
    """The same, where nobody dies and V2 must be clean at the end."""
    return scenario(state, clients, crashes=False, afterwards=read_what_is_clean)


async def read_what_is_clean(s):
    """What a read answers, which needs V2 alone."""
    seen = await calls_of(s.repository).pair.bodies.find(ID)
    assert seen.clean, "an announcement is left open, though nobody died"
    return await subject.read_afterwards(s)
