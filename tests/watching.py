"""What a client really sent: the commands that a driver reports, for tests that count or look at them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent


class Watch(CommandListener):
    """Keeps each started command, and calls `then` with it if that is set."""

    def __init__(self) -> None:
        self.commands: list[CommandStartedEvent] = []
        self.then: Callable[[CommandStartedEvent], object] | None = None

    def started(self, event: CommandStartedEvent) -> None:
        self.commands.append(event)
        if self.then is not None:
            self.then(event)

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """Only what was sent matters here."""

    def failed(self, event: CommandFailedEvent) -> None:
        """Only what was sent matters here."""

    @contextmanager
    def sent(self, database: Any) -> Iterator[list[CommandStartedEvent]]:
        """The commands that go to this database within the with statement; complete when it ends."""
        before = len(self.commands)
        seen: list[CommandStartedEvent] = []
        yield seen
        seen += [event for event in self.commands[before:] if event.database_name == database.name]


def steps(sent: list[CommandStartedEvent]) -> list[str]:
    """Each command as "collection command", in the order of sending."""
    return [f"{event.command[event.command_name]} {event.command_name}" for event in sent]
