"""One check: two documents that must agree, and the differences that nothing accepts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import bson
from attrs import Factory, define, field, frozen
from bson import json_util

from lazymig.comparing.differences import (
    ORDERED,
    REORDERED,
    Gap,
    Steps,
    Unknown,
    as_stored,
    find_gaps,
    is_same,
    kind_of,
)
from lazymig.comparing.equivalences import Equivalence, find_narrowest, is_default
from lazymig.comparing.failures import CheckFailed
from lazymig.comparing.schema import Schema
from lazymig.stores.decoding import Unreadable
from lazymig.stores.documents import MISSING, OWN_FIELDS
from lazymig.stores.records import Document
from lazymig.stores.verdicts import Difference

#: How many differences of one check are reported.
DIFFERENCES_MAX: Final = 20
_VALUE_MAX: Final = 120


def strip_own(document: Document) -> dict[str, object]:
    """Return a document without `_id` and lazymig's own field."""
    return {name: value for name, value in document.items() if name not in OWN_FIELDS}


def has_same_bytes(
    made: Mapping[str, object], stored: Document, *, ordered: bool, known: Collection[str] | None
) -> bool:
    """Return whether the stored document has exactly the bytes of the one just made. False: look more closely.

    This decides nearly all comparisons. Fields that only the stored document has are left out if they are not `known`;
    None: all are known. Raises the errors of the BSON encoder for the document that was made.
    """
    try:
        picked = {name: stored[name] for name in made}
    except KeyError:
        return False
    if len(stored) - len(made) != len(OWN_FIELDS & stored.keys()):
        extra = stored.keys() - made.keys() - OWN_FIELDS
        if extra and (known is None or not extra.isdisjoint(known)):
            return False
    if ordered and [name for name in stored if name in picked] != list(picked):
        return False
    raw = bson.encode(made)
    try:
        return bson.encode(picked) == raw
    except (bson.errors.InvalidDocument, UnicodeEncodeError):
        return False  # an unreadable part, inside of what a class reads


@frozen
class Rules:
    """How documents of one shape are compared, and how paths in them are shown."""

    schema: Schema
    #: Whether undeclared names at the top may be shown.
    plain: bool
    equivalences: Sequence[Equivalence]
    ordered: bool
    show_values: bool

    def judge(
        self, expected: Document, found: Document, unknown: Unknown | None = None, added: Document | None = None
    ) -> Judgement:
        """Compare two documents by type and value. `added` is V1's document as V1's own class writes it again."""
        judgement = Judgement()
        gaps = find_gaps(as_stored(expected), as_stored(found), ordered=self.ordered, unknown=unknown)
        for gap in gaps:
            is_added = added is not None and _is_added(gap, added)
            path = self.schema.show(gap.steps, plain=self.plain)
            accepting = self._find_accepting(gap, path, is_added)
            if accepting is not None:
                judgement.accepted[accepting.name] = None
            elif len(judgement.differences) < DIFFERENCES_MAX:
                judgement.differences.append(self._describe(gap, path, is_added))
        return judgement

    def _find_accepting(self, gap: Gap, path: str, is_added: bool) -> Equivalence | None:
        if gap.reordered:
            return None
        for one in self.equivalences:
            if (is_added and is_default(one, path)) or _accepts(one, path, gap):
                return one
        return None

    def _describe(self, gap: Gap, path: str, is_added: bool) -> Difference:
        kinds = (ORDERED, REORDERED) if gap.reordered else (kind_of(gap.expected), kind_of(gap.found))
        values = (_text(gap.expected), _text(gap.found)) if self.show_values else None
        return Difference(path, *kinds, values, find_narrowest(gap, is_added=is_added))


@define
class Judgement:
    """What one check found."""

    differences: list[Difference] = field(factory=list)
    #: The names of the equivalences that accepted something.
    accepted: dict[str, None] = Factory(dict)


def get_value(document: object, steps: Steps) -> object:
    """Return the value at a path, or `MISSING`."""
    for step in steps:
        if isinstance(step, int):
            document = document[step] if isinstance(document, list) and step < len(document) else MISSING
        else:
            document = document.get(step, MISSING) if isinstance(document, dict) else MISSING
    return document


def _is_added(gap: Gap, added: Document) -> bool:
    return gap.expected is MISSING and is_same(get_value(added, gap.steps), gap.found)


def _accepts(one: Equivalence, path: str, gap: Gap) -> bool:
    try:
        return bool(one.accepts(path, gap.expected, gap.found))
    except Exception as error:
        failure = error
    # Raised outside the handler: the cause may quote the document, and must not become the context.
    raise CheckFailed(f"equivalence {one.name!r} raised {type(failure).__name__}")


def _text(value: object) -> str:
    if value is MISSING:
        return "missing"
    try:
        text = json_util.dumps({"": value}, json_options=json_util.CANONICAL_JSON_OPTIONS)[5:-1]
    except (TypeError, ValueError):
        text = "unreadable" if isinstance(value, Unreadable) else repr(value)
    return text if len(text) <= _VALUE_MAX else f"{text[: _VALUE_MAX - 1]}…"
