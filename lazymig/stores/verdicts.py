"""Frozen values: what a comparison of both sides found. They contain ids and field paths, and no other contents."""

from __future__ import annotations

import enum
from datetime import datetime

from attrs import frozen

from lazymig.stores.given import RawId


class Verdict(enum.StrEnum):
    """What a comparison of one entity's two sides found."""

    #: V2's body was made from V1's revision, and both agree.
    MATCH = "match"
    #: V1 holds the entity, which waits for its user, and V2 has recorded that. No mismatch.
    WAITING = "waiting"
    #: V1 holds the entity, which is not taken over, and V2 has recorded that. No mismatch.
    LEFT = "left"
    #: In one document: V2's part is not of V1's part as it stands, and a read or a sweep makes it so. No mismatch.
    BEHIND = "behind"
    #: V1 holds the entity and V2 does not.
    MISSING = "missing"
    #: V2 claims to be clean and is of another revision than V1, or of an older conversion.
    STALE = "stale"
    #: Both are of one revision and do not agree.
    DIFFERENT = "different"
    #: V2 holds the entity and V1 does not.
    ORPHAN = "orphan"
    #: A write was announced and not finished.
    DIRTY = "dirty"
    #: The two could not be compared: they moved all the time, or one of them does not convert.
    UNKNOWN = "unknown"


#: The verdicts of entities whose two sides agree.
AGREEING = frozenset({Verdict.MATCH, Verdict.WAITING, Verdict.LEFT, Verdict.BEHIND})


@frozen
class Difference:
    """One field in which two sides differ.

    Attributes:
        path: The field by its stored names, such as `address.zip` or `lines[2].price`. Keys of maps are shown as
            `[...]`, because they are contents.
        expected: The BSON type of what was expected, such as "int32", or "missing".
        found: The BSON type of what was found. Equal to `expected` where only the value differs.
        values: Both values as text, where the caller asked for values; None otherwise.
        accept: The narrowest built-in equivalence that would accept it, such as "missing-null"; "" if there is none.
    """

    path: str
    expected: str
    found: str
    values: tuple[str, str] | None = None
    accept: str = ""


@frozen
class Mismatch:
    """An entity whose two sides do not agree, as it is recorded in the control collection.

    Attributes:
        id: The entity's id.
        verdict: What is wrong.
        check: The check that found it: "upgrade", "downgrade", "expected", an invariant's name, or "" where no bodies
            were compared.
        differences: The fields that differ, at most 20 of them.
        reason: What is wrong in words, without contents; "" where verdict and differences say all.
        revision: V1's revision, None where V1 lacks the entity.
        v2_revision: The revision of V2's body, None where V2 lacks the entity.
        signature: Changes whenever one of the two sides changes. The age of a mismatch starts again then.
        source: What found it: "verify" or "dark read"; "" where the record of it cannot be read.
        confirmed: Whether it has stood unchanged for the minimum age. Only then it counts.
        since: Since when both sides are as they are, naive UTC.
        first_at: When the entity was first found not to agree, whatever was wrong then.
        last_at: When it was last looked at.
    """

    id: RawId
    verdict: Verdict
    check: str = ""
    differences: tuple[Difference, ...] = ()
    reason: str = ""
    revision: int | None = None
    v2_revision: int | None = None
    signature: str = ""
    source: str = "verify"
    confirmed: bool = False
    since: datetime | None = None
    first_at: datetime | None = None
    last_at: datetime | None = None
