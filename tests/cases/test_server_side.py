"""Values of every type pass the server's conversion as they pass Python's."""

from __future__ import annotations

import datetime as dt
from contextlib import suppress
from typing import Any

import attrs
from bson import ObjectId
from bson.raw_bson import RawBSONDocument
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import Phase as Step
from hypothesis import strategies as st

from examples.customers import load_documents
from lazymig import ConversionError, Migration, Phase, Repository, Sweeper
from lazymig.repository import calls_of
from tests.cases.drawing import LEAVES
from tests.widening import WIDENING

#: Each type alone, in an array and as the values of a map.
KINDS = [kind for leaf, _ in LEAVES for kind in (leaf, list[leaf], dict[str, leaf])]  # type: ignore[valid-type]
VALUES = [
    drawn
    for _, leaf in LEAVES
    for drawn in (leaf, st.lists(leaf, max_size=2), st.dictionaries(st.sampled_from("ab"), leaf, max_size=2))
]
PLACES = range(len(KINDS))


def declare(prefix: str) -> type:
    """A class with a field of each kind."""
    made = attrs.make_class(
        prefix, {"id": attrs.field(), **{f"{prefix}{n}": attrs.field() for n in PLACES}}, frozen=True
    )
    made.__annotations__ = {"id": int, **{f"{prefix}{place}": KINDS[place] for place in PLACES}}
    for field in attrs.fields(made):
        object.__setattr__(field, "type", made.__annotations__[field.name])
    return made


V1, V2 = declare("f"), declare("g")


def renamed(entity: Any, cls: type) -> Any:
    """The same values under the other class's names."""
    return cls(*attrs.astuple(entity, recurse=False))


MIGRATION: Any = Migration(
    name="kinds",
    v1=V1,
    v2=V2,
    upgrade=lambda v1: renamed(v1, V2),
    downgrade=lambda v2: renamed(v2, V1),
    upgrade_pipeline=[{"$replaceWith": {f"g{place}": f"$f{place}" for place in PLACES}}],
)


async def raw(collection: Any) -> list[bytes]:
    """The documents as bytes, by id."""
    options = collection.codec_options.with_options(document_class=RawBSONDocument)
    return [one.raw for one in await collection.with_options(options).find({}).sort("_id", 1).to_list(None)]


async def swept(database: Any, migration: Any) -> tuple[Any, list[bytes]]:
    """The report of a sweep into an empty V2, and what V2 holds then."""
    await database["v2"].delete_many({})
    await database["lazymig_control"].delete_many({})
    repo = Repository(migration, v1=database["v1"], v2=database["v2"], phase=Phase.COEXIST)
    return await Sweeper(repo).run(), await raw(database["v2"])


