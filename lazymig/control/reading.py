"""Reading what the control collection holds, value by value: people and other programs may have changed it.

Nothing that a page or a command shows may fail because one value is not as lazymig wrote it. What a row needs and does
not have makes it unreadable, and a list leaves such a row out; any other value that is wrong counts as missing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Final, TypeGuard, TypeVar

from lazymig.errors import LazymigError

T = TypeVar("T")

_LOGGER: Final = logging.getLogger("lazymig.control")
#: No count, rate or duration is larger, and a chart can still draw it.
_MOST: Final = 10**15
#: Times outside of these years are none: what is added to them would leave the calendar.
_YEARS: Final = (1900, 9000)


class Unreadable(LazymigError):
    """A row lacks a value that it needs, or holds another one there."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the control collection holds a row whose field {name} cannot be read")
        self.name = name


def is_number(value: object) -> TypeGuard[float]:
    """Whether this is a number that can be shown: finite, and neither negative nor absurdly large."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _MOST


def is_count(value: object) -> TypeGuard[int]:
    """Whether this is a number of things."""
    return isinstance(value, int) and is_number(value)


def is_text(value: object) -> TypeGuard[str]:
    """Whether this is a text and nothing else. Python takes BSON's code for one, which has a scope and no hash."""
    return type(value) is str


def is_moment(value: object) -> TypeGuard[datetime]:
    """Whether this is a time as lazymig stores them."""
    return isinstance(value, datetime) and value.tzinfo is None and _YEARS[0] <= value.year <= _YEARS[1]


class Values:
    """The values of a row, or of a part of one. What is no document holds nothing."""

    def __init__(self, row: object) -> None:
        self._row: Mapping[str, object] = row if isinstance(row, Mapping) else {}

    # What a row needs; these raise `Unreadable`.

    def need_text(self, name: str) -> str:
        """Return a text."""
        return self._need(name, self.find_text(name))

    def need_count(self, name: str) -> int:
        """Return a number of things."""
        return self._need(name, self.find_count(name))

    def need_number(self, name: str) -> float:
        """Return a number that is not negative."""
        return self._need(name, self.find_number(name))

    def need_moment(self, name: str) -> datetime:
        """Return a time, naive UTC."""
        return self._need(name, self.find_moment(name))

    # What it may lack; what is wrong is None, or empty.

    def find_text(self, name: str) -> str | None:
        """Return a text."""
        value = self._row.get(name)
        return value if is_text(value) else None

    def find_count(self, name: str) -> int | None:
        """Return a number of things."""
        value = self._row.get(name)
        return value if is_count(value) else None

    def find_integer(self, name: str) -> int | None:
        """Return an integer as BSON has them, such as a revision."""
        value = self._row.get(name)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def find_number(self, name: str) -> float | None:
        """Return a number that is not negative."""
        value = self._row.get(name)
        return value if is_number(value) else None

    def find_moment(self, name: str) -> datetime | None:
        """Return a time, naive UTC."""
        value = self._row.get(name)
        return value if is_moment(value) else None

    def text(self, name: str) -> str:
        """Return a text; "" where there is none."""
        return self.find_text(name) or ""

    def flag(self, name: str) -> bool:
        """Return whether this is true."""
        return self._row.get(name) is True

    def has(self, name: str) -> bool:
        """Return whether there is any value but None."""
        return self._row.get(name) is not None

    def part(self, name: str) -> Values:
        """Return a part that is a document."""
        return Values(self._row.get(name))

    def parts(self, name: str) -> list[Values]:
        """Return a list of parts."""
        return [Values(one) for one in self._list(name)]

    def raw_parts(self, name: str) -> Iterable[object]:
        """Return a list of parts as they stand, for `read_each`."""
        return self._list(name)

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts, without what is none."""
        return tuple(one for one in self._list(name) if is_text(one))

    def counts(self, name: str) -> dict[str, int]:
        """Return numbers of things by what they are, without what is none. True counts as 1, as it always did."""
        found = self._row.get(name)
        of = found if isinstance(found, Mapping) else {}
        return {key: int(value) for key, value in of.items() if isinstance(value, bool) or is_count(value)}

    def tables(self, name: str) -> dict[str, Values]:
        """Return parts by their names."""
        found = self._row.get(name)
        return {key: Values(value) for key, value in (found if isinstance(found, Mapping) else {}).items()}

    def is_there(self, name: str) -> bool:
        """Return whether the row has the field, be it null."""
        return name in self._row

    def any(self, name: str) -> object:
        """Return the value as it stands."""
        return self._row.get(name)

    def _list(self, name: str) -> Iterable[object]:
        found = self._row.get(name)
        return found if isinstance(found, list | tuple) else ()

    def _need(self, name: str, value: T | None) -> T:
        if value is None:
            raise Unreadable(name)
        return value


def read_each(what: str, rows: Iterable[object], read: Callable[[Values], T]) -> list[T]:
    """Return what can be read of these rows. The log says once of what kind the others are; they are left out."""
    found: list[T] = []
    for row in rows:
        try:
            found.append(read(Values(row)))
        except Unreadable as error:
            _warn(what, error.name)
    return found


@lru_cache(maxsize=100)
def _warn(what: str, name: str) -> None:
    _LOGGER.warning("the control collection holds %s whose field %s cannot be read; it is left out", what, name)
