"""The differences between PyMongo's async API, Motor and the in-memory Mongo.

All other modules of `lazymig.stores` call collections directly, by methods that are the same in all three.
"""

from __future__ import annotations

import enum
import inspect
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast

from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import InvalidDocument
from bson.raw_bson import RawBSONDocument
from pymongo import ReadPreference
from pymongo.errors import (
    BulkWriteError,
    DocumentTooLarge,
    DuplicateKeyError,
    OperationFailure,
    PyMongoError,
    WriteError,
)
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from lazymig.errors import ConfigurationError
from lazymig.stores.given import Store
from lazymig.stores.records import Applied, Fields, Put

if TYPE_CHECKING:
    from pymongo.asynchronous.client_session import AsyncClientSession
    from pymongo.asynchronous.collection import AsyncCollection

#: A collection as lazymig's statements use it. PyMongo's type stands for all drivers: what is used of it is spelled
#: alike in all of them, and `await_if_needed` hides what is not.
Handle: TypeAlias = "AsyncCollection[Any]"
#: A session as statements take it: of the driver that the collections belong to.
DriverSession: TypeAlias = "AsyncClientSession"

MAJORITY = WriteConcern("majority")
ONE = WriteConcern(1)
JOURNALED = WriteConcern(1, j=True)
READ_MAJORITY = ReadConcern("majority")
READ_LOCAL = ReadConcern("local")
#: Codec options for ids and lazymig's own collections, whatever the client's are: UUIDs as binaries, naive times, and
#: `DatetimeMS`, which can be stored again, for dates that Python cannot hold.
IDS: CodecOptions[dict[str, Any]] = CodecOptions(
    uuid_representation=UuidRepresentation.UNSPECIFIED, datetime_conversion=DatetimeConversion.DATETIME_AUTO
)
#: `IDS` for replies that may contain text that is not UTF-8: one such text must not fail the whole reply.
LENIENT: CodecOptions[dict[str, Any]] = IDS.with_options(unicode_decode_error_handler="replace")
#: `LENIENT` for documents that stay bytes and of which the driver decodes some fields.
RAW_LENIENT: Any = LENIENT.with_options(document_class=RawBSONDocument)
#: Codec options for documents, by the client's `tz_aware`. The client's other options do not apply: UUIDs are binaries,
#: which the converters accept from any client, and bodies contain no types of the user's own.
_OWN: dict[bool, CodecOptions[dict[str, Any]]] = {
    aware: CodecOptions(document_class=dict, tz_aware=aware, uuid_representation=UuidRepresentation.UNSPECIFIED)
    for aware in (False, True)
}
_RAW = {aware: options.with_options(document_class=RawBSONDocument) for aware, options in _OWN.items()}

#: The errors of a statement about documents: the driver's, and those of encoding.
STATEMENT_ERRORS = (PyMongoError, InvalidDocument, RecursionError)
_TOO_DEEP = 15
#: The codes for a document larger than 16 MB, of updates and of messages. Inserts use "bad value", as for much else.
_TOO_LARGE, _BAD_VALUE = frozenset({17419, 17420, 10334}), 2
#: The codes for a whole message that holds a document which is too deep, too large, or no BSON to the server.
_UNTAKEN = frozenset({_TOO_DEEP, 10334, 22})
_PASSING = frozenset({"RetryableWriteError", "TransientTransactionError", "RetryableError", "SystemOverloadedError"})
#: Codes that speak of the server's state and yet may occur as the error of one document, by MongoDB's categories.
_SERVER_STATE = frozenset(
    {
        *(6, 7, 89, 317, 384, 9001),  # network
        *(90, 91, 189, 10058, 10107, 11600, 11602, 13435, 13436),  # not primary, or shutting down
        *(24, 50, 202, 237, 262, 279, 281, 282, 290, 355, 407, 11601),  # interrupted, or out of time
        *(63, 133, 134, 150, 234, 249, 250, 13388),  # stale routing, or not ready
        *(46, 107, 112, 117, 215, 225, 251, 256, 263, 267, 314),  # locks and transactions of others
        *(8, 264, 365, 371, 402, 412, 433, 449, 450, 462, 8000, 14031),  # no room, overloaded, or blocked
        *(13, 18, 391),  # rights
    }
)


