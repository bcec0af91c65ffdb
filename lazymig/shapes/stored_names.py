"""The names under which a converter stores the fields of a class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from attrs import frozen
from cattrs import Converter

from lazymig.errors import ConfigurationError
from lazymig.shapes.annotations import fields_of, is_typed_dict
from lazymig.shapes.entities import fields, is_entity
from lazymig.stores.documents import META_FIELD

#: The stored names by the fields' Python names; None if a user's own hook decides.
Names = Mapping[str, str] | None


def overrides_of(hook: Any) -> Mapping[str, Any]:
    """Return cattrs' overrides of the fields of a class, which its generated hook keeps."""
    found: Mapping[str, Any] = getattr(hook, "overrides", {})
    return found


def is_step(name: str) -> bool:
    """Return whether MongoDB accepts this name as one step of a path."""
    return bool(name) and name[0] != "$" and "." not in name and "\0" not in name and is_text(name)


def is_text(name: str) -> bool:
    """Return whether BSON can hold this text: it has no half of a surrogate pair."""
    if name.isascii():
        return True
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_free(name: str) -> bool:
    """Return whether a field at the top of a document may be stored under this name."""
    return is_step(name) and name != "_id" and not name.startswith(META_FIELD)


def written_names(converter: Converter, cls: Any) -> Names:
    """Return the stored names that the converter writes."""
    hook = converter.get_unstructure_hook(cls)
    if is_typed_dict(cls):
        return _renamed(dict.fromkeys(fields_of(cls)), hook, converter)
    if not hasattr(hook, "overrides"):
        return None
    # The hook does not record whether it writes names or aliases, but its code contains the strings that it writes.
    written: set[str | None] = set(_texts(hook.__code__.co_consts))
    names = _renamed(_aliases(cls), hook, converter, written)
    return {name: stored for name, stored in names.items() if stored in written}


def read_names(converter: Converter, cls: Any, written: Names) -> Names:
    """Return the stored names that the converter reads."""
    hook = converter.get_structure_hook(cls)
    if not hasattr(hook, "overrides"):
        return None
    renamed = overrides_of(hook)
    kept = {} if written is None else written
    out = overrides_of(converter.get_unstructure_hook(cls))
    return {
        name: _rename(renamed, name, name if _rename(out, name, None) is not None else kept.get(name, name))
        for name in _aliases(cls)
    }


def _aliases(cls: Any) -> dict[str, str | None]:
    if is_entity(cls):
        return {field.name: field.alias for field in fields(cls) if field.stored}
    return dict.fromkeys(fields_of(cls))


def _renamed(
    fields: Mapping[str, str | None], hook: Any, converter: Converter, written: Collection[str | None] = ()
) -> dict[str, str]:
    overrides = overrides_of(hook)
    names = {}
    for name, alias in fields.items():
        aliased = name not in written and (alias in written or getattr(converter, "use_alias", False))
        usual = alias if aliased and alias is not None else name
        names[name] = _rename(overrides, name, usual)
    return names


def _rename(overrides: Mapping[str, Any], name: str, usual: Any) -> Any:
    renamed = getattr(overrides.get(name), "rename", None)
    return usual if renamed is None else renamed


def _texts(constants: Iterable[Any]) -> Iterator[str]:
    for constant in constants:
        if isinstance(constant, str):
            yield constant
        elif isinstance(constant, tuple | frozenset):
            yield from _texts(constant)


def check_nested(converter: Converter, cls: Any, path: str) -> None:
    """Raise `ConfigurationError` for stored names that one sub-document cannot hold together.

    Dots, dollars and empty names are allowed, since such a sub-document is always set whole.
    """
    names = written_names(converter, cls)
    if names is None:
        return
    _check_distinct(names, path)
    _check_both_ways(converter, cls, names, path)
    if any("\0" in name for name in names.values()) or {"$ref", "$id"} <= set(names.values()):
        raise ConfigurationError(
            f"{path}: stored names cannot contain NUL, and $ref and $id cannot stand together; rename one"
        )


def _check_distinct(names: Mapping[str, str], path: str) -> None:
    twice = [stored for stored, count in Counter(names.values()).items() if count > 1]
    if twice:
        both = " and ".join(name for name, stored in names.items() if stored == twice[0])
        raise ConfigurationError(f"{path}: {both} are both stored as {twice[0]!r}; rename one of them")


def _check_both_ways(converter: Converter, cls: Any, names: Mapping[str, str], path: str) -> None:
    read = read_names(converter, cls, names) or {}
    for name, stored in names.items():
        if read.get(name, stored) != stored:
            raise ConfigurationError(
                f"{path}.{name} is written as {stored!r} but read from {read[name]!r}; give both hooks the same rename"
            )


@frozen
class TopNames:
    """The names at the top of an entity's documents."""

    #: The converter's name for the id; None if only a user's own hook knows it.
    id: str | None
    #: All other known names, in order.
    fields: tuple[str, ...]
    #: The names that need no further check when a document is encoded.
    checked: frozenset[str]
    #: Whether a user's own hook reads the documents.
    opaque: bool


def top_names(converter: Converter, cls: Any, id_field: str) -> TopNames:
    """Return the names at the top of an entity class's documents, as its converter stores them."""
    written = written_names(converter, cls)
    read = read_names(converter, cls, written)
    known = read if written is None else {id_field: (read or {}).get(id_field, id_field)} | dict(written)
    names = dict(known or dict.fromkeys(_aliases(cls)))
    own = names.pop(id_field, None) if known is not None else None
    names.pop(id_field, None)
    fields = tuple(stored or name for name, stored in names.items())
    return TopNames(own, fields, frozenset(filter(is_free, fields)) if known is not None else frozenset(), read is None)


def check_top(side: str, converter: Converter, cls: type, id_field: str) -> None:
    """Raise `ConfigurationError` for a stored name that is not allowed at the top of a document."""
    names = written_names(converter, cls)
    if names is None:
        return
    _check_both_ways(converter, cls, names, f"{side}: {cls.__name__}")
    for name, stored in names.items():
        if name != id_field and not is_free(stored):
            raise ConfigurationError(
                f"{side}: {cls.__name__}.{name} is stored as {stored!r}, which is reserved or no plain field name "
                "(empty, a dot, a leading dollar, NUL); rename it"
            )
    # Documents store the id as `_id`, whatever name the converter uses.
    _check_distinct({id_field: top_names(converter, cls, id_field).id or id_field, **names}, f"{side}: {cls.__name__}")
