"""`lazymig.shapes.changes`: what counts as a change, for values that Python takes for equal."""

from __future__ import annotations

from collections import Counter
from copy import deepcopy
from datetime import datetime
from typing import Any

import bson
from bson import Decimal128, Int64, ObjectId
from hypothesis import given, settings
from hypothesis import strategies as st

from lazymig.shapes.changes import changes

#: Values that Python takes for equal, and some more.
LEAVES = st.sampled_from(
    [0, 1, 1.0, True, Int64(1), 0.0, -0.0, False, float("nan"), "", "a", b"a", None, Decimal128("1"), Decimal128("1.0"),
     datetime(2024, 1, 1), ObjectId(b"x" * 12)]
)  # fmt: skip
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
)


def shuffled(value: Any) -> Any:
    """An equal value whose documents have their fields the other way round."""
    if isinstance(value, dict):
        return {name: shuffled(inner) for name, inner in reversed(value.items())}
    return [shuffled(inner) for inner in value] if isinstance(value, list) else value


def test_a_change_is_what_has_other_bytes() -> None:
    """Whether in an array or alone, a value is written exactly where its bytes are others."""
    met: Counter[bool] = Counter()

    @settings(max_examples=300, deadline=None, print_blob=True)
    @given(VALUES, st.data())
    def holds(before: Any, data: st.DataObject) -> None:
        after = data.draw(st.one_of(st.just(deepcopy(before)), st.just(shuffled(before)), VALUES))
        same = bson.encode({"": before}) == bson.encode({"": after})
        met[same] += 1
        # In an array, which is written whole or not at all.
        assert changes({"x": [before]}, {"x": [after]}) == ({} if same else {"x": [after]}, [], [])
        if not isinstance(before, dict):
            assert changes({"x": before}, {"x": after}) == ({} if same else {"x": after}, [], [])
            assert changes({}, {"x": after}) == ({"x": after}, [], [])

    holds()
    print(dict(met))
    assert min(met[True], met[False]) > 50
