"""The check of programs that write V1 without lazymig, and may drop its field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lazymig.diagnosis.findings import Finding, Group, notes, warns
from lazymig.stores.documents import MISSING, PART_FIELD, REVISION_FIELD, get_at, is_foreign, parse_v2
from lazymig.stores.given import RawId
from lazymig.stores.raw import keys_of
from lazymig.stores.records import Document, StoredV1

CHECK = "direct writers"
_FIND = (
    "look for replace_one, find_one_and_replace and updates with whole documents in every program that writes V1; let "
    "them write by lazymig or with $set, or run lazymig follow or checked=True, which notice them"
)


class Writers:
    """Compares revisions of both sides: an entity that has one in V2 and none in V1 was replaced by another program."""

    def __init__(self, path: str = REVISION_FIELD) -> None:
        #: Where V1's documents have the revision.
        self._path = path
        self._revisions: dict[object, tuple[RawId, bool, int]] = {}
        self._dropped, self._behind = Group(), Group()
        self._both = 0
        #: The other migrations whose revisions V1's documents have.
        self._others: set[str] = set()

    def note(self, truths: Sequence[StoredV1], rows: Sequence[Mapping[str, object]]) -> None:
        """Note V1's documents of one page, and V2's own fields of the same ids."""
        for truth in truths:
            self._others |= _list_revisions(truth.document) - {self._path}
        known = [row for row in rows if not is_foreign(row)]
        seen = dict(zip(keys_of(row["_id"] for row in known), map(parse_v2, known), strict=True))
        for key, truth in zip(keys_of(truth.id for truth in truths), truths, strict=True):
            other = seen.get(key)
            if other is None or other.gone or other.revision <= 0:
                continue
            self._both += 1
            if get_at(truth.document, self._path) is MISSING:
                self._dropped.add(truth.id)
            elif truth.revision < other.revision:
                self._behind.add(truth.id)

    def findings(self) -> Sequence[Finding]:
        """Return the signs of such programs, and how to look for those that left none."""
        return [*self._find_others(), *self._find_programs()]

    def _find_others(self) -> Sequence[Finding]:
        if not self._others:
            return []
        return [
            notes(
                "other migrations", f"V1's documents also have the revisions {', '.join(sorted(self._others))}: other "
                "migrations work on this collection, or have worked on it",
                "make sure that no two of them declare the same attribute: each is an outside writer to the others",
            )
        ]  # fmt: skip

    def _find_programs(self) -> Sequence[Finding]:
        found = []
        if self._dropped.count:
            found.append(
                warns(
                    CHECK, f"{self._dropped.count:,} of {self._both:,} entities that lazymig has written lack "
                    f"{self._path} in V1: another program replaced these documents as a whole", _FIND,
                    self._dropped.ids,
                )
            )  # fmt: skip
        if self._behind.count:
            found.append(
                warns(
                    CHECK, f"{self._behind.count:,} of {self._both:,} entities have a lower revision in V1 than in V2: "
                    "another program stored documents that it had read before, or V1 was restored", _FIND,
                    self._behind.ids,
                )
            )  # fmt: skip
        if found:
            return found
        signs = (
            f"{self._both:,} entities that lazymig has written have their revision in V1"
            if self._both
            else ("lazymig has written no entity yet, so the data show nothing")
        )
        return [notes(CHECK, signs, _FIND)]


def _list_revisions(document: Document) -> set[str]:
    """List where a document has revisions."""
    parts = document.get(PART_FIELD)
    found = {f"{PART_FIELD}.{name}" for name in parts} if isinstance(parts, Mapping) else set[str]()
    return found | {REVISION_FIELD} if REVISION_FIELD in document else found


def check_class(v1: type, path: str = REVISION_FIELD) -> Sequence[Finding]:
    """Look at V1's class: whether another program with this class refuses or drops lazymig's field."""
    config = getattr(v1, "model_config", None)
    if isinstance(config, Mapping) and config.get("extra") == "forbid":
        return [
            warns(
                CHECK, f"V1's class {v1.__name__} forbids unknown fields: other programs that read V1 with it fail at "
                f"{path}", "let the class ignore unknown fields in these programs before lazymig writes",
            )
        ]  # fmt: skip
    if any(base.__module__.startswith("beanie.") for base in v1.__mro__):
        return [
            notes(
                CHECK, f"V1's class {v1.__name__} is a Beanie document: replace() and replace_many() store "
                f"documents as a whole, and drop {path} unless the class keeps unknown fields",
                "use set() or save_changes() in programs that do not go through lazymig",
            )
        ]  # fmt: skip
    return []
