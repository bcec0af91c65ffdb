"""One field of an entity class, whichever library made the class."""

from __future__ import annotations

from typing import Any

from attrs import NOTHING, field, frozen

#: The key of a field's metadata that says under which name it is stored.
STORED_NAME = "stored_name"


@frozen(kw_only=True)
class Field:
    """What a class declares of one of its fields."""

    name: str
    #: As annotated; `Any` where there is no annotation.
    type: Any
    #: The constructor's argument.
    argument: str
    #: The name under which a cattrs converter stores it that goes by aliases.
    alias: str | None = None
    #: `NOTHING`, a value, or an attrs `Factory`.
    default: Any = field(factory=lambda: NOTHING)
    #: Whether the constructor takes it.
    init: bool = True
    #: Whether it is a part of documents.
    stored: bool = True
    #: The name that the class gives it in documents; None: its own.
    declared_name: str | None = None
    #: Whether that is an alias, which may have been meant for other purposes.
    aliased: bool = False
    #: Why that name cannot be known.
    ambiguity: str = ""
    #: Whether the class compares its instances by it, and by what of it.
    eq: bool = True
    eq_key: Any = None

    @property
    def required(self) -> bool:
        """Whether a document must have it."""
        return self.default is NOTHING


class Undeclarable(TypeError):
    """A class is declared in a way that cannot be stored; the message says what to declare instead."""


class Rejected(ValueError):
    """A class does not take what is stored as it is stored. `path` is the field; the text holds no contents."""

    #: A `ConversionError` shows the text of such a cause.
    without_contents = True

    def __init__(self, text: str, path: str = "") -> None:
        super().__init__(text)
        self.path = path
