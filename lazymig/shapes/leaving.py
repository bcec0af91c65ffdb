"""Entities that V2 has no body for: what `upgrade` returns to leave one, and what V2's door answers for them."""

from __future__ import annotations

import enum
from typing import Final, TypeVar

from lazymig.errors import ConversionError, NotFound, NotYet
from lazymig.shapes.fields import Rejected
from lazymig.stores.documents import decode_id
from lazymig.stores.given import RawId
from lazymig.stores.records import Unmoved

V2 = TypeVar("V2")


class Leave(enum.Enum):
    """The type of `LEAVE`, for the annotation of an `upgrade` that returns it: `-> CustomerV2 | lazymig.Leave`."""

    LEAVE = "leave"

    def __repr__(self) -> str:
        return "lazymig.LEAVE"


#: What `upgrade` returns for an entity that V2 does not take over.
LEAVE: Final = Leave.LEAVE


def make_waiting_error(id: RawId, unmoved: Unmoved) -> ConversionError:
    """Return the error of V2's door for an entity that waits for its user."""
    return ConversionError(decode_id(id), "upgrade", NotYet(unmoved.reason))


def answer(id: RawId, made: V2 | Unmoved) -> V2 | None:
    """Return what V2's door answers: None for an entity that is left. Raises an error for one that waits."""
    if not isinstance(made, Unmoved):
        return made
    if made.why == "left":
        return None
    raise make_waiting_error(id, made)


def as_answer(id: RawId, made: V2 | ConversionError | Unmoved) -> V2 | ConversionError | None:
    """Return what V2's door answers, an error for an entity that waits, and None for one that is left."""
    if not isinstance(made, Unmoved):
        return made
    return make_waiting_error(id, made) if made.why == "waiting" else None


def as_answers(made: dict[RawId, V2 | ConversionError | Unmoved]) -> dict[RawId, V2 | ConversionError]:
    """Return what V2's door answers, an error for an entity that waits; those that are left are left out."""
    answers = {id: as_answer(id, one) for id, one in made.items()}
    return {id: found for id, found in answers.items() if found is not None}


def expect(id: RawId, made: V2 | Unmoved) -> V2:
    """Return the entity for a write of V2's door. Raises `NotFound` for one that is left."""
    found = answer(id, made)
    if found is None:
        raise NotFound(decode_id(id))
    return found


def check_moved(id: RawId, made: V2 | Unmoved) -> V2:
    """Return the entity that was made. Raises `ConversionError` where only V2 is written and does not take it over."""
    found = answer(id, made)
    if found is None:
        wrong = Rejected("it returned LEAVE, and only V2 is written")
        raise ConversionError(decode_id(id), "upgrade", wrong)
    return found
