"""Errors of work that several callers share: each of them gets an object of its own.

A task that an error passes adds its frames, its context and perhaps notes to it. In one object, those of all callers
would mix, and the traceback would grow with each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from types import GetSetDescriptorType, MemberDescriptorType
from typing import Final, TypeVar

T = TypeVar("T")
E = TypeVar("E", bound=BaseException)

#: The flag of classes that Python code has made.
_MADE_BY_CODE: Final = 1 << 9
#: What a caller may change in place, such as an error's labels and notes.
_CONTAINERS: Final = (dict, list, set)


def give_each_its_own(outcomes: Sequence[T]) -> list[T]:
    """Return what came of the calls of several callers, of which none gets an error that another one gets as well."""
    callers = Counter(id(one) for one in outcomes if isinstance(one, BaseException))
    return [own_error(one) if callers.get(id(one), 0) > 1 else one for one in outcomes]  # type: ignore[type-var]


def own_error(error: E) -> E:
    """Return an error like this one, for one of the callers that share it. The shared one becomes its cause.

    It has the same type and attributes. Its constructor is not called: that may take other arguments than the error
    keeps, and may do more than keep them. An error that cannot be copied so is returned itself.
    """
    try:
        own = _copy(error)
    except Exception:  # a class that hides what it keeps: better shared than lost
        return error
    # Not by the class's own `__setattr__`, which may refuse it.
    BaseException.__setattr__(own, "__cause__", error)
    return own


def _copy(error: E) -> E:
    cls = type(error)
    maker: type[BaseException] = cls
    while maker.__flags__ & _MADE_BY_CODE:
        maker = maker.__base__  # type: ignore[assignment]  # the last one is BaseException, which C has made
    kept: BaseException = error
    given = (kept.message, kept.exceptions) if isinstance(kept, BaseExceptionGroup) else error.args
    own: E = maker.__new__(cls, *given)
    BaseException.__setattr__(own, "args", error.args)
    for base in cls.__mro__:
        for name, member in vars(base).items():
            # What C keeps, and slots.
            if isinstance(member, MemberDescriptorType | GetSetDescriptorType) and not name.startswith("__"):
                _copy_member(member, error, own)
    for name, value in vars(error).items():
        vars(own)[name] = value.copy() if type(value) in _CONTAINERS else value
    return own


def _copy_member(member: MemberDescriptorType | GetSetDescriptorType, error: BaseException, own: BaseException) -> None:
    # One that is not set, or that nothing but `__new__` sets.
    with suppress(AttributeError, TypeError):
        value = member.__get__(error)
        if _read(member, own) is not value:
            member.__set__(own, value)


def _read(member: MemberDescriptorType | GetSetDescriptorType, error: BaseException) -> object:
    try:
        return member.__get__(error)
    except AttributeError:
        return error  # which no member holds
