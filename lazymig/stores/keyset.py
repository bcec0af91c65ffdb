"""Paging by key: filters for what sorts after a document, across BSON types.

A plain `$gt` finds only values of the same type: a collection with ids of several types would end at the last id of the
first type. So the filters also name the types that sort later, in BSON's order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import attrs
import bson
from attrs import frozen
from attrs.validators import in_, instance_of
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions
from bson.decimal128 import Decimal128

from lazymig.stores.decimals import to_decimal
from lazymig.stores.decoding import Unreadable, make_condition
from lazymig.stores.drivers import Driver
from lazymig.stores.given import RawId
from lazymig.stores.records import Partition

#: BSON's order of types, each with the type bytes of its elements.
BRACKETS: tuple[tuple[tuple[str, ...], tuple[int, ...]], ...] = (
    (("minKey",), (0xFF,)),
    (("null",), (0x0A,)),
    (("int", "long", "double", "decimal"), (0x10, 0x12, 0x01, 0x13)),
    (("string", "symbol"), (0x02, 0x0E)),
    (("object",), (0x03,)),
    (("array",), (0x04,)),
    (("binData",), (0x05,)),
    (("objectId",), (0x07,)),
    (("bool",), (0x08,)),
    (("date",), (0x09,)),
    (("timestamp",), (0x11,)),
    (("regex",), (0x0B,)),
    (("javascript",), (0x0D,)),
    (("javascriptWithScope",), (0x0F,)),
    (("maxKey",), (0x7F,)),
)
#: Brackets with a single value. A comparison with it would also find values of other brackets.
ONE_VALUE = frozenset({"minKey", "null", "maxKey"})
_RANK = {code: rank for rank, (_, codes) in enumerate(BRACKETS) for code in codes}
_NUMBERS = (int, float, Decimal128)
_UUIDS: CodecOptions[Any] = CodecOptions(uuid_representation=UuidRepresentation.STANDARD)
#: The types that the in-memory Mongo distinguishes, and so can sort.
MEMORY_TYPES = frozenset({"int", "long", "double", "string", "object", "array", "binData", "objectId", "bool", "date"})


def bracket_of(value: Any) -> str:
    """Return the name of the bracket that a value sorts in: the first of the bracket's types."""
    return BRACKETS[_rank_of(value)][0][0]


def _rank_of(value: Any) -> int:
    if isinstance(value, Unreadable):
        return _RANK[value.kind]
    # STANDARD, because the client may return native UUIDs; their representation does not matter here.
    return _RANK[bson.encode({"": value}, codec_options=_UUIDS)[4]]


def make_bracket_filter(path: str, bracket: str, driver: Driver) -> dict[str, Any]:
    """Return the filter for every value of one bracket."""
    names = next(names for names, _ in BRACKETS if names[0] == bracket)
    known = [name for name in names if driver is not Driver.MEMORY or name in MEMORY_TYPES]
    return {"$or": [{path: {"$type": name}} for name in known]} if len(known) > 1 else {path: {"$type": known[0]}}


def make_partition_filter(partition: Partition, position: RawId, last: RawId, driver: Driver) -> dict[str, Any]:
    """Return the filter for a partition's ids after the position, up to `last` where that is given."""
    bounds: dict[str, Any] = {}
    if position is not None:
        bounds |= make_lower_bound(position)
    high = partition.high if last is None else last
    if high is not None:
        bounds["$lte"] = high
    if position is not None:
        return {"_id": make_condition(bounds)}  # a comparison stays within its value's bracket
    bracket = make_bracket_filter("_id", partition.bracket, driver)
    if not bounds:
        return bracket
    # NaN sorts before all numbers but does not compare as less than any.
    first = [{"_id": math.nan}] if partition.bracket == "int" else []
    return {"$and": [bracket, {"$or": [{"_id": make_condition(bounds)}, *first]}]}


