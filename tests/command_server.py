"""A process that has imported what each `lazymig` command imports, and forks for each command that a test runs.

A script of its own: `python tests/command_server.py LISTENER SCRIPT`. It ends when its stdin does. Each connection
brings a command (arguments, folder, environment) with its three streams, and gets the exit code in the end; a command
whose connection is closed before is killed. The child runs SCRIPT, which pip installed, and ends as any process does:
what was left open is found.

Not imported here are the modules of the command line and of applications: a child imports them in its own environment.
A verb that has not yet done its work in this session runs in an interpreter of its own.
"""

from __future__ import annotations

import ast
import gc
import os
import runpy
import selectors
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

#: What commands and the applications of the tests import, besides lazymig's public names.
MODULES = (
    "asyncio", "attrs", "cattrs", "cyclopts", "cyclopts.help", "docstring_parser", "jinja2", "lazymig.fleet.workers",
    "lazymig.status.looking", "mongomock_motor", "motor.motor_asyncio", "pydantic", "pymongo", "rich.console",
    "rich.live", "rich.markdown", "rich.panel", "rich.progress", "rich.table",
)  # fmt: skip
#: The exit codes of commands that have done their work.
WORKED = {0, 3}
_AT_ONCE = 2**20


class Command(NamedTuple):
    """What somebody typed, and where."""

    arguments: list[str]
    folder: str
    environment: dict[str, str]

    @property
    def verb(self) -> tuple[str, ...]:
        """The words before the options, and whether help is asked for."""
        words = next((at for at, word in enumerate(self.arguments) if word.startswith("-")), len(self.arguments))
        return (*self.arguments[: min(words, 2)], *({"--help"} & set(self.arguments)))


def receive(connection: socket.socket) -> tuple[Command, list[int]]:
    """Return the command of a connection, and its streams."""
    text, streams, _, _ = socket.recv_fds(connection, _AT_ONCE, 3)
    while not text.endswith(b"\n"):
        text += connection.recv(_AT_ONCE)
    return Command(*ast.literal_eval(text.decode())), streams


def become(script: str, command: Command, streams: list[int], *, cold: bool) -> None:
    """Be the process of a command; cold is an interpreter of its own."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(command.folder)
    if cold:
        os.execve(script, [script, *command.arguments], command.environment)
    os.environ.clear()
    os.environ.update(command.environment)
    sys.argv[:] = [script, *command.arguments]
    sys.path[0] = str(Path(script).parent)
    runpy.run_path(script, run_name="__main__")


class Server:
    """Its connections and its children."""

    def __init__(self, listener: socket.socket, script: str) -> None:
        self._listener, self._script = listener, script
        self._events = selectors.DefaultSelector()
        self._seen: set[tuple[str, ...]] = set()

    def serve(self) -> Callable[[], None] | None:
        """Serve until stdin ends. In a child, return what it is to do."""
        self._events.register(self._listener, selectors.EVENT_READ)
        self._events.register(0, selectors.EVENT_READ)
        while True:
            for key, _ in self._events.select():
                if key.fd == 0:
                    return None
                if key.fileobj is self._listener:
                    connection, _ = self._listener.accept()
                    if command := self._begin(connection):
                        return command
                elif self._events.get_map().get(key.fd) is key:  # no other event has ended it
                    self._end(*key.data, killed=key.fileobj is not key.data[1])

    def _begin(self, connection: socket.socket) -> Callable[[], None] | None:
        command, streams = receive(connection)
        cold = command.verb not in self._seen
        child = os.fork()
        if child == 0:
            self._events.close()
            connection.close()
            self._listener.close()
            return partial(become, self._script, command, streams, cold=cold)
        for stream in streams:
            os.close(stream)
        handle = os.pidfd_open(child)
        for end in (handle, connection):
            self._events.register(end, selectors.EVENT_READ, (child, handle, connection, command.verb))
        return None

    def _end(self, child: int, handle: int, connection: socket.socket, verb: tuple[str, ...], *, killed: bool) -> None:
        if killed:
            os.kill(child, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code in WORKED:
            self._seen.add(verb)
        self._events.unregister(handle)
        self._events.unregister(connection)
        os.close(handle)
        with connection, suppress(BrokenPipeError):
            connection.send(f"{code}\n".encode())


def main(listening: str, script: str) -> None:
    """Import, serve, and end as the command where this is a child."""
    gc.disable()
    for name in MODULES:
        import_module(name)
    lazymig = import_module("lazymig")
    for name in lazymig.__all__:
        getattr(lazymig, name)
    gc.freeze()
    gc.enable()
    with socket.socket(fileno=int(listening)) as listener:
        command = Server(listener, script).serve()
    if command is not None:
        command()


if __name__ == "__main__":
    main(*sys.argv[1:])
