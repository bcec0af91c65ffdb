"""Checks of indexes: which of V1's V2 lacks, and which of V2's refuse what V1 holds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import product

from lazymig.diagnosis.examining import Converted, Ignoring
from lazymig.diagnosis.facts import SideFacts, Uses
from lazymig.diagnosis.findings import Finding, Group, notes, passes, warns
from lazymig.diagnosis.mapping import FieldMap
from lazymig.diagnosis.values import key_of, values_at
from lazymig.stores.carried import WHOLE, Carried
from lazymig.stores.documents import META_FIELD, PART_FIELD, REVISION_FIELD
from lazymig.stores.given import RawId
from lazymig.stores.records import Document

#: Options with which an index omits documents, sorts them differently, or is not used.
_LIMITS = ("partialFilterExpression", "sparse", "collation", "hidden")
#: How many keys are remembered of one unique index.
_KEYS_MAX = 1_000_000
_OWN = {REVISION_FIELD, PART_FIELD, META_FIELD}

Keys = tuple[tuple[str, object], ...]


def list_indexes(indexes: Sequence[Document], carried: Carried = WHOLE) -> list[Document]:
    """Return the indexes that are neither the one on `_id` nor lazymig's own.

    Where entities are parts of documents, the indexes without a field of theirs serve others.
    """
    found = [one for one in indexes if list(one["key"]) != ["_id"] and not _is_own(one)]
    return [one for one in found if not carried.is_part or _firsts_of(one) & set(carried.names)]


def _firsts_of(index: Document) -> set[str]:
    return {str(path).partition(".")[0] for path in index["key"]}


def _is_own(index: Document) -> bool:
    return _firsts_of(index) <= _OWN


def list_paths(indexes: Sequence[Document]) -> list[str]:
    """Return the fields of these indexes."""
    return [str(path) for index in indexes for path in index["key"]]


def check_indexes(
    v1: SideFacts, v2: SideFacts, fields: FieldMap, carried: Carried = WHOLE, *, on: str = " on V2"
) -> Iterator[Finding]:
    """Find the indexes of V1 for which V2 has none. `on`: where to create one."""
    check, wanted = "indexes", list_indexes(v1.seen.indexes, carried)
    missing = [finding for index in wanted for finding in _check_index(index, v1.uses, v2, fields, on)]
    yield from missing
    if wanted and not missing:
        yield passes(check, f"V2 has an index for each of V1's {len(wanted)}")
    elif not wanted and v1.seen.kind == "collection":
        yield passes(check, "V1 has no indexes except the one on _id")


def _check_index(index: Document, uses: Uses | None, v2: SideFacts, fields: FieldMap, on: str) -> Iterator[Finding]:
    check, keys = "indexes", _keys_of(index)
    name = ", ".join(path for path, _ in keys)
    used, is_used = _describe_use(str(index["name"]), uses)
    start = f"V1 has an index on ({name}), {used}"
    make = warns if is_used else notes
    if any(path in ("_fts", "_ftsx") or "$**" in path for path, _ in keys):
        yield notes(check, f"{start}; it is a text or wildcard index", "create by hand what V2's queries need")
        return
    matches = [fields.find(path) for path, _ in keys]
    if not all(match.fields for match in matches):
        unmapped = ", ".join(path for (path, _), match in zip(keys, matches, strict=True) if not match.fields)
        clear = all(match.clear for match in matches)
        why = "no field of V2 holds the values of" if clear else "too few values show which field of V2 holds"
        yield make(check, f"{start}; {why} {unmapped}", "look which queries use it, and create what V2's queries need")
        return
    choices = [
        tuple(zip(paths, (kind for _, kind in keys), strict=True))
        for paths in product(*(match.fields for match in matches))
    ]
    if any(_serves(other, choice, index) for other in v2.seen.indexes for choice in choices):
        return
    wanted = ", ".join(" or ".join(match.fields) for match in matches)
    spec = ", ".join(f'"{path}": {kind if isinstance(kind, str) else int(kind)}' for path, kind in choices[0])  # type: ignore[call-overload]
    unique = "; V1's unique index goes on to refuse duplicates for both" if index.get("unique") else ""
    yield make(
        check, f"{start}; V2 has none on ({wanted})",
        f"create it{on} before queries go there: createIndex({{{spec}}}){unique}",
    )  # fmt: skip


def _keys_of(index: Document) -> Keys:
    return tuple((str(path), kind) for path, kind in index["key"].items())


def _describe_use(name: str, uses: Uses | None) -> tuple[str, bool]:
    if uses is None:
        return "whose use this user may not see", True
    count, since = uses.get(name, (0, None))
    when = f" on the primary since {since:%Y-%m-%d}" if since else ""
    return f"used {count:,} times{when}", count > 0


def _serves(index: Document, wanted: Keys, like: Document) -> bool:
    if any(index.get(limit) != like.get(limit) for limit in _LIMITS if index.get(limit)):
        return False
    start = _keys_of(index)[: len(wanted)]
    return start in (wanted, tuple((path, _turned(kind)) for path, kind in wanted))


def _turned(kind: object) -> object:
    return -kind if isinstance(kind, int | float) else kind


class Duplicates(Ignoring):
    """Finds entities with the same values in a unique index of V2."""

    check = "unique indexes"

    def __init__(
        self, indexes: Sequence[Document], advice: str = "correct the documents, or drop the unique index"
    ) -> None:
        self._advice = advice
        self._indexes = [one for one in list_indexes(indexes) if one.get("unique") or one.get("prepareUnique")]
        #: A digest of the values, and the first entity with them.
        self._seen: list[dict[bytes, RawId]] = [{} for _ in self._indexes]
        self._doubled = [Group() for _ in self._indexes]
        self._count = 0

    def note_converted(self, one: Converted) -> None:
        """Note one document's values in each index."""
        self._count += 1
        for index, seen, doubled in zip(self._indexes, self._seen, self._doubled, strict=True):
            for digest in _digests(index, one.seen.document):
                if digest not in seen:
                    if len(seen) < _KEYS_MAX:
                        seen[digest] = one.truth.id
                elif seen[digest] != one.truth.id:
                    doubled.add(one.truth.id)
                    break

    def findings(self) -> Sequence[Finding]:
        """Return what V2 would refuse."""
        found = []
        for index, doubled in zip(self._indexes, self._doubled, strict=True):
            text = f"V2 has the unique index {index['name']} on ({', '.join(index['key'])})"
            if doubled.count:
                found.append(
                    warns(
                        self.check, f"{text}, and {doubled.count:,} of {self._count:,} documents have the values of "
                        "others; V2 would refuse them", self._advice, doubled.ids,
                    )
                )  # fmt: skip
            else:
                found.append(
                    notes(
                        self.check, f"{text}; none of {self._count:,} documents is refused, and writes may be later",
                        "V1 accepts a write first and V2 refuses its body then, which leaves a dead letter; give V1 an "
                        "index that refuses the same",
                    )
                )  # fmt: skip
        return found or ([passes(self.check, "V2 has none")] if self._count else [])


def _digests(index: Document, document: Document) -> list[bytes]:
    """Return digests of a document's entries in an index; none where it has no entry, or where that is unknown."""
    paths = [str(path) for path in index["key"]]
    entries = [values_at(document, path) for path in paths]
    partial = index.get("partialFilterExpression")
    if partial is not None:
        # Other filters need the server's judgement.
        if any(condition != {"$exists": True} for condition in partial.values()):
            return []
        if not all(values_at(document, path) for path in partial):
            return []
    if index.get("sparse") and not any(entries):
        return []
    found = []
    for values in product(*(entry or [None] for entry in entries)):
        raw = key_of(list(values))
        if raw is not None:
            found.append(hashlib.blake2b(raw, digest_size=16).digest())
    return found
