"""Conversions that are the wrong way round, and the README's code under a strict type checker."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from lazymig import ConfigurationError, ConversionError, Migration
from lazymig.testing import memory_repository
from tests.people import PersonV1, PersonV2, join, join_on, people, split

TOP = Path(__file__).parents[2]


class Methods:
    """Conversions as methods and as an object."""

    def up(self, v1: PersonV1) -> PersonV2:
        return split(v1)

    async def down(self, v2: PersonV2, current: PersonV1 | None) -> PersonV1:
        return join(v2)

    def __call__(self, v2: PersonV2) -> Awaitable[PersonV1]:
        return self.down(v2, None)


@frozen
class Base:
    """No class of the migration."""

    id: int


def takes_base(v1: Base) -> PersonV2:
    raise NotImplementedError


def gives_nothing(v1: PersonV1) -> None:
    raise NotImplementedError


def wrong_second(v1: PersonV1, previous: PersonV1 | None) -> PersonV2:
    raise NotImplementedError


def vague(v1: Any, previous: object = None) -> PersonV2 | int:
    return split(v1)


def unresolvable(v1: Nowhere) -> PersonV1:  # type: ignore[name-defined]  # noqa: F821
    raise NotImplementedError


@pytest.mark.parametrize(
    "swapped",
    [
        {"upgrade": join, "downgrade": split},
        {"upgrade": join_on},
        {"downgrade": Methods().up},
        {"upgrade": Methods().down},
        {"upgrade": Methods()},
        {"upgrade": takes_base},
        {"upgrade": gives_nothing},
        {"upgrade": wrong_second},
    ],
    ids=repr,
)
def test_case_47_conversions_that_are_annotated_the_wrong_way_round_are_refused(swapped: Any) -> None:
    """When the migration is built, with what the function should take and return."""
    with pytest.raises(
        ConfigurationError, match=r"grade: its annotations do not fit; pass a function of PersonV.*swapped"
    ):
        people(**swapped)


@pytest.mark.parametrize(
    "fitting",
    [
        {"upgrade": Methods().up, "downgrade": Methods()},
        {"upgrade": vague},
        {"upgrade": unresolvable},
        {"upgrade": functools.partial(join)},
        {"upgrade": lambda v1: v1},
    ],
    ids=repr,
)
def test_case_47_annotations_that_say_nothing_against_it_are_taken(fitting: Any) -> None:
    """Any, a base class, no annotation, one that nobody can resolve."""
    assert people(**fitting)


async def test_case_47_swapped_lambdas_say_so_when_first_used() -> None:
    """Where there is no annotation, the first use fails with the question, whatever the function stumbles over."""
    swapped = memory_repository(
        people(
            upgrade=lambda v2: PersonV1(v2.id, f"{v2.first} {v2.last}"),
            downgrade=lambda v1: PersonV2(v1.id, *v1.name.split(" ")),
        )
    )
    for call in (swapped.v1.insert(PersonV1(1, "Ada King")), swapped.insert(PersonV2(1, "Ada", "King"))):
        with pytest.raises(ConversionError) as caught:
            await call
        assert re.search(r"reads '(first|name)', .*are upgrade and downgrade swapped\?", str(caught.value.cause))
        assert caught.value.__cause__ is None


def blocks(page: Path) -> list[str]:
    """The Python blocks of a page."""
    return re.findall(r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def test_case_47_the_code_of_the_readme_is_what_the_type_checker_sees() -> None:
    """`tests/typing/readme.py` holds the README's first two blocks, and pyright checks it strictly."""
    checked = (TOP / "tests" / "typing" / "readme.py").read_text(encoding="utf-8")
    checked = re.sub(r"  # pyright: ignore\[\w+\]", "", checked)
    declared, used = blocks(TOP / "README.md")[:2]
    assert declared in checked, "take the README's first block into tests/typing/readme.py"
    lines = {line.strip() for line in checked.splitlines()}
    missing = [line for line in used.splitlines() if line.strip() not in lines]
    assert missing == [], "take the README's second block into tests/typing/readme.py"
    assert ast.parse(checked)


def test_case_47_a_migration_of_untyped_lambdas_is_as_good() -> None:
    """Types are for who wants them."""
    assert Migration(name="m", v1=PersonV1, v2=PersonV2, upgrade=lambda v1: v1, downgrade=lambda v2, v1=None: v2)
