"""What an update writes to V1. A document of an older version is stored whole in the newest one, never in part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import bson

from lazymig.shapes.changes import changes, needs_stored
from lazymig.shapes.codec import Codec
from lazymig.shapes.fields import Rejected
from lazymig.shapes.stored_names import is_step
from lazymig.shapes.upcasting import NewerVersion, Upcasters, bring_up, read_version
from lazymig.stores.decoding import Damaged, is_readable
from lazymig.stores.documents import MISSING, OWN_FIELDS, get_at
from lazymig.stores.records import Document, Fields

E = TypeVar("E")

#: A filter that held more would slow the update down.
_HELD_BYTES = 100_000


class V1Changes(NamedTuple):
    """The fields to set and unset, the sub-documents that must exist, and the values that V1 must still have."""

    changed: Fields
    vanished: list[str]
    within: Sequence[str] = ()
    held: Document | None = None


def find_v1_changes(
    codec: Codec[E], before: Document, after: Document, stored: Document | None, *, replacing: bool = False
) -> V1Changes:
    """Return the changes to V1's document that turn `before` into `after`, both as the class stores them.

    `stored` is V1's document, None where it was not read. `replacing`: every field of the class is given, so what is
    stored need not be readable. Raises what `bring_up` and decoding raise.
    """
    chain = codec.upcasters
    if chain is None:
        return V1Changes(*changes(before, after, stored))
    if stored is None:
        # Fields of the newest version in a document of an older one would mix two shapes. The guard makes this attempt
        # lose there, and the next one reads V1.
        return V1Changes(*_without_version(chain, before, after, None), {chain.field: chain.newest})
    held = {chain.field: get_at(stored, chain.field)}
    now, version = _bring_up_where_possible(codec, chain, stored, replacing=replacing)
    _check_version(chain, after, version)
    if version > chain.newest:
        codec.decode(stored)  # a document that this release cannot read must not be changed by it
        return V1Changes(*_without_version(chain, before, after, stored), held)
    final = patched(now, _without_version(chain, before, after, now))
    final[chain.field] = chain.newest
    codec.decode(final)  # nothing may get the newest version that is not of it
    return V1Changes(*_compare(stored, final), held)


def must_read_v1(codec: Codec[E], before: Document, after: Document) -> bool:
    """Return whether V1's document must be read before an update that was decided without it."""
    chain = codec.upcasters
    return needs_stored(before, after) or (chain is not None and after.get(chain.field) != chain.newest)


def find_rewrite(codec: Codec[E], chain: Upcasters, stored: Document) -> V1Changes | None:
    """Return the changes that store an older document in the newest version; None where there is nothing to change.

    The document must still have all its values then, because programs that do not use lazymig change no revision.
    Raises what `bring_up` and decoding raise.
    """
    version = read_version(chain, stored)
    if version > chain.newest or (version == chain.newest and chain.field in stored):
        return None
    final = patched(bring_up(chain, stored, codec.options), ({}, [], []))
    final[chain.field] = chain.newest
    codec.decode(final)
    return V1Changes(*_compare(stored, final), _hold(chain, stored))


def _hold(chain: Upcasters, stored: Document) -> Document:
    """Return the document's values, as far as a filter can name them; of a large document, its version only."""
    version = {chain.field: get_at(stored, chain.field)}
    values = {
        name: value for name, value in stored.items() if name not in OWN_FIELDS and is_step(name) and not _is_odd(value)
    }
    return {**version, **values} if is_small(values) else version


def is_small(values: Document) -> bool:
    """Return whether a filter may hold these values without slowing the statement down."""
    try:
        return len(bson.encode({name: value for name, value in values.items() if value is not MISSING})) <= _HELD_BYTES
    except Exception:
        return False  # Python cannot hold one of them


def _compare(stored: Document, final: Document) -> tuple[Fields, list[str], list[str]]:
    """Return the changes that turn V1's document into another one."""
    same: set[str] = set()
    if isinstance(stored, Damaged):
        # What Python cannot read cannot be written either, so it must stay where it is.
        same = {name for name in stored if name in final and stored[name] == final[name] and _is_odd(stored[name])}
    one, other = ({name: value for name, value in side.items() if name not in same} for side in (stored, final))
    found = changes(one, other, one)
    if isinstance(stored, Damaged) and _is_odd(found[0]):
        raise Rejected("an upcaster moves a value that Python cannot read; correct the document")
    return found


def _is_odd(value: object) -> bool:
    return not is_readable(value)


def _bring_up_where_possible(
    codec: Codec[E], chain: Upcasters, stored: Document, *, replacing: bool
) -> tuple[Document, int]:
    """Return the document in the newest version, and the version that it has now."""
    try:
        now = bring_up(chain, stored, codec.options)
        return now, max(read_version(chain, stored), chain.newest)
    except NewerVersion:
        raise
    except Exception:
        if not replacing:
            raise
        return stored, chain.newest


def _check_version(chain: Upcasters, after: Document, version: int) -> None:
    """Raise `Rejected` for an entity that claims another version than its document will have."""
    if after.get(chain.field) not in (chain.newest, version):
        raise Rejected(f"an entity of version {chain.newest} is written; leave the version to lazymig", chain.field)


def _without_version(
    chain: Upcasters, before: Document, after: Document, stored: Document | None
) -> tuple[Fields, list[str], list[str]]:
    one, other = (
        {name: value for name, value in document.items() if name != chain.field} for document in (before, after)
    )
    return changes(one, other, stored)


def patched(document: Document, found: tuple[Fields, list[str], list[str]]) -> Fields:
    """Return the document with these changes. The given one is not altered."""
    changed, vanished, _ = found
    result = Damaged(document) if isinstance(document, Damaged) else dict(document)
    for path in vanished:
        _unset(result, path.split("."))
    for path, value in changed.items():
        _set(result, path.split("."), value)
    return result


def _set(document: Fields, path: Sequence[str], value: object) -> None:
    name, *rest = path
    if rest:
        inner = dict(document.get(name) or {})
        _set(inner, rest, value)
        value = inner
    document[name] = value


def _unset(document: Fields, path: Sequence[str]) -> None:
    name, *rest = path
    if not rest:
        document.pop(name, None)
    elif isinstance(document.get(name), dict):
        inner = dict(document[name])
        _unset(inner, rest)
        document[name] = inner
