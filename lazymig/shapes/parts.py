"""Checks of a migration that moves some fields of V1's documents only."""

from __future__ import annotations

from cattrs import Converter

from lazymig.errors import ConfigurationError
from lazymig.shapes.bson_types import make_converter
from lazymig.shapes.stored_names import is_step, top_names, written_names
from lazymig.shapes.upcasting import Upcasters


def check_part(
    given: object, name: str, v1: type, id_field: str, own: Converter | None, chain: Upcasters | None
) -> None:
    """Raise `ConfigurationError` unless V1's class says which fields of V1's documents are migrated."""
    if given is not True:
        raise ConfigurationError("part: pass True; the attributes that move are those that V1's class declares")
    if not is_step(name):
        raise ConfigurationError(
            "name: with part=True it names a field of V1's documents, which holds the revision, so it cannot contain "
            "a dot or NUL or begin with a dollar; choose another name"
        )
    if chain is not None:
        raise ConfigurationError(
            "part: upcasters bring whole documents up to V1's class; let one migration do that first, and then move "
            "the fields"
        )
    converter = own or make_converter()
    names = top_names(converter, v1, id_field)
    if names.opaque or written_names(converter, v1) is None:
        raise ConfigurationError(
            f"part: the converter's own hook for {v1.__name__} does not show which fields it stores; generate it with "
            "cattrs.gen.make_dict_unstructure_fn and make_dict_structure_fn"
        )
    if not names.fields:
        raise ConfigurationError(
            f"part: {v1.__name__} declares no attribute beside {id_field!r}; declare those that are to be moved"
        )
