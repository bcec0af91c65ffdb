"""The sources of lazymig and of its tests as text and syntax trees, for the checkers of the house."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]

Sources = Mapping[str, str]
Function = ast.FunctionDef | ast.AsyncFunctionDef
Documented = ast.Module | ast.ClassDef | Function


def sources(folder: Path) -> dict[str, str]:
    """The text of each Python file under the folder, by its dotted name: `testing.server`, `cli.__init__`."""
    files = sorted(folder.rglob("*.py"))
    return {".".join(file.relative_to(folder).with_suffix("").parts): file.read_text("utf-8") for file in files}


def top(module: str) -> str:
    return module.partition(".")[0]


def functions(text: str) -> list[Function]:
    return [node for node in ast.walk(ast.parse(text)) if isinstance(node, Function)]


def length(function: Function) -> int:
    """Lines from `def` to the end, without the docstring."""
    said = function.body[0] if ast.get_docstring(function) else None
    docstring = (said.end_lineno or 0) - said.lineno + 1 if said else 0
    return (function.end_lineno or 0) - function.lineno + 1 - docstring


def named(modules: Sources) -> Iterator[tuple[str, Documented]]:
    """Each module, class and function with its full name: `repository`, `repository.Repository.get`."""
    for module, text in modules.items():
        tree = ast.parse(text)
        name = module.removesuffix("__init__").removesuffix(".") or "lazymig"
        yield name, tree
        yield from _inside(tree, name)


def _inside(tree: ast.AST, prefix: str) -> Iterator[tuple[str, Documented]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef | Function):
            yield f"{prefix}.{node.name}", node
            yield from _inside(node, f"{prefix}.{node.name}")
        else:
            yield from _inside(node, prefix)


MODULES = sources(ROOT / "lazymig")
TESTS = sources(ROOT / "tests")
