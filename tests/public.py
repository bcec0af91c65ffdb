"""Checkers of what users see of the public names: docstrings in Google style, and types that can be imported.

Each takes a namespace, so that tests can show that it bites.
"""

from __future__ import annotations

import ast
import enum
import importlib
import inspect
import re
import sys
import textwrap
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

import attrs

import lazymig
import lazymig.testing

Namespace = Mapping[str, Any]
SECTION = re.compile(r"^(Args|Attributes|Returns|Yields|Raises):\n((?:[ ]+\S.*\n|\n)*)", re.MULTILINE)
ENTRY = re.compile(r"^    (\*{0,2}\w[\w.]*)[^:\n]*:\s", re.MULTILINE)

PUBLIC: Namespace = {name: getattr(lazymig, name) for name in lazymig.__all__}
#: Types that users see and never pass: they get a V1 view from `Repository.v1`.
INTERNAL = {"V1View.__init__: lazymig.routes.calls.Calls"}
TESTING: Namespace = {
    name: thing
    for name, thing in ((name, getattr(lazymig.testing, name)) for name in dir(lazymig.testing) if name[0] != "_")
    if getattr(thing, "__module__", "").startswith("lazymig.testing")
}


def members(namespace: Namespace) -> Iterator[tuple[str, Any]]:
    """Each public function, class, method and property, by its name."""
    for name, thing in namespace.items():
        if not (inspect.isclass(thing) or callable(thing)) or typing.get_origin(thing) or _is_union(thing):
            continue  # an alias of types
        yield name, thing
        # A structural type says what is needed of somebody else's class.
        if inspect.isclass(thing) and not getattr(thing, "_is_protocol", False):
            for attribute, member in _own(thing):
                yield f"{name}.{attribute}", member


def _is_union(thing: Any) -> bool:
    return isinstance(thing, types.UnionType)


def _own(kind: type) -> Iterator[tuple[str, Any]]:
    """What a class and its bases in lazymig define themselves, without what Python and attrs make."""
    own: dict[str, Any] = {}
    for base in reversed(kind.__mro__):
        if base.__module__.partition(".")[0] in {"lazymig", __name__.partition(".")[0]}:
            own |= vars(base)
    for name, member in own.items():
        plain = member.__func__ if isinstance(member, classmethod | staticmethod) else member
        if name == "__init__" and attrs.has(kind):  # whose fields stand for it
            continue
        if (name[0] != "_" or name == "__init__") and isinstance(plain, types.FunctionType | property):
            yield name, plain


# Docstrings


def sections(docstring: str | None) -> dict[str, set[str] | str]:
    """The sections of a docstring in Google style: the names that one describes, or its text."""
    text = inspect.cleandoc(docstring or "") + "\n"
    return {
        title: set(ENTRY.findall(body)) if title in {"Args", "Attributes", "Raises"} else body.strip()
        for title, body in SECTION.findall(text)
    }


def undocumented(namespace: Namespace) -> list[str]:
    """Each section that a public docstring lacks, and each parameter or error that a section lacks or invents."""
    return [f"{name}: {lack}" for name, thing in members(namespace) for lack in _lacks(name, thing)]


def _lacks(name: str, thing: Any) -> Iterator[str]:
    if inspect.isclass(thing):
        yield from _lacks_of_class(thing)
    elif not inspect.getdoc(thing) and not name.endswith("__init__"):
        yield "docstring"
    elif isinstance(thing, types.FunctionType) and not name.endswith("__init__"):  # documented by its class
        given = sections(inspect.getdoc(thing))
        yield from _differs("Args", _parameters(thing), given)
        returned = str(inspect.signature(thing).return_annotation)
        kind = "Yields" if re.match(r"(Async)?(Iterator|Generator)\b", returned) else "Returns"
        if returned not in {"None", "NoReturn"} and not given.get(kind):
            yield kind
        if missing := raised(thing) - set(given.get("Raises", ())):
            yield f"Raises {', '.join(sorted(missing))}"


