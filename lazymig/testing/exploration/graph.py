"""The states that were visited and the steps between them: a graph without cycles, since results only accumulate."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

Edge = tuple[int, int, bool, bool]
"""(state it leads to, client, whether it is a plain step, whether a call ended with it)"""


class Graph:
    """States by number, the initial one being 0."""

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {}
        self._edges: list[list[Edge]] = []
        self._ends: dict[int, bool] = {}
        self.crash_ends = 0

    def __len__(self) -> int:
        return len(self._edges)

    def arrive(self, key: Hashable) -> tuple[int, bool]:
        """The state's number, and whether it is new."""
        number = self._numbers.setdefault(key, len(self._edges))
        new = number == len(self._edges)
        if new:
            self._edges.append([])
        return number, new

    def connect(self, origin: int, state: int, client: int, *, alone: bool, ends_call: bool) -> None:
        """A step leads from one state to another."""
        self._edges[origin].append((state, client, alone, ends_call))

    def end(self, state: int, *, dirty: bool) -> None:
        """All calls have ended in this state."""
        self._ends[state] = dirty

    def counts(self, clients: int) -> dict[str, Any]:
        """How many whole runs lead to an end, to a dirty one, and the longest that a call goes on alone."""
        runs = {state: (1, int(dirty)) for state, dirty in self._ends.items()}
        alone: list[list[int]] = [[0] * clients for _ in self._edges]
        for state in self._successors_first():
            for following, client, plain, ends_call in self._edges[state]:
                if plain:
                    alone[state][client] = 1 + (0 if ends_call else alone[following][client])
            if state not in self._ends:
                pairs = [runs[following] for following, *_ in self._edges[state]]
                runs[state] = (sum(all_runs for all_runs, _ in pairs), sum(dirty for _, dirty in pairs))
        return {
            "interleavings": runs[0][0],
            "dirty_interleavings": runs[0][1],
            "ends": len(self._ends),
            "dirty_ends": sum(self._ends.values()),
            "alone_steps_max": max(map(max, alone)),
        }

    def _successors_first(self) -> Iterator[int]:
        seen: set[int] = set()
        stack = [(0, False)]
        while stack:
            state, expanded = stack.pop()
            if expanded:
                yield state
            elif state not in seen:
                seen.add(state)
                stack.append((state, True))
                stack.extend((following, False) for following, *_ in self._edges[state] if following not in seen)
