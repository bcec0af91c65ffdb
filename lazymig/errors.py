"""The exceptions, all derived from `LazymigError`.

The first line of a class docstring is the default message, so text and documentation cannot drift apart. Every message
says what to do. None contains anything of a document beyond an id and the path of a field.
"""

from __future__ import annotations

import os
from typing import Any, Literal

from lazymig.user_code import find_raising_line

#: "read": a stored document does not fit its class, before any conversion.
Direction = Literal["upgrade", "downgrade", "read"]
Side = Literal["", "V1", "V2"]
#: The environment variable that makes errors chain their causes, whose texts may quote documents.
SHOW_CAUSES = "LAZYMIG_SHOW_CAUSES"
_REASON_MAX = 500
#: How many differences a message shows.
_REASONS_MAX = 5


class LazymigError(Exception):
    """Something went wrong in lazymig.

    Args:
        message: What went wrong and what to do; the first line of the class docstring where it is left out.
    """

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (self.__doc__ or "").split("\n", 1)[0])


class ConfigurationError(LazymigError, ValueError):
    """The configuration cannot work; the message says what to change."""


class PhaseError(LazymigError):
    """The current phase of the migration does not allow this."""


class PassVanished(LazymigError):
    """A pass vanished from the control collection, so nothing shows what it did; run it again."""


class NotFound(LazymigError, LookupError):
    """No such entity; or no document that an entity could be inserted into.

    Attributes:
        id: The id that was asked for.
        part: Whether an insert found no document of V1 that the entity could be a part of (`Migration(part=True)`).
    """

    def __init__(self, id: Any, part: bool = False) -> None:
        text = f"no entity with id {id!r}; insert it first, or use get(), which answers None"
        if part:
            text = f"V1 has no document with id {id!r} that could hold these attributes; insert that document first"
        super().__init__(text)
        self.id = id
        self.part = part

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.id, self.part)


class AlreadyExists(LazymigError, ValueError):
    """An entity with this id exists.

    Attributes:
        id: The id of the entity that exists.
    """

    def __init__(self, id: Any) -> None:
        super().__init__(f"an entity with id {id!r} exists; use update() or replace() to change it")
        self.id = id

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.id,)


class Contention(LazymigError):
    """Other writers won every attempt; nothing of this write was stored.

    Attributes:
        id: The entity's id.
        attempts: How often the write was tried.
    """

    def __init__(self, id: Any, attempts: int) -> None:
        super().__init__(
            f"the write on {id!r} lost {attempts} attempts in a row to other writers and stored nothing; "
            "try again later, or raise max_attempts"
        )
        self.id = id
        self.attempts = attempts

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.id, self.attempts)


class NotYet(LazymigError):
    """The entity needs input that only its user can give.

    To be raised by `upgrade`. The entity stays in V1, where V1's door goes on serving it, and counts as waiting until
    `Repository.supply` or another write gives V2 its entity.

    Args:
        reason: What is needed, such as "no postal address". It is stored, shown by tools and part of error messages, so
            it must hold no contents of the document. At most 500 characters are kept.

    Attributes:
        reason: The reason.
    """

    def __init__(self, reason: str) -> None:
        # What UTF-8 cannot hold would fail the statement that stores it.
        self.reason = str(reason)[:_REASON_MAX].encode("utf-8", "replace").decode()
        super().__init__(self.reason)

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.reason,)


class ConversionError(LazymigError, ValueError):
    """A document or entity cannot be converted.

    Attributes:
        id: The entity's id.
        direction: "upgrade" for V1 to V2, "downgrade" for V2 to V1, and "read" for a stored document that does not
            fit its class.
        side: "V1" or "V2" where a stored document cannot be read, else "".
        path: The field, "" when unknown.
        line: The innermost line of the user's own code in the traceback, as `model.py:61 in upgrade`; "" when there is
            none.
        cause: The original exception; `NotYet` for an entity that waits for its user. It is a field and not
            `__cause__` because its text may quote the document, and a logged traceback would print it. Set
            `LAZYMIG_SHOW_CAUSES=1` in development to make it `__cause__` as well.
    """

    def __init__(
        self, id: Any, direction: Direction, cause: BaseException, path: str = "", line: str = "", side: Side = ""
    ) -> None:
        self.id = id
        self.direction = direction
        self.cause = cause
        self.path = path
        self.line = line or find_raising_line(cause)
        self.side = side
        super().__init__(self._text())
        if os.environ.get(SHOW_CAUSES, "").lower() not in {"", "0", "false"}:
            self.__cause__ = cause

    def _text(self) -> str:
        if isinstance(self.cause, NotYet) and self.direction == "upgrade":
            return (
                f"the entity with id {self.id!r} waits for its user: {self.cause.reason}; pass its V2 entity to "
                "Repository.supply() or replace(). Until then only V1's door serves it"
            )
        if self.direction == "read":
            what, remedy = f"read the {self.side or 'stored'} document", "correct the document, its class or converter"
        else:
            what, remedy = f"{self.direction} the entity", "correct the document or the conversion"
        where = f" at field {self.path!r}" if self.path else ""
        line = f" at {self.line}" if self.line else ""
        why = f"{type(self.cause).__name__}{line}{self._missing_key()}"
        if isinstance(self.cause, LazymigError):  # its text contains nothing of a document
            why = str(self.cause)
        elif getattr(type(self.cause), "without_contents", False) is True:  # nor does that of lazymig's own causes
            why = f"{self.cause}{line}"
        return f"cannot {what} with id {self.id!r}{where}: {why} (see .cause); {remedy}. V1 is untouched"

    def _missing_key(self) -> str:
        """Return what to do about an attribute that has no key, whose name comes from the class, not the document."""
        name = self.path.rpartition(".")[2]
        if self.direction != "read" or not isinstance(self.cause, KeyError) or self.cause.args != (name,):
            return ""
        return f", there is no key {name!r}: give the attribute a default, or map it to the name that is stored"

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.id, self.direction, self.cause, self.path, self.line, self.side)


class UpgradeDiffers(LazymigError, ValueError):
    """A migration's `upgrade_pipeline` makes another V2 body than its `upgrade`.

    Attributes:
        id: The entity's id.
        reasons: What differs, in words: the fields and the kinds of their values, and no values.
    """

    def __init__(self, id: object, reasons: tuple[str, ...]) -> None:
        shown = "; ".join(reasons[:_REASONS_MAX])
        more = f"; and {len(reasons) - _REASONS_MAX} more" if len(reasons) > _REASONS_MAX else ""
        super().__init__(
            f"upgrade_pipeline and upgrade differ about the entity with id {id!r}: {shown}{more}. Correct one of them, "
            "or let a $match stage leave out such documents; a dry run compares all documents. This one was not stored"
        )
        self.id = id
        self.reasons = reasons

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.id, self.reasons)


class ForeignDocument(ConversionError, ConfigurationError):
    """V2 holds a document that lazymig did not store: nothing shows whether it agrees with V1.

    Attributes:
        id: The document's id.
    """

    def __init__(self, id: Any) -> None:
        super().__init__(id, "read", ValueError("no valid _lazymig"), "_lazymig", side="V2")
        self.args = (
            f"V2's document with id {id!r} was not stored by lazymig: without a valid _lazymig, nothing shows whether "
            "it is what V1 holds; before v2_only, lazymig sweep --adopt replaces such documents by what V1 holds; in "
            "v2_only remove it and insert the entity again, or, if lazymig retire reduce --strip was run, use V2 "
            "without lazymig",
        )

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.id,)
