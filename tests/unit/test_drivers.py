"""The handful of places where the drivers differ."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from mongomock_motor import AsyncMongoMockClient
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import AsyncMongoClient, MongoClient, ReadPreference
from pymongo.errors import DocumentTooLarge, DuplicateKeyError, OperationFailure, WriteError

from lazymig import ConfigurationError
from lazymig.stores.drivers import (
    MAJORITY,
    READ_LOCAL,
    READ_MAJORITY,
    Driver,
    await_if_needed,
    describe_refusal,
    driver_of,
    is_id_taken,
    is_id_taken_in,
    is_refused,
    is_too_large,
    is_tz_aware,
    judge_put,
    tune,
)
from lazymig.stores.records import Put
from lazymig.testing.memory_collection import MemoryCollection


def real(kind: Any, **options: Any) -> Any:
    """A collection of a client that never connects."""
    return kind("mongodb://127.0.0.1:1", connect=False, **options)["x"]["y"]


@pytest.mark.parametrize(
    ("make", "driver"),
    [
        (lambda: real(AsyncMongoClient), Driver.PYMONGO),
        (lambda: real(AsyncIOMotorClient), Driver.MOTOR),
        (lambda: AsyncMongoMockClient()["x"]["y"], Driver.MEMORY),
        (lambda: MemoryCollection("y"), Driver.MEMORY),
    ],
    ids=["pymongo", "motor", "mock", "explorer"],
)
async def test_a_collection_is_known_by_its_class(make: Any, driver: Driver) -> None:
    """Whatever name it masquerades under."""
    assert driver_of(make()) is driver


@pytest.mark.parametrize(
    "make",
    [
        lambda: real(MongoClient),
        lambda: real(AsyncMongoClient).database,
        lambda: real(AsyncMongoClient).database.client,
        lambda: real(AsyncIOMotorClient).database,
        lambda: AsyncMongoMockClient()["x"],
        lambda: None,
        lambda: "customers",
        lambda: object(),
    ],
    ids=["sync", "database", "client", "motor database", "mock database", "None", "a name", "an object"],
)
async def test_anything_else_is_refused(make: Any) -> None:
    """The error says what to pass."""
    with pytest.raises(ConfigurationError, match="is not an async collection; pass one of"):
        driver_of(make())


@pytest.mark.parametrize("kind", [AsyncMongoClient, AsyncIOMotorClient], ids=["pymongo", "motor"])
async def test_a_tuned_collection_has_the_concern_and_reads_on_the_primary(kind: Any) -> None:
    """Whatever it was configured with; without a concern, with the one that inherits nothing."""
    collection = real(kind, readPreference="secondary", w=1, readConcernLevel="snapshot")
    changed = tune(collection, write=MAJORITY, read=READ_MAJORITY)
    assert (changed.write_concern, changed.read_concern) == (MAJORITY, READ_MAJORITY)
    assert changed.read_preference == ReadPreference.PRIMARY
    assert (tune(collection).write_concern, tune(collection).read_concern) == (MAJORITY, READ_LOCAL)


def test_in_memory_the_collection_is_tuned_already() -> None:
    """There are no concerns."""
    collection = MemoryCollection("y")
    assert tune(collection, write=MAJORITY) is collection


async def test_awareness_is_the_clients() -> None:
    """A tz_aware client returns aware datetimes."""
    assert is_tz_aware(real(AsyncMongoClient, tz_aware=True)) is True
    assert is_tz_aware(real(AsyncMongoClient)) is False
    assert is_tz_aware(MemoryCollection("y")) is False


async def test_awaited_takes_a_value_or_an_awaitable() -> None:
    """One driver returns it directly, the other as an awaitable."""
    assert await await_if_needed(5) == 5
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    future.set_result(5)
    assert await await_if_needed(future) == 5


@pytest.mark.parametrize(
    ("details", "taken"),
    [
        (None, True),
        ({}, True),
        ({"keyPattern": {"_id": 1}}, True),
        ({"keyPattern": {"email": 1}}, False),
        ({"keyPattern": {"_id": 1, "x": 1}}, False),
        ({"errmsg": "E11000 duplicate key error collection: x.y index: _id_ dup key: { _id: 1 }"}, True),
        ({"errmsg": "E11000 duplicate key error collection: x.y index: email_1 dup key: { email: 1 }"}, False),
        ({"errmsg": "E11000 Duplicate Key Error, full error: {'keyPattern': {'email': 1}}"}, False),
        ({"errmsg": "E11000 Duplicate Key Error"}, True),
    ],
    ids=repr,
)
def test_a_taken_id_is_told_from_another_unique_index(details: Any, taken: bool) -> None:
    """By the pattern where there is one, else by the text."""
    assert is_id_taken(DuplicateKeyError("E11000", 11000, details)) is taken
    assert is_id_taken_in(details or {}) is taken


def test_refusals_are_those_that_repeating_does_not_cure() -> None:
    """Unique index, validator, size: for good; a step down or a lost connection: not."""
    assert all(is_refused(WriteError("x", code)) for code in (11000, 121, 171, 15, 16755, 17419, 31999))
    passing = (None, 91, 189, 10107, 11600, 11602, 50, 112, 262, 8000, 13, 14031)
    assert not any(is_refused(WriteError("x", code)) for code in passing)
    assert not is_refused(WriteError("x", 31999, {"errorLabels": ["RetryableWriteError"]}))
    assert not any(is_refused(OperationFailure("x", code)) for code in (121, 13, 2, 26))
    assert is_refused(RecursionError())
    assert is_too_large(DocumentTooLarge("x"))
    assert is_too_large(OperationFailure("x", 10334))
    assert not is_too_large(OperationFailure("x", 11000))


def test_an_error_that_is_no_outcome_is_raised() -> None:
    """What a put raises is lost, refused, or everybody's concern."""
    assert judge_put(DuplicateKeyError("E11000", 11000, {"keyPattern": {"_id": 1}})) is Put.LOST
    assert judge_put(DuplicateKeyError("E11000", 11000, {"keyPattern": {"x": 1}})) is Put.REFUSED
    with pytest.raises(WriteError, match="quota"):
        judge_put(WriteError("quota", 8000))


def test_a_refusal_is_told_without_contents() -> None:
    """The fields of the index, the validator, or the server's code."""
    duplicate = DuplicateKeyError("E11000 dup key: { email: 'secret' }", 11000, {"keyPattern": {"email": 1, "x": 1}})
    assert describe_refusal(duplicate) == "V2's unique index on email, x has another entity with the same values"
    assert "some field" in describe_refusal(DuplicateKeyError("secret", 11000))
    assert describe_refusal(WriteError("secret", 121)) == "V2's validator refuses the document"
    for error in (WriteError("secret", 17419), OperationFailure("secret", 10334), DocumentTooLarge("secret")):
        assert describe_refusal(error) == "V2's document is larger than MongoDB allows (16 MB)"
    inserted = WriteError("object to insert too large. size in bytes: 16777218", 2)
    assert describe_refusal(inserted) == "V2's document is larger than MongoDB allows (16 MB)"
    assert describe_refusal(WriteError("secret", 2)) == "V2 refuses the document (server error code 2)"
    for error in (WriteError("secret", 15), RecursionError("secret")):
        assert describe_refusal(error) == "V2's document is nested deeper than MongoDB allows"
    assert describe_refusal(WriteError("secret", 171)) == "V2 refuses the document (server error code 171)"
