"""Finding the line of the user's own code that raised an exception: file, line and function, without contents."""

from __future__ import annotations

import inspect
import os
import sysconfig
from collections.abc import Callable
from functools import cache, partial
from traceback import walk_tb
from types import FrameType
from typing import Any

#: Packages between lazymig and the user's functions, and packages that users build their classes with.
_LIBRARIES = frozenset(
    {
        *("attr", "attrs", "bson", "cattr", "cattrs", "lazymig", "mongomock", "mongomock_motor", "motor"),
        *("pydantic", "pydantic_core", "pymongo"),
    }
)
#: Folders of installed packages.
_INSTALLED = frozenset({"site-packages", "dist-packages"})
#: Names of generated code, which has no file.
_GENERATED = ("<attrs generated", "<cattrs generated", "<lazymig generated", "<frozen ")


def find_raising_line(error: BaseException) -> str:
    """Return the innermost line of the user's code in an error's traceback, as `model.py:61 in upgrade`; "" for none.

    Of a group, its first error counts.
    """
    chain = [error]
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
        chain.append(error)
    return next(filter(None, map(_find_line, reversed(chain))), "")


def find_definition(function: Callable[..., Any]) -> str:
    """Return where a function begins, as `model.py:55 in upgrade`; "" where that is unknown."""
    plain: Any = inspect.unwrap(function)
    while isinstance(plain, partial):
        plain = plain.func
    # For a callable object, its `__call__`.
    code = getattr(plain if inspect.isroutine(plain) else type(plain).__call__, "__code__", None)
    return f"{os.path.basename(code.co_filename)}:{code.co_firstlineno} in {code.co_name}" if code else ""


def find_class(cls: type) -> str:
    """Return where a class begins, as `model.py:12, class Person`; its name alone where that is unknown."""
    try:
        file, (_, line) = inspect.getsourcefile(cls), inspect.getsourcelines(cls)
    except (OSError, TypeError):
        return f"class {cls.__name__}"
    return f"{os.path.basename(file or '')}:{line}, class {cls.__name__}"


def _find_line(error: BaseException) -> str:
    frames = [(frame, line) for frame, line in walk_tb(error.__traceback__) if not _is_of_library(frame)]
    if not frames:
        return ""
    # The outermost of these frames is the user's function. An installed package that it calls is not the user's code,
    # unless it is the package of that function: an application may be installed like a library.
    own = _package_of(frames[0][0])
    mine = [(frame, line) for frame, line in frames if not _is_installed(frame) or _package_of(frame) == own]
    frame, line = mine[-1]
    return f"{os.path.basename(frame.f_code.co_filename)}:{line} in {frame.f_code.co_name}"


def _package_of(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


def _is_of_library(frame: FrameType) -> bool:
    file = frame.f_code.co_filename
    # Decided by folder: an application may have a module with the name of one in the standard library.
    standard = file.startswith(_find_standard_library()) and not _is_installed(frame)
    # cattrs gives some of its generated functions an empty file name.
    return standard or not file or _package_of(frame) in _LIBRARIES or file.startswith(_GENERATED)


def _is_installed(frame: FrameType) -> bool:
    return not _INSTALLED.isdisjoint(frame.f_code.co_filename.split(os.sep))


@cache
def _find_standard_library() -> str:
    return os.path.join(sysconfig.get_path("stdlib"), "")
