"""Where an exception was raised in the user's own code: file, line and function, and nothing of any document."""

from __future__ import annotations

import sys
import sysconfig
from functools import cache
from os.path import basename
from traceback import walk_tb
from types import FrameType

#: Packages between lazymig and the user's functions, and those that users' classes are built with.
_LIBRARIES = frozenset(
    {
        *("attr", "attrs", "bson", "cattr", "cattrs", "lazymig", "mongomock", "mongomock_motor", "motor"),
        *("pydantic", "pydantic_core", "pymongo"),
    }
)
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


def _line(error: BaseException) -> str:
    frames = [(frame, line) for frame, line in walk_tb(error.__traceback__) if not _of_library(frame)]
    if not frames:
        return ""
    # The outermost of these frames is the user's function. A package that it calls is not the user's code, unless both
    # are parts of one package: an application may be installed like any library.
    own = _package(frames[0][0])
    mine = [(frame, line) for frame, line in frames if not _is_installed(frame) or _package(frame) == own]
    frame, line = mine[-1]
    return f"{basename(frame.f_code.co_filename)}:{line} in {frame.f_code.co_name}"


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


def _of_library(frame: FrameType) -> bool:
    package = _package(frame)
    if package in _LIBRARIES or frame.f_code.co_filename.startswith(_GENERATED):
        return True
    return package in sys.stdlib_module_names and package != "__main__"


def _is_installed(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(_folders())


@cache
def _folders() -> tuple[str, ...]:
    return tuple({sysconfig.get_path(name) for name in ("purelib", "platlib")})
