"""The two shapes of one entity: what is asked of conversions, and how their failures are told."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from attrs import evolve

from lazymig import ConversionError
from lazymig.shapes.conversions import Conversions, conversions_for
from lazymig.stores.documents import parse_v1, parse_v2
from tests.people import PersonV1, PersonV2, ada, ada_v1, join, people, split

ADA = PersonV1(1, "Ada Lovelace", 36, ["math"])


def of(**changed: Any) -> Conversions[PersonV1, PersonV2]:
    """The conversions of a migration."""
    return conversions_for(people(**changed), v1_aware=False, v2_aware=False)


def v2_document(**meta: Any) -> dict[str, Any]:
    """Ada as a V2 document with a note."""
    body = {"first": "Ada", "last": "Lovelace", "age": 36, "tags": ["math"], "note": "n"}
    return {"_id": 1, **body, "_lazymig": {"rev": 1, "intent": 1} | meta}


async def split_later(v1: PersonV1, previous: PersonV2 | None) -> PersonV2:
    """An async conversion of two arguments."""
    await asyncio.sleep(0)
    return split(v1, previous)


async def join_later(v2: PersonV2) -> PersonV1:
    """An async conversion of one argument."""
    await asyncio.sleep(0)
    return join(v2)


async def test_plain_and_async_conversions_do_the_same() -> None:
    """One argument or two, async or not."""
    for conversions in (of(), of(upgrade=split_later, downgrade=join_later)):
        assert await conversions.upgrade(ADA, ada(note="kept")) == ada(note="kept")
        assert await conversions.upgraded(parse_v1(ada_v1()), parse_v2(v2_document())) == ada(note="n")
        assert await conversions.downgrade(ada(), None) == ADA


async def test_the_second_argument_is_left_out_where_it_is_not_taken() -> None:
    """`f(v1)` is called with the entity alone."""
    assert await of(upgrade=lambda v1: split(v1)).upgrade(ADA, ada(note="lost")) == ada()


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (v2_document(), "n"),
        (v2_document(rev=-1, gone=True), None),
        (None, None),
    ],
    ids=["a body", "gone", "absent"],
)
async def test_the_previous_entity_is_a_hint(document: Any, expected: str | None) -> None:
    """V2's last body whatever its revision; none where it is gone."""
    seen = None if document is None else parse_v2(document)
    assert (await of().upgraded(parse_v1(ada_v1()), seen)).note == expected


@pytest.mark.parametrize(
    ("changed", "direction", "cause", "path"),
    [
        ({"upgrade": lambda v1: None}, "upgrade", "upgrade returned NoneType; return PersonV2", ""),
        ({"upgrade": lambda v1: v1}, "upgrade", "upgrade returned PersonV1; return PersonV2", ""),
        ({"upgrade": lambda v1: evolve(split(v1), id=2)}, "upgrade", "upgrade changed the id; keep it", "id"),
        ({"downgrade": lambda v2: v2}, "downgrade", "downgrade returned PersonV2; return PersonV1", ""),
        ({"downgrade": lambda v2: evolve(join(v2), id=2)}, "downgrade", "downgrade changed the id; keep it", "id"),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_a_conversion_must_return_the_other_class_with_the_same_id(
    changed: Any, direction: str, cause: str, path: str
) -> None:
    """`ConversionError`, whose cause says what to return."""
    conversions = of(**changed)
    with pytest.raises(ConversionError) as caught:
        await (conversions.upgrade(ADA, None) if direction == "upgrade" else conversions.downgrade(ada(), None))
    error = caught.value
    assert (error.id, error.direction, str(error.cause), error.path) == (1, direction, cause, path)


async def test_whatever_a_conversion_raises_is_the_cause() -> None:
    """Its exception is kept in a field, and neither chained nor quoted."""
    with pytest.raises(ConversionError) as caught:
        await of().upgrade(PersonV1(1, "Plato"), None)
    assert isinstance(caught.value.cause, ValueError)
    assert "Plato" in str(caught.value.cause)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


async def test_a_cancelled_conversion_is_cancelled() -> None:
    """Cancellation is no failure of the document."""

    async def cancelled(v1: PersonV1) -> PersonV2:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await of(upgrade=cancelled).upgrade(ADA, None)


def test_documents_that_do_not_decode_name_their_side() -> None:
    """Neither conversion has begun: the document of V1, or of V2, cannot be read."""
    with pytest.raises(ConversionError) as caught:
        of().v1_entity(parse_v1(ada_v1(name=5)))
    assert (caught.value.id, caught.value.direction, caught.value.path) == (1, "read", "name")
    assert str(caught.value).startswith("cannot read the V1 document with id 1 at field 'name'")
    with pytest.raises(ConversionError) as caught:
        of().v2_entity(parse_v2({**v2_document(), "tags": "x"}))
    assert (caught.value.id, caught.value.direction, caught.value.path) == (1, "read", "tags")
    assert str(caught.value).startswith("cannot read the V2 document with id 1 at field 'tags'")


def test_entities_that_bson_cannot_hold_are_refused() -> None:
    """Before anything is announced; with the id as the entity has it."""
    with pytest.raises(ConversionError) as caught:
        of().v2_body(ada(age=2**64), "downgrade")
    assert (caught.value.id, caught.value.direction) == (1, "downgrade")
    with pytest.raises(ConversionError):
        of().v1_document(evolve(ADA, age=2**64))
    with pytest.raises(ConversionError):
        of().v2_document(1, ada(age=2**64), 0, "sweep")


def test_what_is_compared_is_read_back_and_what_is_not_is_valid_bson() -> None:
    """A list given as a tuple is stored, and read as another value: refused where it is compared, with its path."""
    lossy = ada(tags=("math",))
    for refused in (of().v2_body, lambda entity: of().v2_document(1, entity, 0, "sweep", compare=True)):
        with pytest.raises(ConversionError) as caught:
            refused(lossy)
        assert (caught.value.id, caught.value.path) == (1, "tags")
        assert "math" not in str(caught.value.cause)
    assert of().v2_document(1, lossy, 0, "sweep")[0]["tags"] == ["math"]


def test_a_lazy_migrations_document_is_encoded_once() -> None:
    """The document and the same as BSON; encoding it is the check."""
    import bson

    document, encoded = of().v2_document(1, ada(), 4, "sweep")
    assert document["_lazymig"] == {"rev": 4, "intent": 4, "by": "sweep"}
    assert bson.decode(encoded) == document
