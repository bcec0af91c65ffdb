"""Values of every type pass the server's conversion as they pass Python's."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import attrs
from bson.raw_bson import RawBSONDocument
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import Phase as Step
from hypothesis import strategies as st

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
