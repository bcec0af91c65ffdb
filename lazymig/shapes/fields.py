"""The description of one field of an entity class, whatever library made the class."""

from __future__ import annotations

from typing import Any

from attrs import NOTHING, field, frozen

#: The metadata key for a field's stored name.
STORED_NAME = "stored_name"


@frozen(kw_only=True)
class Field:
    """The declaration of one field of a class."""

    name: str
    #: As annotated; `Any` where there is no annotation.
    type: Any
    #: The name of the constructor's argument.
    argument: str
    #: The name under which a cattrs converter with `use_alias` stores it.
    alias: str | None = None
    #: `NOTHING`, a value, or an attrs `Factory`.
    default: Any = field(factory=lambda: NOTHING)
    #: Whether the constructor takes the field.
    init: bool = True
    #: Whether documents contain the field.
    stored: bool = True
    #: The stored name that the class declares; None if it declares none.
    declared_name: str | None = None
    #: Whether `declared_name` is an alias, which may have been meant for other purposes.
    aliased: bool = False
    #: The reason why the stored name is unknown; "" if it is known.
    ambiguity: str = ""
    #: Whether the class compares its instances by the field, and the function of the value that it compares.
    eq: bool = True
    eq_key: Any = None

    @property
    def required(self) -> bool:
        """Whether every document must have the field."""
        return self.default is NOTHING


class Undeclarable(TypeError):
    """An error for a class whose declaration cannot be stored. The message says what to declare instead."""


class Rejected(ValueError):
    """An error for a stored value that a class refuses. `path` is the field; the text contains no document contents."""

    #: A `ConversionError` shows the text of such a cause.
    without_contents = True

    def __init__(self, text: str, path: str = "") -> None:
        super().__init__(text)
        self.path = path
