"""The sizes of single functions, what their docstrings begin with, and how often a type says nothing.

Each checker takes source text, so that a test beside it can show that it bites.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest

from tests.debts import owed, paid, unbalanced, uncounted, written
from tests.house import MODULES, Function, Sources, length, named, top

LINES_MAX = 50
PARAMETERS_MAX = 8
#: Constructors whose keywords are the options that the documentation lists.
OPTIONS = {
    "dark.settings.DarkReads.__init__",
    "follower.Follower.__init__",
    "repository.Repository.__init__",
    "repository.Repository.in_place",
    "rewriter.Rewriter.__init__",
    "sweeper.Sweeper.__init__",
    "verifier.Verifier.__init__",
}
#: A docstring that begins so needs its neighbour, or begins in the middle of a sentence.
LEANING = re.compile(r"(The same|As|Like)\b|[a-z]")
#: Names that are written in lower case wherever they stand.
LOWER_CASE = {"attrs", "cattrs", "lazymig", "mongod", "mongomock", "pydantic", "pytest"}


def too_long(modules: Sources) -> list[str]:
    """Functions of more than 50 lines, without the docstring."""
    lengths = {name: length(node) for name, node in named(modules) if isinstance(node, Function)}
    return [f"{name} has {lines} lines" for name, lines in lengths.items() if lines > LINES_MAX]


def parameters(function: Function) -> int:
    """How many parameters a function has, `self` and `cls` aside; `*args` and `**kwargs` count."""
    given = function.args
    plain = [*given.posonlyargs, *given.args]
    bound = bool(plain) and plain[0].arg in {"self", "cls"}
    return len(plain) - bound + len(given.kwonlyargs) + bool(given.vararg) + bool(given.kwarg)


def too_many_parameters(modules: Sources) -> list[str]:
    """Functions with more than 8 parameters."""
    return [name for name, node in named(modules) if isinstance(node, Function) and parameters(node) > PARAMETERS_MAX]


def leaning(modules: Sources) -> list[str]:
    """Docstrings that cannot stand alone in an editor."""
    docstrings = {name: ast.get_docstring(node) or "" for name, node in named(modules)}
    return [name for name, text in docstrings.items() if LEANING.match(text) and _first_word(text) not in LOWER_CASE]


def _first_word(text: str) -> str:
    return re.split(r"[^\w]", text, maxsplit=1)[0]


def anything(modules: Sources) -> int:
    """How often `Any` is used outside `lazymig.testing`."""
    return sum(
        (isinstance(node, ast.Name) and node.id == "Any") or (isinstance(node, ast.Attribute) and node.attr == "Any")
        for module, text in modules.items()
        if top(module) != "testing"
        for node in ast.walk(ast.parse(text))
    )


def found() -> dict[str, Any]:
    """What the code owes to these rules today."""
    return {
        "any": anything(MODULES),
        "parameters": sorted({*too_many_parameters(MODULES)} - OPTIONS),
        "docstrings": leaning(MODULES),
    }


def test_functions_are_short() -> None:
    """No function is longer than 50 lines, without its docstring."""
    assert too_long(MODULES) == []


@pytest.mark.parametrize("rule", ["parameters", "docstrings"])
def test_parameters_are_few_and_docstrings_stand_alone(rule: str) -> None:
    """At most 8 parameters, and docstrings that need no neighbour, but for the listed debts, which are all alive."""
    assert unbalanced(found()[rule], owed()[rule]) == []


def test_listed_constructors_need_their_place() -> None:
    """Every constructor that is excepted for its options has more than 8."""
    assert set(too_many_parameters(MODULES)) >= OPTIONS


def test_any_falls() -> None:
    """`Any` is used no more often than the number in debts.toml, which follows when the count falls."""
    assert uncounted(anything(MODULES), owed()["any"]) == ""


def test_long_functions_bite() -> None:
    """A function of 51 lines is found, in a class and in a function as well; a docstring costs nothing."""
    body = "x = 1\n"

    def function(lines: int, docstring: str = "") -> str:
        return "def f():\n" + f"        {docstring}\n" + f"        {body}" * (lines - 2)

    assert too_long({"a": function(51)}) == ["a.f has 51 lines"]
    assert too_long({"a": "class C:\n    " + function(51)}) == ["a.C.f has 51 lines"]
    assert too_long({"a": function(50)}) == []
    assert too_long({"a": function(51, "'''Docstring.'''")}) == []


@pytest.mark.parametrize(
    "parameters",
    ["a, b, c, d, e, f, g, h, i", "self, a, b, c, d, e, f, g, /, h, *i", "cls, *, a, b, c, d, e, f, g, h, **i"],
)
def test_many_parameters_bite(parameters: str) -> None:
    """A ninth parameter is found wherever it stands, and `self` and `cls` do not count."""
    assert too_many_parameters({"a": f"async def f({parameters}): pass"}) == ["a.f"]
    assert too_many_parameters({"a": f"def f({parameters.replace('b, ', '')}): pass"}) == []


@pytest.mark.parametrize(
    ("docstring", "is_found"),
    [
        ("The same, but faster.", True),
        ("As `get`, for many.", True),
        ("Like `get`.", True),
        ("finds one.", True),
        ("Find one.", False),
        ("Assert that it holds.", False),
        ("Likely answers.", False),
        ("mongod did not start.", False),
        ("`get` for many.", False),
    ],
)
def test_leaning_docstrings_bite(docstring: str, is_found: bool) -> None:
    """A docstring that leans on its neighbour is found on a module, class, method and inner function."""
    source = (
        f'"""{docstring}"""\nclass C:\n    """{docstring}"""\n    def f(self):\n        """{docstring}"""\n'
        f'        if True:\n            async def g():\n                """{docstring}"""\n'
    )
    assert leaning({"a": source}) == (["a", "a.C", "a.C.f", "a.C.f.g"] if is_found else [])


def test_any_bites() -> None:
    """Each use counts, under either spelling; the import does not, and `lazymig.testing` is left out."""
    text = "from typing import Any\nimport typing\ndef f(a: Any, b: dict[str, typing.Any]) -> Any: ...\n"
    assert anything({"a": text, "testing.b": text}) == 3


def test_debts_only_shrink(tmp_path: Path) -> None:
    """A new finding and a paid debt both fail; paying keeps what is still owed and never adds."""
    assert unbalanced(["a", "b"], ["b", "c"]) == ["a: fix this", "c: take off what was paid: python -m tests.debts"]
    assert [bool(uncounted(count, 50)) for count in (51, 50, 40, 39)] == [True, False, False, True]
    rest = paid({"any": 50, "docstrings": ["b", "c"]}, {"any": 60, "docstrings": ["a", "b"]})
    assert rest == {"any": 50, "docstrings": ["b"]}
    assert paid({"any": 50}, {"any": 40}) == {"any": 40}
    file = tmp_path / "debts.toml"
    for debts in (rest, {"any": 0, "docstrings": []}):
        file.write_text(written(debts), "utf-8")
        assert owed(file) == debts
