"""What users see of the public names: docstrings in Google style, and types that can be imported."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

import attrs
import pytest

from lazymig import web
from lazymig.errors import Direction
from lazymig.loop.clock import Clock
from tests.debts import owed, unbalanced
from tests.public import INTERNAL, PUBLIC, TESTING, Namespace, found, section, undocumented, unexported

if TYPE_CHECKING:
    from lazymig.loop.deadline import Deadline


@pytest.mark.parametrize("rule", ["sections", "unexported"])
def test_public_names_are_documented_and_their_types_are_public(rule: str) -> None:
    """Public callables have Args, Returns and Raises, and types that can be imported, but for the listed debts."""
    debts = owed()
    lacks = undocumented({f"testing.{name}": thing for name, thing in TESTING.items()} | {"web.app": web.app} | PUBLIC)
    print(*(lack for lack in lacks if section(lack) not in debts["sections"]), sep="\n")
    assert unbalanced(found()[rule], debts[rule]) == []


def test_internal_types_are_in_public_signatures() -> None:
    """Every type that is excepted stands in a public signature and is not exported."""
    assert set(unexported(PUBLIC, PUBLIC)) >= INTERNAL


# The checkers bite


def complete(first: int, *rest: Clock) -> str:
    """Join them.

    Args:
        first: The first one,
            in two lines.
        *rest: The others.

    Returns:
        The text.

    Raises:
        ValueError: There is none.
    """
    if not first:
        raise ValueError("none")
    return str(rest)


def bare(first: int) -> str:
    """Join them."""
    if not first:
        raise ValueError
    return ""


def inventive() -> None:
    """Do nothing.

    Args:
        first: Was here once.
    """


def silent() -> None:
    inventive()


async def generated() -> AsyncIterator[int]:
    """Yield one."""
    yield 1


class Plain:
    """A class.

    Args:
        clock: What time it is.
    """

    seen: list[Direction] | None = None
    _hidden: Clock

    def __init__(self, clock: Clock, speed: int) -> None:
        self.clock = clock

    def method(self, other: Deadline) -> Callable[[Clock], None]:
        """Do something."""
        raise NotImplementedError

    @property
    def value(self) -> tuple[Clock, ...]:
        """A value."""
        return ()

    @classmethod
    def made(cls) -> None:
        """Nothing to add."""

    def _private(self, clock: Clock) -> int:
        raise ValueError


@attrs.frozen
class Fields:
    """A record.

    Attributes:
        a: One.
    """

    a: int
    b: type[Clock]
    _c: int = 0


class Refused(Exception):
    """An error without fields."""


MINE: Namespace = {
    thing.__name__: thing for thing in (complete, bare, inventive, silent, generated, Plain, Fields, Refused)
}


def test_sections_bite() -> None:
    """Each missing section is found, with the parameters and errors that it must name."""
    assert undocumented(MINE) == [
        "bare: Args first",
        "bare: Returns",
        "bare: Raises ValueError",
        "inventive: Args names first, which is no parameter",
        "silent: docstring",
        "generated: Yields",
        "Plain: Args speed",
        "Plain.method: Args other",
        "Plain.method: Returns",
        "Plain.method: Raises NotImplementedError",
        "Fields: Args b",
    ]


def test_unexported_types_bite() -> None:
    """A private type is found in each place of a signature, and no longer once it is exported."""
    clock, guarded = "lazymig.loop.clock.Clock", "lazymig.loop.deadline.Deadline"
    places = ("Fields", "Plain.__init__", "Plain.method", "Plain.value", "complete")
    expected = [*(f"{place}: {clock}" for place in places), f"Plain.method: {guarded}"]
    assert unexported(MINE, {}) == sorted(expected)
    assert unexported(MINE, {"Time": Clock, "Deadline": sys.modules["lazymig.loop.deadline"].Deadline}) == []
