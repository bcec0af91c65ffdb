"""The pages of a long list of rows, oldest first: each begins after the last row of the page before."""

from __future__ import annotations

from datetime import datetime

from lazymig.stores.rows import Row


def find_after(last: Row) -> Row:
    """Return the filter for what comes after this row in the order of `first_at` and `_id`."""
    at, key = last.get("first_at"), last["_id"]
    later = [{"first_at": {"$gt": at}}, {"_id": {"$gt": key}}]
    if isinstance(at, datetime):
        return {"first_at": {"$gte": at}, "$or": later}
    # Somebody has changed it. Such rows come first, and only an expression compares values of different types.
    stored = {"$ifNull": ["$first_at", None]}
    equal = {"$eq": [stored, {"$literal": at}]}
    next_one = {"$and": [equal, {"$gt": ["$_id", {"$literal": key}]}]}
    return {"$expr": {"$or": [{"$gt": [stored, {"$literal": at}]}, next_one]}}
