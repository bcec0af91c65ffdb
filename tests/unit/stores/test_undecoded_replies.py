"""What becomes of an announcement whose reply the driver cannot read."""

from __future__ import annotations

from typing import Any

import pytest
from bson.raw_bson import RawBSONDocument
from mongomock_motor import AsyncMongoMockClient
from pymongo.errors import AutoReconnect

from lazymig.stores.mongo_v2 import V2Store


@pytest.mark.parametrize("of_the_driver", [True, False])
async def test_a_reply_that_cannot_be_labelled_is_a_lost_connection(
    of_the_driver: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyMongo fails to label an undecoded write concern error; any other missing attribute stays what it is."""
    store = V2Store(AsyncMongoMockClient()["x"]["v2"])

    async def fail(*_: Any, **__: Any) -> None:
        reply: Any = RawBSONDocument(b"\x05\x00\x00\x00\x00") if of_the_driver else object()
        reply.update({})

    monkeypatch.setattr(store._announced, "find_one_and_update", fail, raising=False)
    with pytest.raises(AutoReconnect if of_the_driver else AttributeError):
        await store.ticket(1)
