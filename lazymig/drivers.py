"""The handful of places where PyMongo's async API, Motor and the in-memory Mongo differ.

Everything else in lazymig calls a collection's methods directly: those are spelled and awaited alike in all three.
"""

from __future__ import annotations

import enum
import inspect
from typing import Any

from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo import ReadPreference
from pymongo.errors import BulkWriteError, DocumentTooLarge, DuplicateKeyError, PyMongoError, WriteError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from lazymig.errors import ConfigurationError
from lazymig.records import Applied, Put

MAJORITY = WriteConcern("majority")
ONE = WriteConcern(1)
READ_MAJORITY = ReadConcern("majority")
#: Decodes whatever BSON holds, however the client is set up: UUIDs as binaries, times naive, and dates and texts that
#: Python cannot hold by a stand-in.
LENIENT: CodecOptions[dict[str, Any]] = CodecOptions(
    datetime_conversion=DatetimeConversion.DATETIME_AUTO, unicode_decode_error_handler="replace"
)

#: Unique index, validator, document too large (three spellings: a body within the last 16 KB that drivers let pass is a
#: mere "bad value" of an insert), key that MongoDB cannot store: the body will never fit.
_REFUSALS = frozenset({11000, 121, 2, 10334, 17419, 17280, 52, 55, 57})


class Driver(enum.Enum):
    """Which library a collection belongs to."""

    PYMONGO = enum.auto()
    MOTOR = enum.auto()
    #: mongomock-motor, or the explorer's collections: no concerns, no sessions, no command monitoring.
    MEMORY = enum.auto()


_MODULES = (
    # First, since mongomock-motor's classes masquerade as Motor's.
    ("mongomock_motor", Driver.MEMORY),
    ("lazymig.testing", Driver.MEMORY),
    ("motor.", Driver.MOTOR),
    ("pymongo.asynchronous", Driver.PYMONGO),
)


def driver_of(collection: Any) -> Driver:
    """The driver of an async collection.

    Raises `ConfigurationError` for anything else, a synchronous PyMongo collection or a database among them.
    """
    modules = [base.__module__ for base in type(collection).__mro__]
    for prefix, driver in _MODULES:
        # A database or a client has every attribute, but its class has not.
        if any(module.startswith(prefix) for module in modules) and hasattr(type(collection), "find_one"):
            return driver
    raise ConfigurationError(
        f"{type(collection).__module__}.{type(collection).__name__} is not an async collection; pass one of "
        "pymongo.AsyncMongoClient (first choice), motor.motor_asyncio or mongomock_motor"
    )


def tuned(
    collection: Any,
    *,
    write: WriteConcern | None = None,
    read: ReadConcern | None = None,
    codec: CodecOptions[Any] | None = None,
) -> Any:
    """The collection with this concern, read on the primary, whatever it was configured with; in memory, itself.

    A secondary may not have heard of an announcement yet, and would show a clean document that no longer is.
    """
    if driver_of(collection) is Driver.MEMORY:
        return collection
    primary = ReadPreference.PRIMARY
    return collection.with_options(codec, read_preference=primary, write_concern=write, read_concern=read)


def tz_aware(collection: Any) -> bool:
    """Whether the collection's client returns aware datetimes."""
    options = getattr(collection, "codec_options", None)
    return bool(getattr(options, "tz_aware", False))


async def settled(result: Any) -> Any:
    """The result of a call that one driver returns directly and the other as an awaitable.

    `aggregate`, `list_indexes`, `watch` and `client.close` are awaited in PyMongo only, `start_session` in Motor only.
    """
    return await result if inspect.isawaitable(result) else result


def is_id_taken(error: DuplicateKeyError) -> bool:
    """Whether the duplicate key is `_id` itself (a lost race), not another unique index (a refusal)."""
    return id_taken_in(error.details or {})


def id_taken_in(details: Any) -> bool:
    """The same for one entry of a bulk error. The in-memory Mongo leaves the pattern out for `_id` only."""
    pattern = details.get("keyPattern")
    if pattern is not None:
        return list(pattern) == ["_id"]
    message = str(details.get("errmsg", ""))
    if "'keyPattern'" in message:
        return False  # in memory, in an entry of a bulk error
    return "index: " not in message or "index: _id_ " in message


def is_refused(code: int | None) -> bool:
    """Whether this write error says that the server will never take the body, however often it is sent."""
    return code in _REFUSALS


def is_too_large(error: PyMongoError) -> bool:
    """Whether a statement holds a document too large for driver or server to take it in at all."""
    return isinstance(error, DocumentTooLarge) or getattr(error, "code", None) == 10334


def refusal_text(error: WriteError) -> str:
    """Why V2 refuses a body, without its contents: the fields of the unique index, or the rule."""
    if isinstance(error, DuplicateKeyError):
        pattern = (error.details or {}).get("keyPattern", {})
        return f"V2's unique index on {', '.join(pattern) or 'some field'} has another entity with the same values"
    if error.code == 121:
        return "V2's validator refuses the document"
    return f"V2 refuses the document (server error code {error.code})"


def put_outcome(error: WriteError) -> Put:
    """What became of a *put if absent* that raised; raises the error where that is not known."""
    if isinstance(error, DuplicateKeyError) and is_id_taken(error):
        return Put.LOST
    if is_refused(error.code):
        return Put.REFUSED
    raise error


def put_outcomes(error: BulkWriteError, count: int, *, durable: bool) -> list[Put]:
    """The same for each of the `count` documents of an unordered statement."""
    # A write concern error says that all is stored, though perhaps not for good: for V2 bodies enough, but not for
    # whoever asked for more.
    if durable and error.details.get("writeConcernErrors"):
        raise error
    outcomes = [Put.STORED] * count
    for failure in error.details.get("writeErrors", []):
        if not is_refused(failure.get("code")):
            raise error
        lost = failure.get("code") == 11000 and id_taken_in(failure)
        outcomes[failure["index"]] = Put.LOST if lost else Put.REFUSED
    return outcomes


def applied_outcome(error: WriteError) -> Applied:
    """What became of one *apply* that failed so."""
    if isinstance(error, DuplicateKeyError) and is_id_taken(error):
        return Applied.NEWER
    if is_refused(error.code):
        return Applied.REFUSED
    raise error


def applied_outcomes(error: BulkWriteError, count: int) -> list[Applied | BaseException]:
    """The same for that many upserts by one unordered statement; what is no outcome is that one's own error."""
    # An upsert matches, inserts, or fails: those without an error are applied.
    outcomes: list[Applied | BaseException] = [Applied.APPLIED] * count
    for failure in error.details.get("writeErrors", []):
        try:
            outcomes[failure["index"]] = applied_outcome(_single(failure))
        except WriteError as other:
            outcomes[failure["index"]] = other
    return outcomes


def _single(failure: dict[str, Any]) -> WriteError:
    kind = DuplicateKeyError if failure.get("code") == 11000 else WriteError
    return kind(failure.get("errmsg", ""), failure.get("code"), failure)
