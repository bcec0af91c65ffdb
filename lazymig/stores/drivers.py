"""The handful of places where PyMongo's async API, Motor and the in-memory Mongo differ.

Everything else in lazymig calls a collection's methods directly: those are spelled and awaited alike in all three.
"""

from __future__ import annotations

import enum
import inspect
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
from lazymig.stores.records import Applied, Put

if TYPE_CHECKING:
    from pymongo.asynchronous.client_session import AsyncClientSession
    from pymongo.asynchronous.collection import AsyncCollection

#: A collection as lazymig's statements use it. PyMongo's type stands for all drivers: what is used of it is spelled
#: alike in all of them, and `awaited` hides what is not.
Handle: TypeAlias = "AsyncCollection[Any]"
#: A session as statements take it: of the driver that the collections belong to.
DriverSession: TypeAlias = "AsyncClientSession"

MAJORITY = WriteConcern("majority")
ONE = WriteConcern(1)
READ_MAJORITY = ReadConcern("majority")
READ_LOCAL = ReadConcern("local")
#: For ids and lazymig's own collections, however the client is set up: UUIDs as binaries, times naive, and dates that
#: Python cannot hold by a stand-in that can be stored again.
IDS: CodecOptions[dict[str, Any]] = CodecOptions(
    uuid_representation=UuidRepresentation.UNSPECIFIED, datetime_conversion=DatetimeConversion.DATETIME_AUTO
)
#: Like `IDS`, where one text that is not UTF-8 must not cost the whole reply.
LENIENT: CodecOptions[dict[str, Any]] = IDS.with_options(unicode_decode_error_handler="replace")
#: Like `LENIENT`, for documents as bytes, of which the driver looks at some fields.
RAW_LENIENT: Any = LENIENT.with_options(document_class=RawBSONDocument)
#: How documents are read and written, by the client's `tz_aware` and by nothing else that it was given. UUIDs come as
#: binaries, which the converters take from any client; no type of the user's own stands in a body.
_OWN: dict[bool, CodecOptions[dict[str, Any]]] = {
    aware: CodecOptions(document_class=dict, tz_aware=aware, uuid_representation=UuidRepresentation.UNSPECIFIED)
    for aware in (False, True)
}
_RAW = {aware: options.with_options(document_class=RawBSONDocument) for aware, options in _OWN.items()}

#: What a statement about documents may raise: the driver's errors, and those of encoding them.
STATEMENT_ERRORS = (PyMongoError, InvalidDocument, RecursionError)
_TOO_DEEP = 15
#: Larger than 16 MB, in the spellings of an update and of a message. An insert calls it a "bad value", as much else.
_TOO_LARGE, _BAD_VALUE = frozenset({17419, 17420, 10334}), 2
#: Of a whole message: it holds a document that is too deep, too large, or no BSON to the server.
_UNTAKEN = frozenset({_TOO_DEEP, 10334, 22})
_PASSING = frozenset({"RetryableWriteError", "TransientTransactionError", "RetryableError", "SystemOverloadedError"})
#: The server's state, which may stand in a document's own write error all the same. By MongoDB's categories of errors.
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
    # First, since mongomock-motor's classes masquerade as Motor's.
    ("mongomock_motor", Driver.MEMORY),
    ("lazymig.testing", Driver.MEMORY),
    ("motor.", Driver.MOTOR),
    ("pymongo.asynchronous", Driver.PYMONGO),
)


def driver_of(collection: object) -> Driver:
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
    collection: Handle,
    *,
    write: WriteConcern | None = None,
    read: ReadConcern | None = None,
    codec: CodecOptions[Any] | None = None,
    raw: bool = False,
) -> Handle:
    """Return the collection with these concerns and lazymig's codec options, read on the primary; in memory, itself.

    Nothing is inherited but the client's `tz_aware`: a `type_registry`, a document class or a read concern that suits
    the application would change what lazymig stores, or what it takes for V1's state. A secondary may not have heard of
    an announcement yet, and would show a clean document that no longer is. `raw` returns documents undecoded.
    """
    if driver_of(collection) is Driver.MEMORY:
        return collection
    return collection.with_options(
        codec or (_RAW if raw else _OWN)[tz_aware(collection)],
        read_preference=ReadPreference.PRIMARY,
        write_concern=write or MAJORITY,
        read_concern=read or READ_LOCAL,
    )


