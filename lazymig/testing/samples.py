"""Test documents that resemble those of a collection: the values of real documents, recombined.

    sample = await sample_documents(db["customers"])
    assert_laws(migration, v1=documents_like(sample, CustomerV1))

A broken law shows parts of real documents. Use samples only where you may read those documents.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from typing import Any, Final

from cattrs import Converter

from lazymig.errors import ConfigurationError
from lazymig.shapes.annotations import fields_of, is_class, is_union, members, stripped
from lazymig.shapes.codec import Codec, codec_for
from lazymig.shapes.stored_names import written_names
from lazymig.shapes.upcasting import Upcasters
from lazymig.testing.differences import without_own
from lazymig.testing.extras import SearchStrategy, st

Document = dict[str, Any]

#: A field that a document lacks.
_MISSING: Final = object()


async def sample_documents(collection: Any, size: int = 200) -> list[Document]:
    """Return documents of a collection that the server chooses at random.

    Args:
        collection: An async collection of PyMongo or Motor.
        size: The largest number of documents.

    Returns:
        The documents as the collection's client decodes them, without lazymig's own fields.
    """
    cursor = collection.aggregate([{"$sample": {"size": size}}])
    # PyMongo's async API returns a coroutine, Motor the cursor.
    found = await (await cursor if hasattr(cursor, "__await__") else cursor).to_list(None)
    return [without_own(document) for document in found]


def documents_like(
    documents: Iterable[Mapping[str, Any]],
    cls: type,
    *,
    converter: Converter | None = None,
    id_field: str = "id",
    tz_aware: bool = False,
    upcasters: Upcasters | None = None,
) -> SearchStrategy[Document]:
    """Return a strategy for the given documents and for recombinations of their values.

    In a recombination, each field has the value that it has in one of the documents, including null, or is missing with
    the same frequency as there. Fields of sub-documents are recombined in the same way if `cls` declares a class for
    them. Recombinations that the class refuses are discarded. The documents themselves are not, so that `assert_laws`
    reports those that the class refuses.

    Args:
        documents: Real documents as a client returns them, usually a few hundred from `sample_documents`.
        cls: The class of the documents, usually the migration's `v1`.
        converter: The converter that `Migration` gets for the class, if any.
        id_field: The attribute that is stored as `_id`.
        tz_aware: Whether the client returns aware datetimes.
        upcasters: The chain that `Migration` gets, if any. Only documents of one version are recombined.

    Returns:
        A strategy for `assert_laws(migration, v1=...)`.

    Raises:
        ConfigurationError: `documents` is empty.
    """
    given = [without_own(document) for document in documents]
    if not given:
        raise ConfigurationError("documents_like: pass at least one document; sample_documents(collection) gets some")
    codec: Codec[Any] = codec_for(cls, id_field, converter, tz_aware=tz_aware, upcasters=upcasters)
    mixed = [
        _recombined(some, cls, codec.fast).filter(lambda document: _is_taken(codec, document))
        for some in _by_version(given, upcasters)
    ]
    # Real documents come first, so that shrinking ends at one of them. Copies, since a conversion may change its input.
    return st.one_of(st.sampled_from(given), *mixed).map(deepcopy)


def _by_version(documents: Sequence[Document], chain: Upcasters | None) -> list[list[Document]]:
    """Return the documents of each version apart: one version's fields mean nothing beside another's."""
    if chain is None:
        return [list(documents)]
    versions: dict[str, list[Document]] = {}
    for document in documents:
        versions.setdefault(repr(document.get(chain.field, _MISSING)), []).append(document)
    return list(versions.values())


def _is_taken(codec: Codec[Any], document: Document) -> bool:
    try:
        codec.decode(deepcopy(document))
    except Exception:
        return False
    return True


def _recombined(found: Sequence[Mapping[str, Any]], cls: Any, converter: Converter) -> SearchStrategy[Document]:
    """Return a strategy for mappings that take each key's value, or its absence, from one of the given mappings."""
    inside = _classes(cls, converter)
    fields = {}
    for name in dict.fromkeys(key for one in found for key in one):
        values = [one.get(name, _MISSING) for one in found]
        fields[name] = st.sampled_from(values)
        mappings = [value for value in values if isinstance(value, Mapping)]
        if name in inside and mappings:
            fields[name] |= _recombined(mappings, inside[name], converter)
    # Hypothesis orders the keys by itself, but the order of a document's fields matters.
    return st.fixed_dictionaries(fields).map(
        lambda drawn: {name: drawn[name] for name in fields if drawn[name] is not _MISSING}
    )


def _classes(cls: Any, converter: Converter) -> dict[str, Any]:
    """Return the class of each field's sub-document by the field's stored name, for fields with exactly one class."""
    classes = {}
    kinds = fields_of(cls)
    for name, stored in (written_names(converter, cls) or {}).items():
        kind = stripped(kinds[name])
        found = [one for one in (members(kind) if is_union(kind) else [kind]) if is_class(one)]
        if len(found) == 1:
            classes[stored] = found[0]
    return classes
