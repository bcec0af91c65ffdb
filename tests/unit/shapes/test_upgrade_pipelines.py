"""The aggregation of a migration is checked when it is declared, and nothing changes it afterwards."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

import pytest
from attrs import evolve
from bson import Binary
from mongomock_motor import AsyncMongoMockClient

from lazymig import ConfigurationError, Migration, Phase, Repository, upcasters
from lazymig.shapes.upgrade_pipelines import STAGES
from tests.server_side import PIPELINE, server_things
from tests.sweeps import ThingV1, ThingV2, renamed


def declared(*stages: Any, **changed: Any) -> Migration[ThingV1, ThingV2]:
    """A migration with these stages."""
    return server_things(**{"upgrade_pipeline": list(stages)} | changed)


@pytest.mark.parametrize(
    "stage",
    [
        {"$match": {"n": {"$gte": 0}, "$expr": {"$eq": ["$n", {"$literal": "$$NOW"}]}}},
        {"$set": {"a.b": {"$add": ["$n", 1]}}},
        {"$addFields": {"a": {"$literal": {"$rand": {}}}}},
        {"$unset": ["n", "a.b"]},
        {"$unset": "n"},
        {"$project": {"_id": 1, "n": 1}},
        {"$project": {"n": 0}},
        {"$replaceWith": {"_id": "$n", "count": "$n"}},
        {"$replaceRoot": {"newRoot": "$n"}},
    ],
    ids=str,
)
def test_stages_of_one_document_are_taken(stage: dict[str, Any]) -> None:
    """Each allowed stage is kept as it was given."""
    assert next(iter(stage)) in STAGES
    (kept,) = declared(stage).upgrade_pipeline
    assert thawed(kept) == stage


def thawed(value: Any) -> Any:
    """A frozen value as the plain one that it was made of."""
    if isinstance(value, str | bytes) or not hasattr(value, "__iter__"):
        return value
    return {n: thawed(v) for n, v in value.items()} if hasattr(value, "items") else [thawed(v) for v in value]


@pytest.mark.parametrize(
    ("stage", "why"),
    [
        ({"$out": "x"}, "$out writes"),
        ({"$merge": {"into": "x"}}, "$merge writes"),
        ({"$lookup": {"from": "x"}}, "$lookup reads other documents"),
        ({"$graphLookup": {}}, "$graphLookup reads other documents"),
        ({"$unionWith": "x"}, "$unionWith reads other documents"),
        ({"$unwind": "$tags"}, "$unwind makes other documents"),
        ({"$group": {"_id": "$n"}}, "$group puts documents together"),
        ({"$facet": {}}, "$facet puts documents together"),
        ({"$setWindowFields": {}}, "$setWindowFields puts documents together"),
        ({"$sort": {"n": 1}}, "$sort depends on which documents are read together"),
        ({"$limit": 5}, "$limit depends"),
        ({"$sample": {"size": 5}}, "$sample depends"),
        ({"$redact": "$$KEEP"}, "$redact is no stage that changes one document by itself"),
        ({"$set": {"at": "$$NOW"}}, "$$NOW differs from time to time"),
        ({"$set": {"at": ["$$NOW.x"]}}, "$$NOW.x differs from time to time"),
        ({"$set": {"at": {"$add": [1, {"$rand": {}}]}}}, "$rand may differ"),
        ({"$match": {"$sampleRate": 0.5}}, "$sampleRate may differ"),
        ({"$set": {"a": {"$function": {"body": "f", "args": [], "lang": "js"}}}}, "$function may differ"),
        ({"$set": {"_id": 1}}, "$set changes _id"),
        ({"$unset": "_id"}, "$unset changes _id"),
        ({"$project": {"_id": 0, "n": 1}}, "$project changes _id"),
        ({"$project": {"_id": "$n"}}, "$project changes _id"),
        ({"$set": {"_id.x": 1}}, "$set changes _id"),
        ({"$set": {"_lazymig": 1}}, "$set changes _lazymig;"),
        ({"$unset": ["n", "_lazymig_rev"]}, "$unset changes _lazymig_rev"),
        ({"$addFields": {"_lazymig.rev": 1}}, "$addFields changes _lazymig;"),
        ({"$project": {"_lazymig_carried": 0}}, "$project changes _lazymig_carried"),
        ({"$set": {"a": 1}, "$unset": "b"}, "has 2 names"),
        ({}, "has 0 names"),
    ],
    ids=str,
)
def test_other_stages_are_refused(stage: dict[str, Any], why: str) -> None:
    """What could write, read elsewhere, mix documents or differ each time is refused with its place and the reason."""
    with pytest.raises(ConfigurationError, match=f"^upgrade_pipeline: stage 2:? {re.escape(why)}"):
        declared({"$set": {"n": 1}}, stage)


@pytest.mark.parametrize("given", ["$set", {"$set": {}}, [[]], ["$set"], None, 5], ids=str)
def test_what_is_no_list_of_stages_is_refused(given: Any) -> None:
    """The message shows what to pass."""
    with pytest.raises(ConfigurationError, match=r"^upgrade_pipeline: pass a list of stages, such as "):
        server_things(upgrade_pipeline=given)


@pytest.mark.parametrize("value", [object(), 2**70, "\ud800"], ids=["object", "large", "surrogate"])
def test_values_that_bson_cannot_hold_are_refused(value: Any) -> None:
    """They are refused when the migration is declared, and not by the first statement."""
    with pytest.raises(ConfigurationError, match=r"^upgrade_pipeline: BSON cannot hold it"):
        declared({"$set": {"a": value}})


def test_nothing_changes_it_afterwards() -> None:
    """The migration keeps a copy, of which nothing can be changed, and which other migrations may be made of."""
    given = [{"$set": {"a": {"$concatArrays": [["x"], "$tags"]}}}]
    migration = declared(*given)
    given[0]["$set"]["a"] = 1  # type: ignore[assignment]
    kept: Any = migration.upgrade_pipeline
    assert thawed(kept) == [{"$set": {"a": {"$concatArrays": [["x"], "$tags"]}}}]
    with pytest.raises(TypeError):
        kept[0]["$set"]["a"] = 1
    with pytest.raises(AttributeError):
        kept[0]["$set"]["a"]["$concatArrays"].append(1)
    assert evolve(migration, name="other").upgrade_pipeline == kept


def test_uuids_are_stored_as_v2_stores_them() -> None:
    """A native UUID among the stages is the standard binary, whatever the client's options."""
    (stage,) = declared({"$set": {"a": UUID(int=5)}}).upgrade_pipeline
    assert thawed(stage) == {"$set": {"a": Binary.from_uuid(UUID(int=5))}}


def test_conversions_that_need_more_than_the_document_are_refused() -> None:
    """A previous V2 entity, upcasters and parts cannot be had by an aggregation over V1's documents."""
    with pytest.raises(ConfigurationError, match=r"^upgrade_pipeline: upgrade takes the previous V2 entity"):
        declared(*PIPELINE, upgrade=renamed)
    with pytest.raises(ConfigurationError, match=r"^upgrade_pipeline: upcasters bring V1's documents up in Python"):
        declared(*PIPELINE, upcasters=upcasters({1: lambda old: old}))
    with pytest.raises(ConfigurationError, match=r"^upgrade_pipeline: with part=True"):
        declared(*PIPELINE, part=True)
    declared(upgrade=renamed)  # without stages there is nothing to refuse


def test_one_document_is_refused() -> None:
    """Where one document carries both shapes, the message says why no aggregation can fill it."""
    with pytest.raises(ConfigurationError, match=r"^upgrade_pipeline: that is for two collections"):
        Repository.in_place(server_things(), AsyncMongoMockClient()["db"]["c"], phase=Phase.COEXIST)


def test_the_way_back_has_none() -> None:
    """An aggregation to V2 does not lead back to V1."""
    assert server_things().reversed("back").upgrade_pipeline == ()
