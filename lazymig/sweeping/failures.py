"""Entities that a run cannot move: counted at once, stored as dead letters in bulk, or listed by a dry run's report."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from lazymig.control.dead_letters import DeadLetters
from lazymig.errors import ConversionError
from lazymig.stores.decoding import Unreadable
from lazymig.stores.given import RawId
from lazymig.stores.records import DeadLetter, StoredV1

#: How many failures a dry run's report lists. All are counted.
NAMED_AT_MOST = 1000
#: The length of an id in a dead letter, which holds it twice. Longer ids are cut; no call of the repository takes them.
_NAMED = 4_000_000
_REFUSED = "V2 refuses the body (unique index, validator or size)"
_TEXTS = {
    "upgrade": "the document does not convert",
    "downgrade": "the entity does not convert back",
}


class Failures:
    """The failures of one process's run. Where there are no stored letters (in a dry run) they are kept in memory."""

    def __init__(self, stored: DeadLetters | None, migration: str, counts: Counter[str]) -> None:
        self._stored = stored
        self._migration = migration
        self._counts = counts
        self._letters: list[DeadLetter] = []
        self._storing = asyncio.Lock()

    def begin(self) -> None:
        """Forget the failures of earlier runs."""
        self._letters.clear()

    @property
    def named(self) -> tuple[DeadLetter, ...]:
        """The first thousand failures of a dry run; empty in other runs."""
        return () if self._stored is not None else tuple(self._letters)

    def note_unconvertible(self, truth: StoredV1, error: ConversionError) -> None:
        """Note a conversion error without the text of its cause, which may quote the document."""
        text = _TEXTS.get(error.direction) or f"the {error.side or 'stored'} document does not fit its class"
        text += f" at field {error.path!r}" if error.path else ""
        if getattr(type(error.cause), "without_contents", False) is True:
            text += f": {error.cause}"
        kind = type(error.cause).__name__
        self.note(truth.id, truth.revision, error.direction, kind, text, error.path, error.line)

    def note_refused(self, id: RawId, revision: int) -> None:
        """Note that V2 refuses an entity's body, where the server's reason is unknown."""
        self.note(id, revision, "store", "Refused", _REFUSED, "")

    def note(
        self, id: RawId, revision: int, direction: str, error: str, message: str, path: str, line: str = ""
    ) -> None:
        """Note that an entity cannot be moved."""
        self._counts["dead"] += 1
        if self._stored is not None or len(self._letters) < NAMED_AT_MOST:
            letter = DeadLetter(
                self._migration, _recordable_id(id), revision, direction, error, message, path, line=line
            )
            self._letters.append(letter)

    async def flush(self) -> None:
        """Store the failures that all batches have noted so far; return when they are durable."""
        if self._stored is None or not (self._letters or self._storing.locked()):
            return
        # One at a time: a batch whose letters another batch is storing must wait for them, because its caller then
        # saves a checkpoint.
        async with self._storing:
            letters, self._letters = self._letters, []
            try:
                await self._stored.record(letters)
            except BaseException:
                self._letters[:0] = letters
                raise


def _recordable_id(id: RawId) -> Any:
    """Return the id as a dead letter can hold it; for an id that no statement can name, readable text."""
    if isinstance(id, Unreadable):
        return id.shown
    return id[:_NAMED] if isinstance(id, str | bytes) and len(id) > _NAMED else id
