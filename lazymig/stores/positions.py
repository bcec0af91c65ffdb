"""Where an id stands between 0 and 1, by a fixed hash: the same in every process, every release and every language.

The position is the BLAKE2b hash of eight bytes, read as a big-endian fraction, of the type byte and the value of `_id`
as BSON holds them. The server takes numbers of several types for one `_id`, so a number counts as an Int64 where it is
whole and fits, else as a double where a double holds it exactly.
"""

from __future__ import annotations

from decimal import Decimal
from hashlib import blake2b
from typing import Final

import bson
from bson import ObjectId
from bson.decimal128 import Decimal128

from lazymig.stores.decimals import to_decimal
from lazymig.stores.given import RawId

_SCALE: Final = 2.0**-64
_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1
#: Where the value begins in `{_id: value}`: after the size, the type, the name and its end. A zero ends the document.
_VALUE = slice(9, -1)


def measure_position(id: RawId) -> float:
    """Return the position of an id, from 0 to less than 1."""
    return int.from_bytes(blake2b(make_canonical(id), digest_size=8).digest(), "big") * _SCALE


def make_canonical(id: RawId) -> bytes:
    """Return the bytes of an id, which are the same for all ids that the server takes for one."""
    # The usual types by hand: each read asks this.
    if type(id) is int and _INT64_MIN <= id <= _INT64_MAX:
        return b"\x12" + id.to_bytes(8, "little", signed=True)
    if type(id) is ObjectId:
        return b"\x07" + id.binary
    if type(id) is str:
        text = id.encode()
        return b"\x02" + (len(text) + 1).to_bytes(4, "little") + text + b"\0"
    if isinstance(id, int | float | Decimal128) and not isinstance(id, bool):
        id = _simplify(id)
        if isinstance(id, int) and _INT64_MIN <= id <= _INT64_MAX:
            return b"\x12" + int(id).to_bytes(8, "little", signed=True)
    encoded = bson.encode({"_id": id})
    return encoded[4:5] + encoded[_VALUE]


def _simplify(number: int | float | Decimal128) -> int | float | Decimal128:
    if isinstance(number, int):
        return number
    exact = to_decimal(number) if isinstance(number, Decimal128) else Decimal(number)
    if exact.is_nan():
        return float("nan")
    if exact.is_finite() and abs(exact) < 2**63 and exact == exact.to_integral_value():
        return int(exact)
    nearest = float(exact)
    # A decimal of a value that no double holds stands for itself, without zeros at its end.
    return nearest if Decimal(nearest) == exact else Decimal128(exact.normalize())
