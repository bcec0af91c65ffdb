"""The cursors of the explorer's collections."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Any, Self

from lazymig.testing.exploration.projection import projected
from lazymig.testing.exploration.statement import Statement
from lazymig.testing.exploration.values import look_up, order

Document = dict[str, Any]
Query = Mapping[str, Any]
Projection = Mapping[str, Any] | Sequence[str] | None
Find = Callable[[Query], Iterable[Document]]


class MemoryCursor:
    """The result of `find`. The first fetch reads copies of all its documents."""

    def __init__(self, send: Callable[[Callable[[Query, Projection], list[Document]]], Statement], find: Find) -> None:
        self._send = send
        self._find = find
        self._order: list[tuple[str, int]] = []
        self._limit = 0
        self._left: list[Document] | None = None

    def sort(self, key_or_list: Any, direction: int = 1) -> Self:
        """Sort by one field, or by a list or mapping of fields with their directions."""
        if isinstance(key_or_list, str):
            self._order = [(key_or_list, direction)]
        else:
            self._order = list(key_or_list.items() if isinstance(key_or_list, Mapping) else key_or_list)
        return self

    def limit(self, limit: int) -> Self:
        """Limit the number of documents; 0 means all."""
        self._limit = limit
        return self

    def batch_size(self, _size: int) -> Self:
        """Do nothing, since the first fetch reads all documents."""
        return self

    async def to_list(self, length: int | None = None) -> list[Document]:
        """Return the remaining documents, or the next `length` of them."""
        left = await self._fetched()
        taken = left[:length]
        del left[:length]
        return taken

    async def close(self) -> None:
        """Discard the remaining documents."""
        self._left = []

    async def __aiter__(self) -> AsyncIterator[Document]:
        left = await self._fetched()
        while left:
            yield left.pop(0)

    async def _fetched(self) -> list[Document]:
        if self._left is None:
            # A copy: what a statement returned distinguishes states, and must not be used up with the cursor.
            self._left = list(await self._send(self._read))
        return self._left

    def _read(self, criteria: Query, projection: Projection) -> list[Document]:
        found = list(self._find(criteria))
        for path, direction in reversed(self._order):
            found.sort(key=lambda document: order(look_up(document, path)), reverse=direction < 0)
        return [projected(document, projection) for document in found[: self._limit or None]]
