"""The graph of visited states and the steps between them. It has no cycles, because results only accumulate."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

Edge = tuple[int, int, bool, bool]
"""(next state, client, whether it is a plain step, whether a call ended with it)"""


class Graph:
    """A graph of states by number. The initial state is 0."""

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {}
        self._edges: list[list[Edge]] = []
        self._ends: dict[int, bool] = {}
        self.crash_ends = 0

    def __len__(self) -> int:
        return len(self._edges)

    def arrive(self, key: Hashable) -> tuple[int, bool]:
        """Return the number of a state, and whether it is new."""
        number = self._numbers.setdefault(key, len(self._edges))
        new = number == len(self._edges)
        if new:
            self._edges.append([])
        return number, new

    def connect(self, origin: int, state: int, client: int, *, alone: bool, ends_call: bool) -> None:
        """Record a step from one state to another."""
        self._edges[origin].append((state, client, alone, ends_call))

    def end(self, state: int, *, dirty: bool) -> None:
        """Record that all calls have ended in a state."""
        self._ends[state] = dirty

    def counts(self, clients: int) -> dict[str, Any]:
        """Count complete runs, runs with a dirty end, ends and dirty ends, and the most steps of a call alone."""
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