@settings(
    max_examples=60 if WIDENING.full else 4,
    deadline=None,
    phases=[Step.explicit, Step.reuse, Step.generate],  # an example takes too long to be made smaller
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(drawn=st.lists(st.tuples(*VALUES), min_size=1, max_size=3))
async def test_values_of_every_type(server_database: Any, drawn: list[tuple[Any, ...]]) -> None:
    """Whatever V1 stores of the types that a class may declare, the server moves it as Python does, byte for byte."""
    await server_database["v1"].delete_many({})
    repo = Repository(MIGRATION, v1=server_database["v1"], v2=server_database["v2"], phase=Phase.COEXIST)
    encode = calls_of(repo).conversions.v1_document
    documents = []
    for place, values in enumerate(drawn):
        with suppress(ConversionError):  # a few values fit their type and are refused, because BSON changes them
            documents.append({"_id": place, **encode(V1(place, *values))})
    assume(documents)
    await server_database["v1"].insert_many(documents)
    print(len(documents), "of", len(drawn))
    report, by_server = await swept(server_database, MIGRATION)
    assert (report.on_server, report.migrated) == (len(documents), len(documents))
    assert by_server == (await swept(server_database, attrs.evolve(MIGRATION, upgrade_pipeline=())))[1]


@attrs.frozen
class TierV1:
    """A value of the map; its own id is the key as well."""

    id: str
    tier: str
    active: bool
    benefits: list[str]


@attrs.frozen
class RealV1:
    """A customer as MongoDB's sample data has it."""

    id: ObjectId
    username: str
    name: str
    address: str
    birthdate: dt.datetime
    email: str
    accounts: list[int]
    tier_and_details: dict[str, TierV1]
    active: bool | None = None


@attrs.frozen
class TierV2:
    """An element of the array."""

    id: str
    level: str
    benefits: list[str]
    active: bool = True


@attrs.frozen
class RealV2:
    """The name and the address in parts, the birthday as a date, the map as an array."""

    id: ObjectId
    username: str
    first: str
    last: str
    lines: list[str]
    born: dt.date
    contact: dict[str, str]
    accounts: list[int]
    tiers: list[TierV2]
    active: bool


def upgrade_real(v1: RealV1) -> RealV2:
    """Names of more than two words are left to the first one and the rest."""
    first, last = v1.name.split(" ", 1)
    tiers = [TierV2(one.id, one.tier.upper(), one.benefits, one.active) for one in v1.tier_and_details.values()]
    return RealV2(
        v1.id, v1.username, first, last, v1.address.split("\n"), v1.birthdate.date(), {"email": v1.email}, v1.accounts,
        tiers, v1.active is not False,
    )  # fmt: skip


def downgrade_real(v2: RealV2) -> RealV1:
    """What the array and the parts say, without the time of birth."""
    tiers = {one.id: TierV1(one.id, one.level.capitalize(), one.active, one.benefits) for one in v2.tiers}
    born = dt.datetime.combine(v2.born, dt.time())
    name, address = f"{v2.first} {v2.last}", "\n".join(v2.lines)
    return RealV1(v2.id, v2.username, name, address, born, v2.contact["email"], v2.accounts, tiers, v2.active)


WORDS: Any = {"$split": ["$name", " "]}
TIER: Any = {
    "id": "$$this.v.id",
    "level": {"$toUpper": "$$this.v.tier"},
    "benefits": "$$this.v.benefits",
    "active": "$$this.v.active",
}
REAL: Any = Migration(
    name="real",
    v1=RealV1,
    v2=RealV2,
    upgrade=upgrade_real,
    downgrade=downgrade_real,
    upgrade_pipeline=[
        {"$match": {"$expr": {"$eq": [{"$size": WORDS}, 2]}}},
        {
            "$set": {
                "first": {"$arrayElemAt": [WORDS, 0]},
                "last": {"$arrayElemAt": [WORDS, 1]},
                "lines": {"$split": ["$address", "\n"]},
                "born": {"$dateTrunc": {"date": "$birthdate", "unit": "day"}},
                "contact": {"email": "$email"},
                "tiers": {"$map": {"input": {"$objectToArray": "$tier_and_details"}, "in": TIER}},
                "active": {"$ne": ["$active", False]},
            }
        },
        {"$unset": ["name", "address", "birthdate", "email", "tier_and_details"]},
    ],
)


async def test_real_customers(server_database: Any) -> None:
    """Of 500 customers the server converts those with a name of two words, and V2 holds what Python stores."""
    documents = load_documents()
    await server_database["v1"].insert_many(documents)
    repo = Repository(REAL, v1=server_database["v1"], v2=server_database["v2"], phase=Phase.COEXIST)
    rehearsed = await Sweeper(repo, dry_run=True).run()
    report, _ = await swept(server_database, REAL)
    short = sum(len(one["name"].split(" ")) == 2 for one in documents)
    assert (rehearsed.on_server, report.on_server, report.migrated) == (short, short, len(documents)) != (0, 0, 0)
    by_server = await server_database["v2"].find({}).sort("_id", 1).to_list(None)
    await swept(server_database, attrs.evolve(REAL, upgrade_pipeline=()))
    assert await server_database["v2"].find({}).sort("_id", 1).to_list(None) == by_server