def _lacks_of_class(kind: type) -> Iterator[str]:
    given = sections(kind.__doc__)
    if not kind.__doc__:
        yield "docstring"
    if getattr(kind, "_is_protocol", False):
        return  # nobody constructs one
    # A class describes its constructor by arguments, or by the attributes of the same names.
    described = set(given.get("Args", ())) | set(given.get("Attributes", ()))
    if missing := _taken(kind) - {name.lstrip("*") for name in described}:
        yield f"Args {', '.join(sorted(missing))}"


def _taken(kind: type) -> set[str]:
    """The parameters of a constructor that users call, or that an error stores."""
    if issubclass(kind, enum.Enum) or (issubclass(kind, Exception) and "__init__" not in vars(kind)):
        return set()
    if attrs.has(kind):
        return {field.name for field in attrs.fields(kind) if field.init and field.name[0] != "_"}
    maker = kind.__init__  # type: ignore[misc]
    return _parameters(maker) if isinstance(maker, types.FunctionType) else set()


def _parameters(function: Callable[..., Any]) -> set[str]:
    names = list(inspect.signature(function).parameters)
    is_method = "." in function.__qualname__  # a plain function may call its first argument `cls`
    return set(names[1:] if is_method and names[:1] in (["self"], ["cls"]) else names)


def _differs(title: str, wanted: set[str], given: Mapping[str, Any]) -> Iterator[str]:
    named = {name.lstrip("*") for name in given.get(title, ())}
    if missing := wanted - named:
        yield f"{title} {', '.join(sorted(missing))}"
    if invented := named - wanted:
        yield f"{title} names {', '.join(sorted(invented))}, which is no parameter"


def raised(function: Callable[..., Any]) -> set[str]:
    """The exceptions that the function's own body raises by name."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    thrown = [node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise) and node.exc]
    calls = [node.func if isinstance(node, ast.Call) else node for node in thrown]
    return {node.id for node in calls if isinstance(node, ast.Name) and node.id[0].isupper()}


# Types


def unexported(namespace: Namespace, exported: Namespace) -> list[str]:
    """Types of lazymig in public signatures that cannot be imported from a public module."""
    public = {id(thing) for thing in exported.values()}
    return sorted(
        {
            f"{name}: {kind.__module__}.{kind.__qualname__}"
            for name, thing in members(namespace)
            for hint in hints(thing)
            for kind in kinds(hint)
            if kind.__module__.partition(".")[0] == "lazymig" and id(kind) not in public
        }
    )


def hints(thing: Any) -> list[Any]:
    """The resolved annotations of a function, a property, or a class's public attributes."""
    target = thing.fget if isinstance(thing, property) else thing
    known = vars(sys.modules[target.__module__]) | _guarded(target.__module__)
    if not inspect.isclass(target):
        return list(typing.get_type_hints(target, known).values())
    # `get_type_hints` refuses class variables here.
    annotated = {name: hint for name, hint in inspect.get_annotations(target).items() if "ClassVar[" not in str(hint)}
    public = {name: hint for name, hint in annotated.items() if name[0] != "_"}
    return list(typing.get_type_hints(types.SimpleNamespace(__annotations__=public), known).values())


@cache
def _guarded(module: str) -> dict[str, Any]:
    """What a module imports for its annotations only."""
    guards = [
        node
        for node in ast.parse(inspect.getsource(sys.modules[module])).body
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
    ]
    return {
        alias.asname or alias.name: getattr(importlib.import_module(node.module), alias.name)
        for guard in guards
        for node in guard.body
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }


def kinds(hint: Any) -> Iterator[type]:
    """The classes within an annotation."""
    origin = typing.get_origin(hint)
    if isinstance(origin or hint, type):
        yield origin or hint
    if origin is not typing.Literal:
        for inner in typing.get_args(hint):
            yield from (kind for part in (inner if isinstance(inner, list) else [inner]) for kind in kinds(part))


def found() -> dict[str, list[str]]:
    """What the public names owe to these rules today; a lacking section without the names that it lacks."""
    namespace = {f"testing.{name}": thing for name, thing in TESTING.items()} | dict(PUBLIC)
    return {
        "sections": sorted({section(lack) for lack in undocumented(namespace)}),
        "unexported": [lack for lack in unexported(namespace, namespace) if lack not in INTERNAL],
    }


def section(lack: str) -> str:
    """The name and the section of a lack: `Repository.list: Args`."""
    return " ".join(lack.split()[:2])