class _Keeper(Protocol):
    """A store: it keeps its collection."""

    @property
    def collection(self) -> Handle: ...


def collection_of(store: Store) -> Handle:
    """Return the collection that a store keeps; of a collection, itself. The only way to one from outside a store."""
    # Asked of the class, as in `driver_of`: a collection has every attribute.
    return cast("Handle", store) if hasattr(type(store), "find_one") else cast("_Keeper", store).collection


def uuid_representation(collection: object) -> int | None:
    """How the collection's client stores UUIDs, as a number of `bson.binary.UuidRepresentation`; None in memory."""
    options = getattr(collection, "codec_options", None)
    representation: int | None = getattr(options, "uuid_representation", None)
    return representation


def tz_aware(collection: object) -> bool:
    """Whether the collection's client returns aware datetimes."""
    options = getattr(collection, "codec_options", None)
    return bool(getattr(options, "tz_aware", False))


async def awaited(result: Any) -> Any:
    """The result of a call that one driver returns directly and the other as an awaitable.

    `aggregate`, `list_indexes`, `watch` and `client.close` are awaited in PyMongo only, `start_session` in Motor only.
    """
    return await result if inspect.isawaitable(result) else result


def is_id_taken(error: DuplicateKeyError) -> bool:
    """Whether the duplicate key is `_id` itself (a lost race), not another unique index (a refusal)."""
    return id_taken_in(error.details or {})


def id_taken_in(details: Any) -> bool:
    """`is_id_taken` for one entry of a bulk error. The in-memory Mongo leaves the pattern out for `_id` only."""
    pattern = details.get("keyPattern")
    if pattern is not None:
        return list(pattern) == ["_id"]
    message = str(details.get("errmsg", ""))
    if "'keyPattern'" in message:
        return False  # in memory, in an entry of a bulk error
    return "index: " not in message or "index: _id_ " in message


def is_server_state(code: int | None, details: Any = None) -> bool:
    """Whether a document's own write error speaks of the server, which may take the same document the next time."""
    labels = (details or {}).get("errorLabels", ())
    return code is None or code in _SERVER_STATE or any(label in _PASSING for label in labels)


def is_refused(error: BaseException) -> bool:
    """Whether the error of a statement about one document says that this document will never be taken.

    Recognised by where it stands: an error of its own beside the statement's success, or of its encoding. There is no
    list of what indexes, validators and rules of all server versions may object to.
    """
    if isinstance(error, WriteError):
        return not is_server_state(error.code, error.details)
    return is_too_large(error)


def is_too_large(error: BaseException) -> bool:
    """Whether a statement holds a document that driver or server cannot even take in: too large, or too deep."""
    if isinstance(error, OperationFailure):
        return not isinstance(error, WriteError | BulkWriteError) and error.code in _UNTAKEN
    return isinstance(error, InvalidDocument | RecursionError)


def refusal_text(error: BaseException) -> str:
    """Why V2 refuses a body, without its contents: the fields of the unique index, or the rule."""
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


def put_outcome(error: BaseException) -> Put:
    """What became of a *put if absent* that raised; raises the error where that is not known."""
    if isinstance(error, DuplicateKeyError) and is_id_taken(error):
        return Put.LOST
    if is_refused(error):
        return Put.REFUSED
    raise error


def put_outcomes(error: BulkWriteError, count: int, *, durable: bool) -> list[Put]:
    """What became of each of the `count` documents of an unordered *put if absent*, as in `put_outcome`."""
    # A write concern error says that all is stored, though perhaps not for good: for V2 bodies enough, but not where
    # the caller asked for more.
    if durable and error.details.get("writeConcernErrors"):
        raise error
    outcomes = [Put.STORED] * count
    for failure in error.details.get("writeErrors", []):
        if is_server_state(failure.get("code"), error.details):
            raise error
        lost = failure.get("code") == 11000 and id_taken_in(failure)
        outcomes[failure["index"]] = Put.LOST if lost else Put.REFUSED
    return outcomes


def applied_outcome(error: BaseException) -> Applied:
    """What became of one *apply* that failed so."""
    if isinstance(error, DuplicateKeyError) and is_id_taken(error):
        return Applied.NEWER
    if is_refused(error):
        return Applied.REFUSED
    raise error


def applied_outcomes(error: BulkWriteError, count: int) -> list[Applied | BaseException]:
    """What became of that many *applies* by one unordered statement; other errors stand in their places."""
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