def make_descending_filter(partition: Partition, position: RawId, last: RawId, driver: Driver) -> dict[str, object]:
    """Return the filter for a partition's ids before the position, down to `last` where that is given."""
    bracket = make_bracket_filter("_id", partition.bracket, driver)
    if partition.bracket in ONE_VALUE:
        return bracket
    if is_nan(position):
        return {"_id": {"$in": []}}  # NaN sorts before all numbers
    above = {"$lte": partition.high} if partition.high is not None else {}
    bounds: dict[str, object] = above if position is None else {"$lt": position}
    if last is not None and not is_nan(last):
        bounds["$gte"] = last
    elif partition.low is not None:
        bounds |= make_lower_bound(partition.low)
    else:
        # Without a lower bound NaN belongs to it, which no comparison finds.
        last_of_all = [{"_id": math.nan}] if partition.bracket == "int" else []
        return {"$and": [bracket, {"$or": [{"_id": make_condition(bounds)}, *last_of_all]}]} if bounds else bracket
    return {"_id": make_condition(bounds)}  # a comparison stays within its value's bracket


def list_brackets(driver: Driver) -> list[str]:
    """Return the brackets that ids can sort in."""
    never = {"array", "regex"}
    names = [names[0] for names, _ in BRACKETS if names[0] not in never]
    return [name for name in names if driver is not Driver.MEMORY or name in MEMORY_TYPES]


@frozen
class Order:
    """A sort order by one field, and by `_id` where the field is equal."""

    field: str = attrs.field(validator=instance_of(str))
    direction: int = attrs.field(validator=in_((1, -1)))

    @property
    def keys(self) -> list[tuple[str, int]]:
        """The argument for the driver's `sort`."""
        if self.field == "_id":
            return [("_id", self.direction)]
        return [(self.field, self.direction), ("_id", self.direction)]

    def after(self, document: Mapping[str, Any], driver: Driver) -> dict[str, Any]:
        """Return the filter for what comes after this document. Only its `_id` and the order's field are used."""
        beyond_id = make_later_filter("_id", document["_id"], self.direction, driver)
        if self.field == "_id":
            return beyond_id
        value = _get_value(document, self.field)
        # An explicit "$eq": a stored value may look like an operator.
        equal = {"$and": [{self.field: make_condition({"$eq": value})}, beyond_id]}
        return {"$or": [equal, make_later_filter(self.field, value, self.direction, driver)]}


def make_lower_bound(value: Any) -> dict[str, Any]:
    """Return the operators, for `make_condition`, that find what sorts after the value within its own bracket."""
    # NaN sorts before all other numbers, but no comparison finds it, and none with it finds anything.
    return {"$gte": -math.inf} if is_nan(value) else {"$gt": value}


BY_ID = Order("_id", 1)


def _get_value(document: Mapping[str, Any], path: str) -> Any:
    value: Any = document
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def make_later_filter(path: str, value: Any, direction: int, driver: Driver) -> dict[str, Any]:
    """Return the filter for everything that sorts after the value, of whatever type. A missing field sorts as null."""
    rank = _rank_of(value)
    later = [name for names, _ in (BRACKETS[rank + 1 :] if direction > 0 else BRACKETS[:rank]) for name in names]
    branches: list[dict[str, Any]] = []
    if value is not None:
        branches += _filter_within(path, value, direction)
    if "null" in later:
        branches.append({path: None})
    known = [name for name in later if name != "null" and (driver is not Driver.MEMORY or name in MEMORY_TYPES)]
    branches += [{path: {"$type": name}} for name in known]
    return {"$or": branches} if branches else {path: {"$in": []}}


def _filter_within(path: str, value: Any, direction: int) -> list[dict[str, Any]]:
    """Return the branches for what sorts after the value within its own bracket."""
    if direction > 0:
        return [{path: make_condition(make_lower_bound(value))}]
    if is_nan(value):
        return []
    return [{path: make_condition({"$lt": value})}, *([{path: math.nan}] if isinstance(value, _NUMBERS) else [])]


def is_nan(value: Any) -> bool:
    """Whether the value is a NaN of any numeric type."""
    return bool(value != value or (isinstance(value, Decimal128) and to_decimal(value).is_nan()))
