"""Where ids stand by the fixed hash: alike where the server takes them for one `_id`, evenly, and the same for ever."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from bson import Int64, ObjectId
from bson.binary import Binary
from bson.decimal128 import Decimal128

from lazymig.stores.documents import raw_id
from lazymig.stores.positions import make_canonical, measure_position


@pytest.mark.parametrize(
    "alike",
    [
        (5, Int64(5), 5.0, Decimal128("5"), Decimal128("5.000")),
        (0, -0.0, Decimal128("-0")),
        (2**63 - 1, Decimal128("9223372036854775807")),
        (0.5, Decimal128("0.5"), Decimal128("5E-1")),
        (2.0**70, Decimal128(str(2**70))),
        (Decimal128("0.1"), Decimal128("0.10")),
        (float("inf"), Decimal128("Infinity")),
        (float("nan"), Decimal128("NaN")),
        (b"ab", Binary(b"ab", 0)),
    ],
)
def test_ids_that_are_one_to_the_server_are_one_here(alike: tuple[Any, ...]) -> None:
    """With any number type that a driver stored, the entity is on the same side of the cut-over."""
    assert len({measure_position(id) for id in alike}) == 1


async def test_the_server_takes_them_for_one_as_well(server_database: Any) -> None:
    """Ids of one position find one document on a server, and ids of two positions do not."""
    ids = [5, Int64(5), 5.0, Decimal128("5.0"), "5", True, 0.5, Decimal128("0.5"), 0.1, Decimal128("0.1"), 5.5]
    for stored in ids:
        await server_database["v1"].delete_many({})
        await server_database["v1"].insert_one({"_id": stored})
        for asked in ids:
            found = await server_database["v1"].find_one({"_id": asked}) is not None
            assert found is (make_canonical(stored) == make_canonical(asked)), (stored, asked)


def test_positions_never_change() -> None:
    """A release that moved them would change whose reads V2 answers. Other implementations can check these."""
    known = {
        5: 0.691262443, "ada": 0.451173872, b"ada": 0.645881275, 0.5: 0.39340131,
        ObjectId("0123456789abcdef01234567"): 0.408562681, raw_id(UUID(int=7)): 0.990717598,
    }  # fmt: skip
    assert {id: round(measure_position(id), 9) for id in known} == known


def test_positions_are_even() -> None:
    """Of consecutive numbers, and of texts that differ in a digit, a share chooses about its part, and only adds."""
    for ids in (range(20_000), [f"customer-{number}" for number in range(20_000)]):
        positions = [measure_position(id) for id in ids]
        assert all(0 <= position < 1 for position in positions)
        for share in (0.01, 0.1, 0.5):
            assert abs(sum(position < share for position in positions) / len(positions) - share) < 0.01
