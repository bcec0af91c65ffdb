"""Cohorts: groups of entities with a name, declared in code, to which the cut-over comes first."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from inspect import iscoroutinefunction
from typing import Final, TypeAlias

from lazymig.errors import ConfigurationError
from lazymig.stores.documents import decode_id, raw_id
from lazymig.stores.given import Id

#: Whether an entity belongs to a cohort, by its id.
Belongs: TypeAlias = Callable[[Id], object]
#: What the ids are called that no cohort names, chosen by the share and not chosen.
BY_SHARE, REST = "share", "rest"
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,60}")


def check_cohort_name(name: object) -> str:
    """Return the name of a cohort. Raises `ConfigurationError` for what cannot be one."""
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name in (BY_SHARE, REST):
        raise ConfigurationError(
            f'cohort: pass a name of up to 60 letters, digits, "-" and "_", and not "{BY_SHARE}" or "{REST}"'
        )
    return name


class Cohorts:
    """The cohorts that this process knows, by name."""

    def __init__(self) -> None:
        self._declared: dict[str, Belongs] = {}

    def declare(self, name: str, ids_or_predicate: Iterable[Id] | Belongs) -> None:
        """Declare a cohort. Raises `ConfigurationError` for a name that is taken, or for what says nothing of ids."""
        check_cohort_name(name)
        if name in self._declared:
            raise ConfigurationError(f"cohort: {name} is declared already; declare each cohort once")
        self._declared[name] = _make_predicate(ids_or_predicate)

    @property
    def names(self) -> list[str]:
        """The names of the cohorts that this process knows."""
        return sorted(self._declared)

    def find(self, name: str) -> Belongs | None:
        """Return who belongs to a cohort; None where this process does not know it."""
        return self._declared.get(name)


def _make_predicate(given: Iterable[Id] | Belongs) -> Belongs:
    if callable(given):
        if iscoroutinefunction(given):
            raise ConfigurationError("cohort: pass a function that answers at once, and no coroutine function")
        return given
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise ConfigurationError("cohort: pass the ids, or a function f(id) -> bool")
    # In the form in which every id is compared: a UUID is one however the client stores it.
    return frozenset(decode_id(raw_id(id)) for id in given).__contains__
