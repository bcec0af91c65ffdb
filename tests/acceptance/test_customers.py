"""The example on real input: 500 customers, their migration and the invented ones."""

from __future__ import annotations

import datetime as dt
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import bson
import pytest
from attrs import evolve
from bson import ObjectId
from hypothesis import given
from hypothesis import strategies as st

from lazymig import ConversionError, Phase, Repository
from lazymig.shapes.codec import codec_for

# Last on the path: the example comes from the checkout, lazymig from wherever it is installed.
sys.path.append(str(Path(__file__).parents[2]))

from examples.customers import (
    CustomerV1,
    CustomerV2,
    Level,
    MilitaryAddress,
    Name,
    PostOffice,
    Region,
    StreetAddress,
    downgrade,
    load_documents,
    migration,
    new_customer,
    upgrade,
)
from examples.customers.conversions import parse_address, parse_name
from examples.customers.texts import format_address, format_name
from examples.customers.v1 import USUAL_KEY_ORDER

V1 = codec_for(CustomerV1, "id", migration.v1_converter, tz_aware=False)
V2 = codec_for(CustomerV2, "id", migration.v2_converter, tz_aware=False)
DOCUMENTS = load_documents()
UPGRADED = [upgrade(V1.decode(document)) for document in DOCUMENTS]


def stored(codec: Any, entity: Any) -> dict[str, Any]:
    """The entity's document as a client reads it back from BSON."""
    return bson.decode(bson.encode({"_id": codec.id_of(entity), **codec.encode(entity)}))


def document_with(**changes: Any) -> dict[str, Any]:
    return {**DOCUMENTS[0], **changes}


# The 500


def test_every_document_survives_both_conversions_and_both_codecs() -> None:
    """V1 document → V1 → V2 → V2 document → V2 → V1 → V1 document gives all 500 back byte for byte."""
    assert len(DOCUMENTS) == 500
    for document, v2 in zip(DOCUMENTS, UPGRADED, strict=True):
        read_back = V2.decode(stored(V2, v2))
        again = {"_id": read_back.id, **V1.encode(downgrade(read_back))}
        assert bson.encode(again) == bson.encode(document)


def test_every_entity_survives_a_trip_through_v1() -> None:
    """What V2 alone knows comes back from the previous entity, for all 500."""
    for v2 in UPGRADED:
        richer = evolve(v2, loyalty_points=7)
        assert upgrade(downgrade(richer), richer) == richer


def test_the_documents_are_as_a_default_client_reads_them() -> None:
    """Naive datetimes, plain ints that BSON stores in 32 bits, and ObjectIds: what the driver gives and takes."""
    for document in DOCUMENTS:
        assert bson.decode(bson.encode(document)) == document
        assert type(document["_id"]) is ObjectId
        assert document["birthdate"].tzinfo is None
        assert {type(account) for account in document["accounts"]} == {int}
        assert {bson.encode({"": account})[4] for account in document["accounts"]} == {0x10}


def test_military_and_street_addresses() -> None:
    """62 customers have a military address, of all three post offices and regions; the rest live in a street."""
    military = [v2.address for v2 in UPGRADED if isinstance(v2.address, MilitaryAddress)]
    assert len(military) == 62
    assert {address.office for address in military} == set(PostOffice)
    assert {address.region for address in military} == set(Region)
    assert sum(isinstance(v2.address, StreetAddress) for v2 in UPGRADED) == 438


def test_titles_and_suffixes() -> None:
    """24 names have a title, a suffix or both: 26 such parts in all."""
    names = [v2.name for v2 in UPGRADED]
    parts = Counter(part for name in names for part in (name.title, name.suffix) if part is not None)
    assert parts.total() == 26
    assert sum(name.title is not None or name.suffix is not None for name in names) == 24
    assert Name("Gloria", "Diaz", title="Dr.", suffix="DDS") in names
    assert Name("John", "Lee", suffix="III") in names


def test_one_document_states_active_and_one_tier_has_its_own_key_order() -> None:
    """The two oddities of the data are carried where they are, and nowhere else; all customers are active."""
    assert [v2.v1_states_active for v2 in UPGRADED].count(True) == 1
    assert all(v2.active for v2 in UPGRADED)
    orders = Counter(tuple(tier.v1_key_order or ()) for v2 in UPGRADED for tier in v2.tiers)
    assert orders == {(): 455, ("tier", "id", "active", "benefits"): 1}


def test_birthdates_keep_their_time_of_day() -> None:
    """The day and the milliseconds after it together are V1's moment."""
    for document, v2 in zip(DOCUMENTS, UPGRADED, strict=True):
        midnight = dt.datetime.combine(v2.born, dt.time())
        assert midnight + dt.timedelta(milliseconds=v2.born_at_ms) == document["birthdate"]
    assert any(v2.born_at_ms for v2 in UPGRADED)


# What V2 may change


def test_an_active_customer_is_deactivated_and_activated_again_without_a_trace() -> None:
    """`active: false` reaches V1, and activating again gives V1 its absent key back."""
    before = next(v2 for v2 in UPGRADED if not v2.v1_states_active)
    assert "active" not in V1.encode(downgrade(before))
    inactive = evolve(before, active=False)
    assert V1.encode(downgrade(inactive))["active"] is False
    by_way_of_v1 = upgrade(downgrade(inactive), inactive)
    assert by_way_of_v1 == inactive
    assert downgrade(evolve(by_way_of_v1, active=True)) == downgrade(before)