class Driver(enum.Enum):
    """Which library a collection belongs to."""

    PYMONGO = enum.auto()
    MOTOR = enum.auto()
    #: mongomock-motor, or the explorer's collections: no concerns, no sessions, no command monitoring.
    MEMORY = enum.auto()


_MODULES = (
    # First: mongomock-motor's classes pretend to be Motor's.
    ("mongomock_motor", Driver.MEMORY),
    ("lazymig.testing", Driver.MEMORY),
    ("motor.", Driver.MOTOR),
    ("pymongo.asynchronous", Driver.PYMONGO),
)


def driver_of(collection: object) -> Driver:
    """Return the driver of an async collection.

    Raises `ConfigurationError` for anything else, such as a synchronous PyMongo collection or a database.
    """
    modules = [base.__module__ for base in type(collection).__mro__]
    for prefix, driver in _MODULES:
        # Asked of the class: a database or a client has every attribute.
        if any(module.startswith(prefix) for module in modules) and hasattr(type(collection), "find_one"):
            return driver
    raise ConfigurationError(
        f"{type(collection).__module__}.{type(collection).__name__} is not an async collection; pass one of "
        "pymongo.AsyncMongoClient (first choice), motor.motor_asyncio or mongomock_motor"
    )


def tune(
    collection: Handle,
    *,
    write: WriteConcern | None = None,
    read: ReadConcern | None = None,
    codec: CodecOptions[Any] | None = None,
    raw: bool = False,
) -> Handle:
    """Return the collection with these concerns and lazymig's codec options, read on the primary; in memory, itself.

    It inherits only the client's `tz_aware`. The application's `type_registry`, document class or read concern would
    change what lazymig stores, or what it reads as V1's state. A secondary may not have an announcement yet and would
    return a document as clean that no longer is. `raw` returns documents undecoded.
    """
    if driver_of(collection) is Driver.MEMORY:
        return collection
    return collection.with_options(
        codec or (_RAW if raw else _OWN)[is_tz_aware(collection)],
        read_preference=ReadPreference.PRIMARY,
        write_concern=write or MAJORITY,
        read_concern=read or READ_LOCAL,
    )


class _Keeper(Protocol):
    """A store: it keeps its collection."""

    @property
    def collection(self) -> Handle: ...


def is_collection(store: Store) -> bool:
    """Whether this is a collection of a driver, and no store that keeps one."""
    # Asked of the class, as in `driver_of`: a collection has every attribute.
    return hasattr(type(store), "find_one")


def collection_of(store: Store) -> Handle:
    """Return the collection that a store keeps; of a collection, itself. The only way to one from outside a store."""
    return cast("Handle", store) if is_collection(store) else cast("_Keeper", store).collection


def find_uuid_representation(collection: object) -> int | None:
    """Return how the collection's client stores UUIDs, a number of `bson.binary.UuidRepresentation`; None in memory."""
    options = getattr(collection, "codec_options", None)
    representation: int | None = getattr(options, "uuid_representation", None)
    return representation


def is_tz_aware(collection: object) -> bool:
    """Whether the collection's client returns aware datetimes."""
    options = getattr(collection, "codec_options", None)
    return bool(getattr(options, "tz_aware", False))


async def await_if_needed(result: Any) -> Any:
    """Return the result of a call that one driver returns directly and the other as an awaitable.

    `aggregate`, `list_indexes`, `watch` and `client.close` are awaited in PyMongo only, `start_session` in Motor only.
    """
    return await result if inspect.isawaitable(result) else result


def is_id_taken(error: DuplicateKeyError) -> bool:
    """Whether the duplicate key is `_id` (a lost race) and not that of another unique index (a refusal)."""
    return is_id_taken_in(error.details or {})


def is_id_taken_in(details: Any) -> bool:
    """Whether the duplicate key in one entry of a bulk error is `_id`.

    The in-memory Mongo leaves out the key pattern for `_id` only.
    """
    pattern = details.get("keyPattern")
    if pattern is not None:
        return list(pattern) == ["_id"]
    message = str(details.get("errmsg", ""))
    if "'keyPattern'" in message:
        return False  # in memory, in an entry of a bulk error
    return "index: " not in message or "index: _id_ " in message


