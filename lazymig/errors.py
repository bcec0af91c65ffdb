"""One tree of errors.

A class docstring is the default message, so text and documentation cannot drift apart. Every error carries typed
fields and says what to do. None of them ever holds the contents of a document: an id and a field path at most.
"""

from __future__ import annotations

from typing import Any, Literal

Direction = Literal["upgrade", "downgrade"]


class LazymigError(Exception):
    """Something went wrong in lazymig."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (self.__doc__ or "").split("\n", 1)[0])


class ConfigurationError(LazymigError, ValueError):
    """The configuration cannot work; the message says what to change."""


class PhaseError(LazymigError):
    """This is not allowed in the present phase of the migration."""


class NotFound(LazymigError, LookupError):
    """No such entity."""

    def __init__(self, id: Any) -> None:
        super().__init__(f"no entity with id {id!r}; insert it first, or use get(), which answers None")
        self.id = id

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.id,)


class AlreadyExists(LazymigError, ValueError):
    """An entity with this id exists."""

    def __init__(self, id: Any) -> None:
        super().__init__(f"an entity with id {id!r} exists; use update() or replace() to change it")
        self.id = id

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.id,)


class Contention(LazymigError):
    """Other writers won every attempt; nothing of this write was stored."""

    def __init__(self, id: Any, attempts: int) -> None:
        super().__init__(
            f"the write on {id!r} lost {attempts} attempts in a row to other writers and stored nothing; "
            "try again later, or raise max_attempts"
        )
        self.id = id
        self.attempts = attempts

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.id, self.attempts)


class ConversionError(LazymigError, ValueError):
    """A document or entity cannot be converted.

    Attributes: `id`, `direction` ("upgrade" for V1 to V2, "downgrade" for V2 to V1), `path` (the field, "" when
    unknown), and `cause`, the original exception. The cause is a field and not `__cause__` on purpose: its text may
    quote the document, and a logged traceback would print it.
    """

    def __init__(self, id: Any, direction: Direction, cause: BaseException, path: str = "") -> None:
        where = f" at field {path!r}" if path else ""
        super().__init__(
            f"cannot {direction} the entity with id {id!r}{where}: {type(cause).__name__} "
            "(see .cause); mend the document or the conversion. V1 is untouched"
        )
        self.id = id
        self.direction = direction
        self.cause = cause
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.id, self.direction, self.cause, self.path)


class ForeignDocument(ConversionError, ConfigurationError):
    """V2 holds a document that lazymig did not store: nothing tells whether it is what V1 holds."""

    def __init__(self, id: Any) -> None:
        super().__init__(id, "downgrade", ValueError("no valid _lazymig"), "_lazymig")
        self.args = (
            f"V2's document with id {id!r} was not stored by lazymig: without a valid _lazymig, nothing tells whether "
            "it is what V1 holds; lazymig sweep --adopt replaces such documents by what V1 holds",
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.id,)
