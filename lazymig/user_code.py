"""Where an exception was raised in the user's own code: file, line and function, and nothing of any document."""

from __future__ import annotations

import inspect
import os
import sysconfig
from collections.abc import Callable
from functools import cache, partial
from traceback import walk_tb
from types import FrameType
from typing import Any

#: Packages between lazymig and the user's functions, and those that users' classes are built with.
_LIBRARIES = frozenset(
    {
        *("attr", "attrs", "bson", "cattr", "cattrs", "lazymig", "mongomock", "mongomock_motor", "motor"),
        *("pydantic", "pydantic_core", "pymongo"),
    }
)
#: Folders of installed packages.
_INSTALLED = frozenset({"site-packages", "dist-packages"})
#: Code without a file of its own, written by these libraries.
_GENERATED = ("<attrs generated", "<cattrs generated", "<frozen ")


def raised_in(error: BaseException) -> str:
    """The innermost line of the user's code on the way to this error, as `model.py:61 in upgrade`; "" for none.

    Of a group, the way to its first error.
    """
    chain = [error]
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
        chain.append(error)
    return next(filter(None, map(_line, reversed(chain))), "")


def defined_in(function: Callable[..., Any]) -> str:
    """Where a function begins, as `model.py:55 in upgrade`; "" where that cannot be known."""
    plain: Any = inspect.unwrap(function)
    while isinstance(plain, partial):
        plain = plain.func
    # Of an object that can be called, its method.
    code = getattr(plain if inspect.isroutine(plain) else type(plain).__call__, "__code__", None)
    return f"{os.path.basename(code.co_filename)}:{code.co_firstlineno} in {code.co_name}" if code else ""


def _line(error: BaseException) -> str:
    frames = [(frame, line) for frame, line in walk_tb(error.__traceback__) if not _of_library(frame)]
    if not frames:
        return ""
    # The outermost of these frames is the user's function. A package that it calls is not the user's code, unless both
    # are parts of one package: an application may be installed like any library.
    own = _package(frames[0][0])
    mine = [(frame, line) for frame, line in frames if not _is_installed(frame) or _package(frame) == own]
    frame, line = mine[-1]
    return f"{os.path.basename(frame.f_code.co_filename)}:{line} in {frame.f_code.co_name}"


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


def _of_library(frame: FrameType) -> bool:
    file = frame.f_code.co_filename
    # By its folder: an application may well have a module of its own by the name of one of the standard library's.
    standard = file.startswith(_standard_library()) and not _is_installed(frame)
    # cattrs names the file of some of its generated functions by an empty text.
    return standard or not file or _package(frame) in _LIBRARIES or file.startswith(_GENERATED)


def _is_installed(frame: FrameType) -> bool:
    return not _INSTALLED.isdisjoint(frame.f_code.co_filename.split(os.sep))


@cache
def _standard_library() -> str:
    return os.path.join(sysconfig.get_path("stdlib"), "")
