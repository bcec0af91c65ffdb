"""Errors that several callers get: each has an object of its own, of the same type and with the same attributes."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable
from typing import Any

import pytest
from attrs import frozen
from bson.errors import InvalidDocument
from pymongo import errors as driver

from lazymig import Contention, ConversionError, NotFound, PhaseError
from lazymig.errors import ForeignDocument
from lazymig.loop.own_errors import give_each_its_own, own_error


class TakesOthers(Exception):
    """Its constructor takes other arguments than it keeps, and more of them."""

    def __init__(self, first: int, /, *, second: int) -> None:
        super().__init__(f"{first} and {second}")
        self.sum = first + second


class MadeOtherwise(Exception):
    """Its arguments are changed before they are kept."""

    def __new__(cls, first: int, second: int) -> MadeOtherwise:
        made = super().__new__(cls, first)
        made.sum = first + second
        return made

    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first}, {second}")


class Counted(Exception):
    """Each that is made counts, by whatever means."""

    made = 0

    def __init__(self) -> None:
        type(self).made += 1

    def __copy__(self) -> Counted:
        return Counted()

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), ()


class InSlots(Exception):
    """It keeps what it has in slots, one of which is empty."""

    __slots__ = ("__hidden", "empty", "shown")

    def __init__(self) -> None:
        self.shown, self.__hidden = 1, 2

    @property
    def hidden(self) -> int:
        return self.__hidden


@frozen
class Frozen(Exception):
    """It refuses to be changed."""

    number: int


class OfFiles(OSError):
    """C keeps its parts, and its constructor takes one of them."""

    def __init__(self, name: str) -> None:
        super().__init__(5, "no access", name)


class OfTwoKinds(ValueError, OSError):
    """The first of its bases is not the one that decides how it is kept."""


class Many(ExceptionGroup[Exception]):
    """A group that is made of a number."""

    def __new__(cls, number: int, errors: list[Exception]) -> Many:
        return super().__new__(cls, f"{number} errors", errors)

    def __init__(self, number: int, errors: list[Exception]) -> None:
        self.number = number


def labelled(error: driver.PyMongoError) -> driver.PyMongoError:
    """The error with a label that its details do not have."""
    error._add_error_label("RetryableWriteError")
    return error


_DETAILS = {"code": 64, "errmsg": "timed out", "errInfo": {"wtimeout": True}, "errorLabels": ["SystemOverloadedError"]}
OF_THE_DRIVER: dict[str, Callable[[], BaseException]] = {
    "AutoReconnect": lambda: labelled(driver.AutoReconnect("lost", ["an error"])),
    "NetworkTimeout": lambda: driver.NetworkTimeout("late"),
    "NotPrimaryError": lambda: labelled(driver.NotPrimaryError("not primary", {"code": 10107})),
    "ServerSelectionTimeoutError": lambda: driver.ServerSelectionTimeoutError("nobody"),
    "WriteConcernError": lambda: driver.WriteConcernError("timed out", 64, _DETAILS, 21),
    "WTimeoutError": lambda: driver.WTimeoutError("timed out", 64, _DETAILS),
    "DuplicateKeyError": lambda: driver.DuplicateKeyError("taken", 11000, {"keyPattern": {"name": 1}}),
    "BulkWriteError": lambda: labelled(driver.BulkWriteError({"writeErrors": [{"index": 3, "code": 2}]})),
    "EncryptionError": lambda: driver.EncryptionError(ValueError("no key")),
    "InvalidDocument": lambda: InvalidDocument("too deep"),
}
OF_LAZYMIG: dict[str, Callable[[], BaseException]] = {
    "NotFound": lambda: NotFound(7, part=True),
    "Contention": lambda: Contention(7, 3),
    "PhaseError": lambda: PhaseError("not now"),
    "ConversionError": lambda: ConversionError(7, "upgrade", ValueError("secret"), "name"),
    "ForeignDocument": lambda: ForeignDocument(7),
}
OF_USERS: dict[str, Callable[[], BaseException]] = {
    "takes others": lambda: TakesOthers(1, second=2),
    "made otherwise": lambda: MadeOtherwise(1, 2),
    "in slots": InSlots,
    "frozen": lambda: Frozen(3),
    "of files": lambda: OfFiles("a"),
    "of two kinds": lambda: OfTwoKinds(1, "x", "a"),
    "a group": lambda: Many(2, [ValueError(1), KeyError(2)]),
}
OF_PYTHON: dict[str, Callable[[], BaseException]] = {
    "CancelledError": lambda: asyncio.CancelledError("shut down"),
    "KeyboardInterrupt": KeyboardInterrupt,
    "SystemExit": lambda: SystemExit(3),
    "GeneratorExit": GeneratorExit,
    "RecursionError": lambda: RecursionError("too deep"),
    "KeyError": lambda: KeyError("name"),
    "OSError": lambda: OSError(2, "no such file"),
    "OSError of a file": lambda: OSError(2, "no such file", "a"),
    "OSError of two files": lambda: OSError(2, "no such file", "a", None, "b"),
    "BlockingIOError": lambda: BlockingIOError(11, "later", 7),
    "UnicodeDecodeError": lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad byte"),
    "ImportError": lambda: ImportError("none", name="module", path="path"),
    "AttributeError": lambda: AttributeError("none", name="field", obj=3),
    "SyntaxError": lambda: SyntaxError("odd", ("file", 1, 2, "text")),
    "ExceptionGroup": lambda: ExceptionGroup("several", [ValueError(1)]),
}
ERRORS = OF_THE_DRIVER | OF_LAZYMIG | OF_USERS | OF_PYTHON
ATTRIBUTES = (
    *("code", "details", "timeout", "errors", "cause", "_max_wire_version", "_error_labels"),
    *("id", "part", "attempts", "direction", "path", "line", "side", "sum", "shown", "hidden", "empty", "number"),
    *("errno", "strerror", "filename", "filename2", "characters_written", "encoding", "object", "start", "end"),
    *("reason", "name", "obj", "msg", "lineno", "offset", "text", "message", "exceptions"),
)


def kept(error: BaseException) -> dict[str, Any]:
    """What an error shows of itself."""
    attributes = {name: getattr(error, name) for name in ATTRIBUTES if hasattr(error, name)}
    return {"text": str(error), "repr": repr(error), "args": error.args, **attributes}


@pytest.mark.parametrize("make", ERRORS.values(), ids=ERRORS)
def test_an_own_error_is_like_the_shared_one(make: Callable[[], BaseException]) -> None:
    """Another object of the same type, with the same attributes; the shared one is its cause."""
    shared = make()
    own = own_error(shared)
    assert own is not shared
    assert type(own) is type(shared)
    assert kept(own) == kept(shared)
    assert own.__cause__ is shared


def test_no_code_of_the_class_runs() -> None:
    """A constructor may do more than keep its arguments."""
    shared = Counted()
    owns = [own_error(shared) for _ in range(3)]
    assert [type(own) for own in owns] == [Counted] * 3
    assert Counted.made == 1


def test_what_one_caller_adds_is_not_the_others() -> None:
    """Neither notes, nor the frames it passes, nor labels and details that are changed in place."""
    shared = driver.WriteConcernError("timed out", 64, dict(_DETAILS))
    shared.add_note("of all")
    one, other = own_error(shared), own_error(shared)
    try:
        raise one
    except driver.WriteConcernError as error:
        error.add_note("of one")
        error._add_error_label("of one")
        error.details.clear()  # type: ignore[union-attr, attr-defined]
    assert (one.__notes__, other.__notes__, shared.__notes__) == (["of all", "of one"], ["of all"], ["of all"])
    assert len(traceback.extract_tb(one.__traceback__)) == 1
    for error in (other, shared):
        assert error.__traceback__ is None
        assert error.__context__ is None
        assert not error.has_error_label("of one")
        assert error.details == _DETAILS


def test_an_error_that_hides_what_it_keeps_is_shared() -> None:
    """Rather than lost."""

    class Hiding(Exception):
        __dict__ = property()  # type: ignore[assignment]

    shared = Hiding(1)
    assert own_error(shared) is shared


def test_only_what_several_get_is_made_again() -> None:
    """An error that one caller gets is the one that was raised; what is no error is passed on, also if it is shared."""
    alone, shared, result = ValueError("alone"), ValueError("shared"), object()
    outcomes = give_each_its_own([shared, result, alone, shared, result])
    assert [outcomes[place] is one for place, one in enumerate((shared, result, alone, shared, result))] == [
        False, True, True, False, True,
    ]  # fmt: skip
    assert outcomes[0] is not outcomes[3]
    assert [str(outcomes[place]) for place in (0, 3)] == ["shared"] * 2
