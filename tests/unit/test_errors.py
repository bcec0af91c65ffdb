"""One tree of errors: what each says, carries, and keeps when pickled."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from lazymig import (
    AlreadyExists,
    ConfigurationError,
    Contention,
    ConversionError,
    LazymigError,
    NotFound,
    NotYet,
    PhaseError,
)

EVERY: list[tuple[LazymigError, dict[str, Any], tuple[type[Exception], ...]]] = [
    (NotFound(7), {"id": 7}, (LookupError,)),
    (AlreadyExists("x"), {"id": "x"}, (ValueError,)),
    (Contention(7, 32), {"id": 7, "attempts": 32}, ()),
    (
        ConversionError(7, "upgrade", KeyError("secret"), "a.b"),
        {"id": 7, "direction": "upgrade", "path": "a.b"},
        (ValueError,),
    ),
    (ConversionError(7, "upgrade", NotYet("no address")), {"id": 7, "direction": "upgrade"}, (ValueError,)),
    (NotYet("no address"), {"reason": "no address"}, ()),
    (PhaseError(), {}, ()),
    (ConfigurationError("change this"), {}, (ValueError,)),
]


@pytest.mark.parametrize(("error", "fields", "kin"), EVERY, ids=lambda value: type(value).__name__)
def test_an_error_is_one_of_the_tree_and_carries_its_fields(error: Any, fields: Any, kin: Any) -> None:
    """Each derives from `LazymigError`, and from the builtin whose handlers should catch it."""
    assert isinstance(error, LazymigError)
    assert all(isinstance(error, other) for other in kin)
    assert {name: getattr(error, name) for name in fields} == fields


@pytest.mark.parametrize("error", [error for error, _, _ in EVERY], ids=lambda error: type(error).__name__)
def test_an_error_survives_pickling(error: Any) -> None:
    """As it must, to come back from a worker process: same class, text and fields."""
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    fields = {name: value for name, value in vars(error).items() if name != "cause"}
    assert {name: vars(again)[name] for name in fields} == fields
    assert repr(getattr(again, "cause", None)) == repr(getattr(error, "cause", None))


def test_the_class_docstring_is_the_default_message() -> None:
    """Text and documentation cannot drift apart."""
    assert str(PhaseError()) == "The current phase of the migration does not allow this."
    assert str(LazymigError()) == "Something went wrong in lazymig."


def test_a_subclass_without_a_docstring_still_has_a_text() -> None:
    """Empty, rather than the text of another class or an error."""

    class Nameless(LazymigError):
        pass

    assert str(Nameless("given")) == "given"
    assert str(Nameless()) == ""


def test_messages_say_what_to_do() -> None:
    """The remedy stands in the text."""
    assert "insert it first" in str(NotFound(1))
    assert "update() or replace()" in str(AlreadyExists(1))
    assert "raise max_attempts" in str(Contention(1, 3))
    assert "lost 3 attempts" in str(Contention(1, 3))
    assert "correct the document or the conversion" in str(ConversionError(1, "upgrade", KeyError()))


def test_a_conversion_error_does_not_quote_its_cause() -> None:
    """The cause is a field and not `__cause__`: its text may quote the document, and a logged traceback would too."""
    error = ConversionError(1, "downgrade", ValueError("secret"), "name")
    assert str(error) == (
        "cannot downgrade the entity with id 1 at field 'name': ValueError (see .cause); "
        "correct the document or the conversion. V1 is untouched"
    )
    assert str(error.cause) == "secret"
    assert error.__cause__ is None
    assert "secret" not in repr(error)
    assert "field" not in str(ConversionError(1, "downgrade", ValueError("secret")))


def test_an_entity_that_waits_says_what_to_do() -> None:
    """The message names the entity, what it waits for and the call that moves it; on the way back it is any failure."""
    waits = ConversionError(7, "upgrade", NotYet("no address"))
    assert str(waits).startswith(
        "the entity with id 7 waits for its user: no address; pass its V2 entity to Repository.supply()"
    )
    assert "downgrade the entity" in str(ConversionError(7, "downgrade", NotYet("no address")))
