"""What the customers' conversions refuse, and that no refusal shows what it refuses."""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from lazymig.shapes.codec import codec_for

# Last on the path: the example comes from the checkout, lazymig from wherever it is installed.
sys.path.append(str(Path(__file__).parents[2]))

from examples.customers import (
    CustomerV1,
    Level,
    MilitaryAddress,
    Name,
    PostOffice,
    Region,
    StreetAddress,
    Tier,
    TierDetails,
    load_documents,
    migration,
    new_customer,
    upgrade,
)
from examples.customers.v1 import USUAL_KEY_ORDER

V1 = codec_for(CustomerV1, "id", migration.v1_converter, tz_aware=False)
DOCUMENT = load_documents()[0]
CUSTOMER = new_customer(0)


def document_with(**changes: Any) -> dict[str, Any]:
    return {**DOCUMENT, **changes}


@pytest.mark.parametrize(
    "name", ["", "Secret", "Dr. Secret", "Secret MD", "Dr.", "MD", "Secret  Agent", " Secret Agent"]
)
def test_a_name_without_first_and_last_is_refused(name: str) -> None:
    """The refusal is a ValueError that does not repeat the name."""
    with pytest.raises(ValueError, match=r"^name is not a first and a last name separated by single spaces$"):
        upgrade(V1.decode(document_with(name=name)))


@pytest.mark.parametrize(
    "address",
    ["", "Secret", "1 Secret\nTown", "1 Secret\nTown, XX 1234", "Unit 1\nAPO XX 12345", "1 Secret\nb\nTown, CO 12345"],
)
def test_an_address_of_unknown_form_is_refused(address: str) -> None:
    """The refusal is a ValueError that does not repeat the address."""
    with pytest.raises(ValueError, match=r"^address has neither of the known forms$"):
        upgrade(V1.decode(document_with(address=address)))


def test_a_tier_under_a_key_that_is_not_its_id_is_refused() -> None:
    """V2 has no place for a second id, so the document is refused and not repaired in silence."""
    v1 = V1.decode(document_with(tier_and_details={"x": {"tier": "Gold", "benefits": [], "active": True, "id": "y"}}))
    with pytest.raises(ValueError, match=r"whose key is not its id$"):
        upgrade(v1)


def test_a_tier_of_unknown_level_is_refused() -> None:
    """The refusal does not repeat the level."""
    v1 = V1.decode(document_with(tier_and_details={"x": {"tier": "Tin", "benefits": [], "active": True, "id": "x"}}))
    with pytest.raises(ValueError, match=r"of unknown level$"):
        upgrade(v1)


@pytest.mark.parametrize("change", ["fifth key", "missing key"])
def test_a_tier_with_other_keys_is_refused(change: str) -> None:
    """A key that V2 could not give back, or one that is not there, is refused when the document is read."""
    details = {"tier": "Gold", "benefits": [], "active": True, "id": "x"}
    if change == "fifth key":
        details["note"] = "?"
    else:
        del details["benefits"]
    with pytest.raises(ExceptionGroup, match=r"CustomerV1"):
        V1.decode(document_with(tier_and_details={"x": details}))


def test_a_birthdate_finer_than_mongodb_holds_is_refused() -> None:
    """Microseconds are refused and not cut off."""
    v1 = V1.decode(document_with(birthdate=dt.datetime(2000, 1, 1, 0, 0, 0, 1)))
    with pytest.raises(ValueError, match=r"^birthdate is finer than a millisecond"):
        upgrade(v1)


BUILDERS = {
    "two first words": lambda: Name("Secret Agent", "X"),
    "a title as first": lambda: Name("Miss", "Secret"),
    "a suffix in last": lambda: Name("Secret", "Agent MD"),
    "an unknown title": lambda: Name("A", "B", title="Secret"),
    "an empty last": lambda: Name("Secret", ""),
    "a line break in a city": lambda: StreetAddress("Secret", "Secret\nSecret", "CO", "12345"),
    "a state in full": lambda: StreetAddress("Secret", "X", "Secret", "12345"),
    "a zip with a letter": lambda: MilitaryAddress("X", PostOffice.ARMY, Region.EUROPE, "Secret"),
    "a key order that misses one": lambda: TierDetails("Gold", [], True, "Secret", key_order=("id",)),
    "the usual order as unusual": lambda: Tier("Secret", Level.GOLD, [], True, v1_key_order=list(USUAL_KEY_ORDER)),
    "a time of day after the day's end": lambda: evolve(CUSTOMER, born_at_ms=86_400_000),
    "two tiers of one id": lambda: evolve(CUSTOMER, tiers=[Tier("Secret", Level.GOLD, [], True)] * 2),
}


@pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS.keys())
def test_an_entity_that_v1_could_not_give_back_cannot_be_built(build: Any) -> None:
    """Each is a ValueError that does not show the value."""
    with pytest.raises(ValueError, match=r"\w") as caught:
        build()
    assert "Secret" not in str(caught.value)
