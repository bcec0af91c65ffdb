"""Deletes that share statements in two steps, because a bulk does not report which of its deletes matched.

The first step gives each document a revision that is its deleter's own, and has an outcome. The second deletes it at
that revision. Only the second waits for the majority: what a fail-over takes back of the first is not deleted by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pymongo import DeleteOne

from lazymig.stores.drivers import ONE, STATEMENT_ERRORS, Handle, is_refused, is_too_large, make_error, tune
from lazymig.stores.failures import Outcome, unknown
from lazymig.stores.grouping import GuardedUpdate, GuardedWrites
from lazymig.stores.records import Document

#: The next entity with its id begins at a random revision, mostly further off than this. Where other writers, who raise
#: it by random steps, have passed this between both steps, who deleted what is gone is unknown.
_RAISED_MAX = 2**24


class GuardedDelete(NamedTuple):
    """A delete of one document in two steps.

    `first` gives it a revision that is the deleter's own; `then` is the filter for that revision. `survived` is a
    filter that only the document itself matches afterwards, also if others have changed it since.
    """

    first: GuardedUpdate
    then: Document
    survived: Document


def match_later(revision: int) -> Document:
    """Return a condition for revisions from this one on, as other writers raise it, and none of a new entity."""
    return {"$gte": revision, "$lt": revision + _RAISED_MAX}


def send_first_steps(collection: Handle) -> GuardedWrites:
    """Return what sends the first steps of deletes in a collection.

    They need not survive a fail-over by themselves: the majority has a document's revision before it has its end. One
    that is done and reported as not done is deleted by a statement of its own, so the server need not record how to
    answer if it is sent again.
    """
    return GuardedWrites(tune(collection, write=ONE), repeats=True)


class TwoStepDeletes:
    """Guarded deletes of one collection, many by one unordered statement for each step.

    Driver errors about a statement as a whole pass through: what was deleted is unknown then.
    """

    def __init__(self, firsts: GuardedWrites, seconds: GuardedWrites) -> None:
        """`firsts` sends the first steps, and `seconds`, which waits for the majority, the second."""
        self._firsts = firsts
        self._seconds = seconds

    async def delete_each(self, deletes: Sequence[GuardedDelete]) -> list[Outcome]:
        """Delete each document that its filter matches. False: it matches none, or was changed before it was deleted.

        Or it cannot be given a revision, and is deleted only by a statement of its own.
        If others write some of them between both steps, it may be unclear who deleted those that are gone. They get the
        driver's `AutoReconnect`, as after a lost connection.
        """
        outcomes = [
            # A validator may refuse the revision of a document. It does not look at what is deleted.
            False if isinstance(one, Exception) and is_refused(one) else one
            for one in await self._firsts.update_each([one.first for one in deletes])
        ]
        # Of several of one document, a later one has raised it over the others.
        last = {deletes[place].then["_id"]: place for place, outcome in enumerate(outcomes) if outcome is True}
        outcomes = [
            last[deletes[place].then["_id"]] == place if one is True else one for place, one in enumerate(outcomes)
        ]
        raised = sorted(last.values())
        if not raised:
            return outcomes
        failures, deleted, again = await self._send_seconds([DeleteOne(deletes[place].then) for place in raised])
        for number, failure in failures.items():
            outcomes[raised[number]] = failure
        unclear = [place for number, place in enumerate(raised) if number not in failures]
        missed = len(unclear) - deleted
        if not missed:
            return outcomes
        # None was deleted, or those that survived are all that were missed. Otherwise one of the others is gone by
        # another's hand, or by what was sent before it was sent again.
        survived = set(unclear) if not (deleted or again) else await self._find_survived(deletes, unclear)
        for place in unclear:
            if place in survived:
                outcomes[place] = False
            elif len(survived) < missed:
                outcomes[place] = unknown("others wrote the entity at the same moment, and may have deleted it")
        return outcomes

    async def _send_seconds(self, requests: Sequence[DeleteOne]) -> tuple[dict[int, Exception], int, bool]:
        """Send the second steps; return the errors of single ones, how many were deleted, and whether it sent again."""
        try:
            failures, deleted = await self._seconds.send_deletes(requests)
        except STATEMENT_ERRORS as error:
            if not is_too_large(error):
                raise
        else:
            return {place: make_error(failure) for place, failure in failures.items()}, deleted, False
        # A filter is too large by its held values, and neither driver nor server names it. Sent one by one, it is
        # refused and the others delete.
        errors: dict[int, Exception] = {}
        deleted = 0
        for place, request in enumerate(requests):
            try:
                failures, one = await self._seconds.send_deletes([request])
            except STATEMENT_ERRORS as error:
                errors[place] = error
            else:
                if failures:
                    errors[place] = make_error(failures[0])
                deleted += one
        return errors, deleted, True

    async def _find_survived(self, deletes: Sequence[GuardedDelete], places: Sequence[int]) -> set[int]:
        ids = await self._seconds.find_ids([deletes[place].survived for place in places])
        return {place for place in places if deletes[place].then["_id"] in ids}
