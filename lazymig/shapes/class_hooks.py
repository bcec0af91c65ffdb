"""Hooks for entity classes that cattrs does not support: pydantic's classes, and classes that declare stored names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from cattrs import Converter
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from lazymig.shapes.annotations import is_stand_in, stripped
from lazymig.shapes.entities import check_declared, declared_names, is_model, is_renamed


def register_classes(converter: Converter) -> None:
    """Register the hooks on a converter. Factories take the converter, so that a copy gets its own hooks."""
    converter.register_structure_hook_factory(is_stand_in, _stood_for)
    converter.register_unstructure_hook_factory(is_stand_in, _stood_for_out)
    _register_models(converter)
    # cattrs asks the last factory first. This one has to see every class, because it records it (see `is_renamed`).
    converter.register_structure_hook_factory(is_renamed, _renamed)
    converter.register_unstructure_hook_factory(is_renamed, _renamed_out)


def _register_models(converter: Converter) -> None:
    being_read, being_written = set[Any](), set[Any]()

    def read(kind: Any, own: Converter) -> Callable[[Any, Any], Any]:
        from lazymig.shapes.model_hooks import read_hook

        with _once(kind, being_read):
            return read_hook(kind, own)

    def write(kind: Any, own: Converter) -> Callable[[Any], Any]:
        from lazymig.shapes.model_hooks import write_hook

        with _once(kind, being_written):
            return write_hook(kind, own)

    converter.register_structure_hook_factory(is_model, read)
    converter.register_unstructure_hook_factory(is_model, write)


@contextmanager
def _once(kind: Any, under_way: set[Any]) -> Iterator[None]:
    if kind in under_way:
        raise RecursionError  # cattrs then looks the hook up when it converts a value
    under_way.add(kind)
    try:
        yield
    finally:
        under_way.discard(kind)


def _stood_for(kind: Any, converter: Converter) -> Callable[[Any, Any], Any]:
    plain = stripped(kind)
    structure = converter.get_structure_hook(plain)
    return lambda value, _: structure(value, plain)


def _stood_for_out(kind: Any, converter: Converter) -> Callable[[Any], Any]:
    return converter.get_unstructure_hook(stripped(kind))


def _renamed(kind: Any, converter: Converter) -> Callable[[Any, Any], Any]:
    check_declared(kind)
    return make_dict_structure_fn(kind, converter, **_overrides(kind))


def _renamed_out(kind: Any, converter: Converter) -> Callable[[Any], Any]:
    check_declared(kind)
    return make_dict_unstructure_fn(kind, converter, **_overrides(kind))


def _overrides(kind: Any) -> dict[str, Any]:
    return {name: override(rename=stored) for name, stored in declared_names(kind).items()}
