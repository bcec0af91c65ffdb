"""What went wrong, in words for the page: without contents of documents, addresses or connection strings."""

from __future__ import annotations

from pymongo.errors import AutoReconnect, OperationFailure, PyMongoError

from lazymig.errors import LazymigError

#: The server's codes where a user may not do something, and where it does not know the user.
_FORBIDDEN, _NOT_SIGNED_IN = 13, 18


def describe_trouble(error: BaseException) -> str:
    """Return what an error means for those who look at a page, in a sentence without its full stop."""
    if isinstance(error, LazymigError):
        return str(error)
    if isinstance(error, OperationFailure):
        # The server's own text may quote the command, and with it a document.
        if error.code == _NOT_SIGNED_IN:
            return "the database does not accept the user or the password of this service"
        if error.code == _FORBIDDEN:
            return "the database does not allow this user to look; the role read on both databases is enough"
        name = (error.details or {}).get("codeName", type(error).__name__)
        return f"the database refused to answer: {name} (code {error.code})"
    if isinstance(error, AutoReconnect):  # no server is found, or the connection was lost
        return "the database does not answer"
    if isinstance(error, PyMongoError):
        return f"the database could not be asked: {type(error).__name__}"
    return f"it failed ({type(error).__name__}); the log of this application says where"


def describe_failed_write(error: PyMongoError) -> str:
    """Return why nothing could be written, for the person who ordered it: as a part of a sentence."""
    if isinstance(error, OperationFailure) and error.code == _FORBIDDEN:
        return "this service's user of the database may only read; it needs the role readWrite to act"
    return type(error).__name__