def is_server_state(code: int | None, details: Any = None) -> bool:
    """Whether a document's write error is about the server, which may accept the same document the next time."""
    labels = (details or {}).get("errorLabels", ())
    return code is None or code in _SERVER_STATE or any(label in _PASSING for label in labels)


def is_refused(error: BaseException) -> bool:
    """Whether the error of a statement about one document says that the server will never accept this document.

    It is recognised by its kind: the statement succeeded and the document has an error of its own, or it cannot be
    encoded. A list of all codes for indexes, validators and rules of all server versions does not exist.
    """
    if isinstance(error, WriteError):
        return not is_server_state(error.code, error.details)
    return is_too_large(error)


def is_too_large(error: BaseException) -> bool:
    """Whether a statement holds a document that the driver or the server cannot receive: too large, or too deep."""
    if isinstance(error, OperationFailure):
        return not isinstance(error, WriteError | BulkWriteError) and error.code in _UNTAKEN
    return isinstance(error, InvalidDocument | RecursionError)


def describe_refusal(error: BaseException) -> str:
    """Describe why V2 refuses a body, without its contents: the fields of the unique index, or the rule."""
    if isinstance(error, DuplicateKeyError):
        pattern = (error.details or {}).get("keyPattern", {})
        return f"V2's unique index on {', '.join(pattern) or 'some field'} has another entity with the same values"
    code = getattr(error, "code", None)
    bad_size = code == _BAD_VALUE and "too large" in str(error)
    if bad_size or isinstance(error, DocumentTooLarge) or code in _TOO_LARGE:
        return "V2's document is larger than MongoDB allows (16 MB)"
    if code == _TOO_DEEP or isinstance(error, RecursionError):
        return "V2's document is nested deeper than MongoDB allows"
    if code == 121:
        return "V2's validator refuses the document"
    return f"V2 refuses the document (server error code {code})"


def judge_put(error: BaseException) -> Put:
    """Return the outcome of a *put if absent* that raised; raise the error where the outcome is unknown."""
    if isinstance(error, DuplicateKeyError) and is_id_taken(error):
        return Put.LOST
    if is_refused(error):
        return Put.REFUSED
    raise error


def judge_puts(error: BulkWriteError, count: int, *, durable: bool) -> list[Put]:
    """Return the outcome of each of the `count` documents of an unordered *put if absent*; raises as `judge_put`."""
    # A write concern error means that the documents are stored, but may be rolled back. That is enough for V2 bodies,
    # unless the caller asked for durability.
    if durable and error.details.get("writeConcernErrors"):
        raise error
    outcomes = [Put.STORED] * count
    for failure in error.details.get("writeErrors", []):
        if is_server_state(failure.get("code"), error.details):
            raise error
        lost = failure.get("code") == 11000 and is_id_taken_in(failure)
        outcomes[failure["index"]] = Put.LOST if lost else Put.REFUSED
    return outcomes


def judge_apply(error: BaseException) -> Applied:
    """Return the outcome of an *apply* that raised; raise the error where the outcome is unknown."""
    if isinstance(error, DuplicateKeyError) and is_id_taken(error):
        return Applied.NEWER
    if is_refused(error):
        return Applied.REFUSED
    raise error


def judge_applies(failures: Iterable[Fields], count: int) -> list[Applied | BaseException]:
    """Return the outcome of each of the `count` *applies* of an unordered statement, or its error."""
    # An upsert matches, inserts or fails, so those without an error are applied.
    outcomes: list[Applied | BaseException] = [Applied.APPLIED] * count
    for failure in failures:
        try:
            outcomes[failure["index"]] = judge_apply(make_error(failure))
        except WriteError as other:
            outcomes[failure["index"]] = other
    return outcomes


def make_error(failure: dict[str, Any]) -> WriteError:
    kind = DuplicateKeyError if failure.get("code") == 11000 else WriteError
    return kind(failure.get("errmsg", ""), failure.get("code"), failure)
