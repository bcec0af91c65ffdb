"""Named equivalences: differences that a team accepts, each by a name that reports and command lines use."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import ClassVar, Final

from attrs import field, frozen, validators
from bson import Decimal128, Int64

from lazymig.comparing.differences import Gap
from lazymig.errors import ConfigurationError
from lazymig.stores.decimals import to_decimal
from lazymig.stores.documents import MISSING
from lazymig.stores.verdicts import Difference

Accepts = Callable[[str, object, object], bool]

#: Accepts the fields that V1's class adds to V1's document. The comparer knows them; no pair of values shows it.
MISSING_DEFAULT: Final = "missing-default"
_PLACE = re.compile(r"\[\d+\]")


@frozen
class Equivalence:
    """A difference between two values that counts as agreement.

    Args:
        name: The name that reports use.
        accepts: `f(path, expected, found) -> bool`. The path is made of stored names, such as `lines[2].price`. The
            values are those that BSON holds: `Int64` and `int` are int64 and int32, a date is a `DatetimeMS`. A field
            that one side lacks is `Equivalence.MISSING`.

    Attributes:
        MISSING: The value of a field that one side lacks.
    """

    name: str = field(validator=validators.min_len(1))
    accepts: Accepts = field(validator=validators.is_callable(), eq=False)

    MISSING: ClassVar[object] = MISSING


def _is_nothing(value: object) -> bool:
    return value is MISSING or value is None


def _is_empty(value: object) -> bool:
    return _is_nothing(value) or (isinstance(value, str | list | dict) and not value)


def _is_int(value: object) -> bool:
    return type(value) in (int, Int64)


def _number(value: object) -> Decimal | None:
    """Return the exact value of a number of any type; None for other values."""
    if isinstance(value, Decimal128):
        return to_decimal(value)
    if isinstance(value, float) or _is_int(value):
        return Decimal(value)  # type: ignore[arg-type]
    return None


def _are_equal_numbers(expected: object, found: object) -> bool:
    one, other = _number(expected), _number(found)
    if one is None or other is None:
        return False
    if one.is_nan() or other.is_nan():
        return one.is_nan() and other.is_nan()
    return one == other


#: The equivalences of pairs of values, the narrowest first.
BUILT_IN: Final[Mapping[str, Callable[[object, object], bool]]] = {
    "missing-null": lambda expected, found: _is_nothing(expected) and _is_nothing(found),
    "missing-empty": lambda expected, found: _is_empty(expected) and _is_empty(found),
    "int-width": lambda expected, found: _is_int(expected) and _is_int(found) and expected == found,
    "numbers": _are_equal_numbers,
}
#: What a reason begins with that names equivalences.
ADVICE: Final = "accept with "
NAMES: Final = ("missing-null", MISSING_DEFAULT, "missing-empty", "int-width", "numbers")


def resolved(accept: Iterable[str | Equivalence]) -> tuple[Equivalence, ...]:
    """Return the equivalences that names stand for, and those that are given whole.

    Raises:
        ConfigurationError: A name is unknown.
    """
    if isinstance(accept, str):
        raise ConfigurationError('accept: pass a sequence of names, such as ["missing-null"]')
    return tuple(one if isinstance(one, Equivalence) else _named(one) for one in accept)


def _named(name: object) -> Equivalence:
    kind, colon, path = name.partition(":") if isinstance(name, str) else ("", "", "")
    if not isinstance(name, str) or kind not in NAMES or (colon and not path):
        raise ConfigurationError(
            f"accept: {name!r} is unknown; pass one of {', '.join(NAMES)}, for one field only as "
            "missing-null:address.zip, or an Equivalence"
        )
    return Equivalence(name, _Named(BUILT_IN.get(kind, _never), without_places(path)))


def _never(_expected: object, _found: object) -> bool:
    return False


@frozen
class _Named:
    """A built-in equivalence, for one field or for all of them (path "")."""

    agrees: Callable[[object, object], bool]
    path: str

    def __call__(self, path: str, expected: object, found: object) -> bool:
        return self.concerns(path) and self.agrees(expected, found)

    def concerns(self, path: str) -> bool:
        """Return whether this field is meant; `lines[].price` means that of every element."""
        return not self.path or self.path == without_places(path)


def without_places(path: str) -> str:
    """Return a path that means the elements of arrays at any place, such as `lines[].price`."""
    return _PLACE.sub("[]", path)


def is_default(equivalence: Equivalence, path: str) -> bool:
    """Return whether an equivalence accepts that V1's class adds the field at this path."""
    accepts = equivalence.accepts
    is_meant = equivalence.name.partition(":")[0] == MISSING_DEFAULT and isinstance(accepts, _Named)
    return is_meant and isinstance(accepts, _Named) and accepts.concerns(path)


def find_narrowest(gap: Gap, *, is_added: bool) -> str:
    """Return the narrowest built-in equivalence that accepts a difference; "" if none does.

    `is_added`: V1's class adds the field to V1's document.
    """
    if gap.reordered:
        return ""
    accepting = {name for name, agrees in BUILT_IN.items() if agrees(gap.expected, gap.found)}
    if is_added:
        accepting.add(MISSING_DEFAULT)
    return next((name for name in NAMES if name in accepting), "")


def suggest(differences: Iterable[Difference]) -> list[str]:
    """Return the equivalences that would accept these differences, each for its field, as `accept` takes them."""
    found = [f"{one.accept}:{without_places(one.path)}" for one in differences if one.accept]
    return list(dict.fromkeys(found))