@pytest.mark.parametrize("active", [None, True, False])
@pytest.mark.parametrize("before", [None, True, False])
def test_what_v1_says_of_active_wins_over_the_previous_entity(active: bool | None, before: bool | None) -> None:
    """Whatever V2 knew, a V1 document's `active` or its absence comes back unchanged."""
    v1 = V1.decode(DOCUMENTS[0])
    previous = upgrade(evolve(v1, active=before))
    assert downgrade(upgrade(evolve(v1, active=active), previous)).active is active


def test_loyalty_points_are_v2s_alone() -> None:
    """V1's document has no trace of the points; they begin at 0 and follow the previous entity."""
    v2 = UPGRADED[0]
    assert v2.loyalty_points == 0
    assert downgrade(evolve(v2, loyalty_points=90)) == downgrade(v2)
    assert upgrade(downgrade(v2), evolve(v2, loyalty_points=90)).loyalty_points == 90


words = st.text(st.characters(exclude_characters=" ", codec="utf-8"), min_size=1)
lines = st.text(st.characters(exclude_characters="\n", codec="utf-8"), min_size=1)
zips = st.from_regex(r"[0-9]{5}", fullmatch=True)


@st.composite
def names(draw: st.DrawFn) -> Name:
    """Any name that can be built at all."""
    tricky = words | st.sampled_from(["Dr.", "Miss", "MD", "III"])
    parts = draw(tricky), " ".join(draw(st.lists(tricky, min_size=1, max_size=3)))
    title, suffix = draw(st.sampled_from([None, "Dr.", "Miss"])), draw(st.sampled_from([None, "MD", "III"]))
    try:
        return Name(*parts, title=title, suffix=suffix)
    except ValueError:
        return Name("Ada", "Brandt", title=title, suffix=suffix)


@given(names())
def test_every_possible_name_can_be_told_to_v1(name: Name) -> None:
    """A `Name` that can be built is read back from its V1 text as it was."""
    assert parse_name(format_name(name)) == name


@given(
    st.builds(StreetAddress, lines, lines, st.from_regex(r"[A-Z]{2}", fullmatch=True), zips)
    | st.builds(MilitaryAddress, lines, st.sampled_from(PostOffice), st.sampled_from(Region), zips)
)
def test_every_possible_address_can_be_told_to_v1(address: StreetAddress | MilitaryAddress) -> None:
    """An address that can be built is read back from its V1 text as it was, and as the same kind."""
    assert parse_address(format_address(address)) == address


@given(st.permutations(USUAL_KEY_ORDER))
def test_any_key_order_of_a_tier_comes_back(order: list[str]) -> None:
    """A tier whose four keys stand in any order is written back in that order."""
    details = {"tier": "Gold", "benefits": [], "active": True, "id": "x"}
    document = document_with(tier_and_details={"x": {key: details[key] for key in order}})
    again = stored(V1, downgrade(upgrade(V1.decode(document))))
    assert bson.encode(again) == bson.encode(document)


# Invented customers


def test_invented_customers_are_the_same_for_the_same_seed() -> None:
    """A seed gives one customer, always; different seeds give different ids, none of them taken by a real one."""
    invented = [new_customer(seed) for seed in range(300)]
    assert invented == [new_customer(seed) for seed in range(300)]
    assert len({v2.id for v2 in [*invented, *UPGRADED]}) == 800


def test_invented_customers_obey_the_same_laws() -> None:
    """They survive their own codec and a trip through V1, and show every kind that the real ones have."""
    invented = [new_customer(seed) for seed in range(300)]
    for v2 in invented:
        assert V2.decode(stored(V2, v2)) == v2
        v1 = V1.decode(stored(V1, downgrade(v2)))
        assert upgrade(v1, v2) == v2
    assert {type(v2.address) for v2 in invented} == {MilitaryAddress, StreetAddress}
    assert {v2.active for v2 in invented} == {True, False}
    assert {tier.level for v2 in invented for tier in v2.tiers} == set(Level)


# Through the repository


async def test_a_migrated_customer_is_stored_in_both_shapes(database: Any) -> None:
    """A read stores the V2 body; an update through V2 changes one V1 field and leaves the rest byte for byte."""
    document = next(d for d, v2 in zip(DOCUMENTS, UPGRADED, strict=True) if isinstance(v2.address, MilitaryAddress))
    await database["customers"].insert_one(dict(document))
    async with Repository(migration, v1=database["customers"], v2=database["v2"], phase=Phase.COEXIST) as repo:
        entity = await repo.get(document["_id"])
        assert entity == upgrade(V1.decode(document))
        await repo.update(document["_id"], lambda v2: evolve(v2, email="new@example.com", loyalty_points=5))
    v1_document = await database["customers"].find_one({"_id": document["_id"]})
    v2_document = await database["v2"].find_one({"_id": document["_id"]})
    v1_document.pop("_lazymig_rev")
    assert bson.encode(v1_document) == bson.encode({**document, "email": "new@example.com"})
    assert v2_document["address"]["kind"] == "military"
    assert v2_document["loyalty_points"] == 5


async def test_a_customer_that_does_not_convert_is_named_without_contents(database: Any) -> None:
    """The error tells the id and the reason; V1 stays as it is and V2 gets no body."""
    document = document_with(address="somewhere secret")
    await database["customers"].insert_one(dict(document))
    async with Repository(migration, v1=database["customers"], v2=database["v2"], phase=Phase.COEXIST) as repo:
        with pytest.raises(ConversionError) as caught:
            await repo.get(document["_id"])
    assert str(document["_id"]) in str(caught.value)
    assert "secret" not in str(caught.value)
    assert bson.encode(await database["customers"].find_one({})) == bson.encode(document)
    assert await database["v2"].find_one({"username": {"$exists": True}}) is None
