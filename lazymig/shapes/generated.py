"""Functions made from generated lines, as attrs, dataclasses and cattrs make theirs: one call for a whole class."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import count
from typing import Final

from attrs import define, field

#: Tracebacks show it in place of a file. `lazymig.user_code` leaves such frames out.
_FILE: Final = "<lazymig generated>"


@define
class Lines:
    """The body of a function under construction.

    Values reach it by names of their own, so that the lines contain no text of a user's but attributes' names and the
    `repr` of stored names.
    """

    lines: list[str] = field(factory=list)
    values: dict[str, object] = field(factory=dict)
    _numbers: count[int] = field(factory=count)

    def add(self, depth: int, *lines: str) -> None:
        """Add lines at this depth of indentation."""
        self.lines += ["    " * depth + line for line in lines]

    def name(self) -> str:
        """Return a name for a variable that nothing else in the function has."""
        return f"v{next(self._numbers)}"

    def bind(self, value: object) -> str:
        """Return a name by which the lines can use a value."""
        name = f"g{next(self._numbers)}"
        self.values[name] = value
        return name

    def make(self, argument: str) -> Callable[..., object]:
        """Return the function of one argument that these lines are the body of."""
        source = "\n".join([f"def made({argument}):", *self.lines])
        scope = dict(self.values)
        exec(compile(source, _FILE, "exec"), scope)
        made: object = scope["made"]
        assert callable(made)
        return made


def are_names(names: Iterable[str]) -> bool:
    """Return whether these can stand in generated lines as attributes and arguments."""
    return all(name.isidentifier() and name.isascii() for name in names)
