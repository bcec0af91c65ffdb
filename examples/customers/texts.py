"""V1's free texts, read and written: names, addresses and moments. Nothing here knows which library makes the classes.

What has none of the known forms is refused with `ValueError`, whose message never repeats the text.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

TITLES = frozenset({"Dr.", "Miss", "Mr.", "Mrs.", "Ms."})
SUFFIXES = frozenset({"DDS", "DVM", "II", "III", "IV", "Jr.", "MD", "PhD", "Sr."})
# A military second line has no comma and a street address's always has one, so no text fits both.
_MILITARY = re.compile(r"(?P<line>[^\n]+)\n(?P<office>APO|FPO|DPO) (?P<region>AA|AE|AP) (?P<zip>[0-9]{5})")
_STREET = re.compile(r"(?P<street>[^\n]+)\n(?P<city>[^\n]+), (?P<state>[A-Z]{2}) (?P<zip>[0-9]{5})")
_MILLISECOND = dt.timedelta(milliseconds=1)


def name_parts(text: str) -> dict[str, str | None]:
    """Split "Dr. Gloria Diaz DDS" into its parts. Raises `ValueError` when no first and last name remain."""
    words = text.split(" ")
    title = words.pop(0) if words[0] in TITLES else None
    suffix = words.pop() if words and words[-1] in SUFFIXES else None
    if len(words) < 2 or "" in words:
        raise ValueError("name is not a first and a last name separated by single spaces")
    return {"first": words[0], "last": " ".join(words[1:]), "title": title, "suffix": suffix}


def format_name(name: Any) -> str:
    """The inverse of `name_parts`, for a name with these parts."""
    return " ".join(part for part in (name.title, name.first, name.last, name.suffix) if part is not None)


def address_parts(text: str) -> dict[str, str]:
    """Read a two-line address. Raises `ValueError` when it is neither a military nor a street address."""
    if military := _MILITARY.fullmatch(text):
        return military.groupdict()
    if street := _STREET.fullmatch(text):
        return street.groupdict()
    raise ValueError("address has neither of the known forms")


def format_address(address: Any) -> str:
    """The inverse of `address_parts`, for an address with these parts."""
    if address.kind == "military":
        return f"{address.line}\n{address.office.value} {address.region.value} {address.zip}"
    return f"{address.street}\n{address.city}, {address.state} {address.zip}"


def split_moment(moment: dt.datetime) -> tuple[dt.date, int]:
    """The day of a moment, and the milliseconds since its midnight."""
    midnight = dt.datetime.combine(moment, dt.time.min, tzinfo=moment.tzinfo)
    milliseconds, rest = divmod(moment - midnight, _MILLISECOND)
    if rest:
        raise ValueError("birthdate is finer than a millisecond, which is all that MongoDB stores")
    return moment.date(), milliseconds


def joined_moment(day: dt.date, milliseconds: int) -> dt.datetime:
    """The inverse of `split_moment`."""
    return dt.datetime.combine(day, dt.time.min) + milliseconds * _MILLISECOND
