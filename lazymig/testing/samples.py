"""Documents like those that a collection holds: the values of real ones, recombined.

    sample = await sample_documents(db["customers"])
    assert_laws(migration, v1=documents_like(sample, CustomerV1))

What breaks a law is shown, and so are parts of real documents: use them where you may read them.
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
from lazymig.stores.documents import META_FIELD, REVISION_FIELD
from lazymig.testing.extras import SearchStrategy, st

Document = dict[str, Any]

#: A field that a document lacks.
_MISSING: Final = object()


async def sample_documents(collection: Any, size: int = 200) -> list[Document]:
    """Documents of a collection, chosen at random by the server.

    Args:
        collection: An async collection of PyMongo or Motor.
        size: How many at most.

    Returns:
        The documents as the collection's client decodes them, without lazymig's own fields.
    """
    cursor = collection.aggregate([{"$sample": {"size": size}}])
    # PyMongo's own async API answers with a coroutine, Motor with the cursor.
    found = await (await cursor if hasattr(cursor, "__await__") else cursor).to_list(None)
    return [_without_own(document) for document in found]


def documents_like(
    documents: Iterable[Mapping[str, Any]],
    cls: type,
    *,
    converter: Converter | None = None,
    id_field: str = "id",
    tz_aware: bool = False,
) -> SearchStrategy[Document]:
    """Documents like these: each of them as it is, and others with the values of their fields recombined.

    Each field has a value that it has in one of the documents, null included, or is missing as often as it is there.
    Fields of sub-documents are recombined in the same way where `cls` declares a class for them. Recombinations that
    the class refuses are thrown away; the documents themselves are not, so that `assert_laws` reports what the class
    does not take.

    Args:
        documents: Real documents, as a client returns them: some hundreds, of `sample_documents` say.
        cls: The class that the documents are read as; Migration's `v1`, usually.
        converter: The class's own converter, as it is given to `Migration`.
        id_field: The attribute that is `_id`.
        tz_aware: Whether the client returns aware datetimes.

    Returns:
        A strategy for `assert_laws(migration, v1=...)`.

    Raises:
        ConfigurationError: There are no documents.
    """
    given = [_without_own(document) for document in documents]
    if not given:
        raise ConfigurationError("documents_like: pass at least one document; sample_documents(collection) gets some")
    codec: Codec[Any] = codec_for(cls, id_field, converter, tz_aware=tz_aware)
    mixed = _recombined(given, cls, codec.fast).filter(lambda document: _is_taken(codec, document))
    # The real ones first, so that what is shrunk ends at one of them. Copies, for a conversion may alter what it gets.
    return (st.sampled_from(given) | mixed).map(deepcopy)


def _without_own(document: Mapping[str, Any]) -> Document:
    return {key: value for key, value in document.items() if key not in (REVISION_FIELD, META_FIELD)}


def _is_taken(codec: Codec[Any], document: Document) -> bool:
    try:
        codec.decode(deepcopy(document))
    except Exception:
        return False
    return True


def _recombined(found: Sequence[Mapping[str, Any]], cls: Any, converter: Converter) -> SearchStrategy[Document]:
    """Mappings with each key's value from one of these, or without it."""
    inside = _classes(cls, converter)
    fields = {}
    for name in dict.fromkeys(key for one in found for key in one):
        values = [one.get(name, _MISSING) for one in found]
        fields[name] = st.sampled_from(values)
        mappings = [value for value in values if isinstance(value, Mapping)]
        if name in inside and mappings:
            fields[name] |= _recombined(mappings, inside[name], converter)
    # Hypothesis gives the keys in an order of its own, and documents have one.
    return st.fixed_dictionaries(fields).map(
        lambda drawn: {name: drawn[name] for name in fields if drawn[name] is not _MISSING}
    )


def _classes(cls: Any, converter: Converter) -> dict[str, Any]:
    """The one class that each field declares for its sub-document, by the field's stored name."""
    classes = {}
    kinds = fields_of(cls)
    for name, stored in (written_names(converter, cls) or {}).items():
        kind = stripped(kinds[name])
        found = [one for one in (members(kind) if is_union(kind) else [kind]) if is_class(one)]
        if len(found) == 1:
            classes[stored] = found[0]
    return classes
