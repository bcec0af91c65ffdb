"""What came of writes that shared a statement, from the server's account of those that failed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from pymongo.errors import AutoReconnect, BulkWriteError, WriteConcernError

from lazymig.stores.drivers import is_id_taken_in, make_error

#: Whether a write was done, or its error.
Outcome: TypeAlias = bool | BaseException

#: The server's account of a write that failed.
Failure: TypeAlias = dict[str, Any]
#: Failures by the places of their writes.
Failures: TypeAlias = Mapping[int, Failure]


def is_taken(failure: Failure) -> bool:
    """Whether the id of what was to be inserted is taken."""
    return failure["code"] == 11000 and is_id_taken_in(failure)


def failures_of(error: BulkWriteError) -> Failures:
    """Return the failures of single writes by their places. Raises where all writes may be lost."""
    if lost := error.details.get("writeConcernErrors"):
        raise WriteConcernError(lost[0].get("errmsg", ""), lost[0].get("code"), lost[0]) from None
    # Without `op`, which holds the document.
    return {
        failure["index"]: {name: value for name, value in failure.items() if name != "op"}
        for failure in error.details.get("writeErrors", [])
    }


def judge_inserts(failures: Failures, count: int) -> list[Outcome]:
    """Return the outcomes of so many inserts."""
    outcomes: list[Outcome] = [True] * count
    for place, failure in failures.items():
        outcomes[place] = False if is_taken(failure) else make_error(failure)
    return outcomes


def unknown(why: str) -> AutoReconnect:
    """Return the error for a write of which it is not known whether it was done."""
    return AutoReconnect(f"whether the write was done is not known: {why}")
