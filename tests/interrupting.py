"""Stores that are cut off at one statement."""

from __future__ import annotations

import inspect
from typing import Any


class Interrupted:
    """A store whose statements are noted, perhaps together with another's; the one with the fatal number is cut off.

    Before its statement the error stands for one that was never sent; after it, for one whose answer was lost.
    """

    def __init__(self, store: Any, statements: list[str], fatal: int, error: BaseException, *, after: bool) -> None:
        self.statements = statements
        self._store, self._fatal, self._error, self._after = store, fatal, error, after

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._store, name)
        if not inspect.iscoroutinefunction(attribute):
            return attribute

        async def statement(*arguments: Any, **options: Any) -> Any:
            self.statements.append(name)
            fatal = len(self.statements) == self._fatal
            if fatal and not self._after:
                raise self._error
            result = await attribute(*arguments, **options)
            if fatal:
                raise self._error
            return result

        return statement
