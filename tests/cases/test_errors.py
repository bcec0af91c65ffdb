"""Errors of conversions: which document, which line of whose code, which field; the cause's text only if asked for."""

from __future__ import annotations

import asyncio
import importlib
import logging
import pickle
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs
import pytest
from attrs import frozen
from cattrs.gen import make_dict_structure_fn, override

from lazymig import ConversionError, Migration, make_converter
from lazymig.testing import memory_repository
from tests.sweeps import renamed, repository, thing, things

SECRET = "hunter2"

MODEL = """
import asyncio
import json
import statistics

import attrs
from attrs import field, frozen

import library


def positive(instance, attribute, value):
    if value < 0:
        raise ValueError(f"{value} is negative")  # validator


@frozen
class Checked:
    n: int = field(validator=positive)


def inner(v1):
    raise LookupError(v1.code)  # inner


def raising(v1):
    raise ValueError(v1.code)  # raising


def by_helper(v1):
    return inner(v1)


def by_standard_library(v1):
    return json.loads(v1.code)  # by_standard_library


def by_library(v1):
    return library.parse(v1.code)  # by_library


def by_callback(v1):
    return library.call(lambda: inner(v1))


def by_class(v1):
    return Checked(-1)


async def awaiting(v1):
    await asyncio.sleep(0)
    raise KeyError(v1.code)  # awaiting


async def grouped(v1):
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(awaiting(v1))


class Converter:
    def __call__(self, v1):
        return v1.code.missing  # calling


def ending(v1):
    return next(iter([]))  # ending
"""
LIBRARY = """
def parse(text):
    raise RuntimeError(text)


def call(function):
    return function()
"""


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module of a user's, which uses an installed library."""
    installed = tmp_path / "site-packages"
    installed.mkdir()
    (installed / "library.py").write_text(LIBRARY)
    (tmp_path / "model.py").write_text(MODEL)
    for folder in (installed, tmp_path):
        monkeypatch.syspath_prepend(folder)
    for name in ("model", "library"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module("model")


def line_of(mark: str) -> int:
    (number,) = [n for n, line in enumerate(MODEL.splitlines(), 1) if line.endswith(f"# {mark}")]
    return number


async def failure_of(upgrade: Callable[..., Any]) -> ConversionError:
    """What a read of an entity raises whose text is a secret."""
    repo = memory_repository(things(upgrade=upgrade))
    await repo.collections.v1.insert_one(thing(7, code=SECRET))
    with pytest.raises(ConversionError) as caught:
        await repo.get(7)
    return caught.value


@pytest.mark.parametrize(
    ("function", "kind", "mark", "name"),
    [
        ("raising", ValueError, "raising", "raising"),
        ("by_helper", LookupError, "inner", "inner"),
        ("by_standard_library", ValueError, "by_standard_library", "by_standard_library"),
        ("by_library", RuntimeError, "by_library", "by_library"),
        ("by_callback", LookupError, "inner", "inner"),
        ("by_class", ValueError, "validator", "positive"),
        ("awaiting", KeyError, "awaiting", "awaiting"),
        ("grouped", KeyError, "awaiting", "awaiting"),
        ("ending", StopIteration, "ending", "ending"),
    ],
)
async def test_case_25_the_line_of_the_users_code_is_named(
    model: ModuleType, function: str, kind: type[Exception], mark: str, name: str
) -> None:
    """The error names the exception's class and the innermost line of the user's code, also where a library raised."""
    error = await failure_of(getattr(model, function))
    where = f"model.py:{line_of(mark)} in {name}"
    assert error.line == where
    assert isinstance(error.cause, kind)
    assert f"with id 7: {type(error.cause).__name__} at {where}" in str(error)
    assert SECRET not in str(error)
    assert pickle.loads(pickle.dumps(ConversionError(7, "upgrade", ValueError(), "a", error.line))).line == where


async def test_case_25_a_callable_object_and_an_installed_application(model: ModuleType) -> None:
    """The line is found in a method, and in an application that is installed like a library."""
    error = await failure_of(model.Converter())
    assert error.line == f"model.py:{line_of('calling')} in __call__"
    installed = importlib.import_module("library")
    assert (await failure_of(lambda v1: installed.parse(v1.code))).line.startswith("test_errors.py:")
    assert (await failure_of(parser_of(installed))).line == "library.py:3 in parse"


@pytest.mark.parametrize("result", [None, "another class", "another id"])
async def test_case_25_a_conversion_that_returns_something_else_is_named_by_its_beginning(result: str | None) -> None:
    """Where no line raised, since the conversion returned what it must not, the error names where it begins."""

    def careless(v1: Any) -> Any:
        return {"another class": v1, "another id": renamed(attrs.evolve(v1, id=8))}.get(result or "")

    error = await failure_of(careless)
    assert error.line == f"test_errors.py:{careless.__code__.co_firstlineno} in careless"
    assert error.line in str(error)


def parser_of(installed: ModuleType) -> Callable[[Any], Any]:
    return installed.parse  # type: ignore[no-any-return]


async def test_case_25_a_module_may_have_a_name_of_the_standard_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user's own module is the user's, whatever its name."""
    (tmp_path / "this.py").write_text("def upgrade(v1):\n    raise ValueError(v1.code)\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "this", raising=False)
    own = importlib.import_module("this")
    monkeypatch.delitem(sys.modules, "this")
    assert (await failure_of(own.upgrade)).line == "this.py:2 in upgrade"


async def test_case_25_every_door_and_listing_names_the_line(server_database: Any, model: ModuleType) -> None:
    """Reads, listings, writes of both doors and `get_many` raise the same line, and none quotes the document."""
    repo = repository(server_database, migration=things(upgrade=model.raising))
    await server_database["v1"].insert_one(thing(7, code=SECRET))
    where = f"model.py:{line_of('raising')} in raising"

    async def listed() -> Any:
        return [entity async for entity in repo.list()]

    calls: list[Callable[[], Any]] = [
        lambda: repo.get(7),
        listed,
        lambda: repo.update(7, lambda v2: v2),
        lambda: repo.v1.update(7, lambda v1: attrs.evolve(v1, n=2)),
    ]
    for call in calls:
        with pytest.raises(ConversionError) as caught:
            await call()
        assert (caught.value.id, caught.value.line) == (7, where)
        assert SECRET not in str(caught.value)


async def test_case_39_a_log_shows_line_and_attribute_and_no_contents(
    server_database: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A logged error names the attribute's path, or the line; its traceback quotes nothing of the document."""
    await server_database["v1"].insert_one({"_id": 7, "n": [SECRET]})
    try:
        await repository(server_database).get(7)
    except ConversionError:
        logging.getLogger("service").exception("failed")
    assert "cannot read the V1 document with id 7 at field 'n': TypeError" in caplog.text
    assert SECRET not in caplog.text


@pytest.mark.parametrize(("value", "shown"), [("1", True), ("true", True), ("0", False), ("", False), (None, False)])
async def test_case_39_causes_are_chained_in_development_only(
    model: ModuleType, monkeypatch: pytest.MonkeyPatch, value: str | None, shown: bool
) -> None:
    """`LAZYMIG_SHOW_CAUSES=1` chains the cause, so that a developer's traceback shows it; it is off by default."""
    if value is None:
        monkeypatch.delenv("LAZYMIG_SHOW_CAUSES", raising=False)
    else:
        monkeypatch.setenv("LAZYMIG_SHOW_CAUSES", value)
    error = await failure_of(model.raising)
    printed = "".join(traceback.format_exception(error))
    assert (error.__cause__ is error.cause) == shown
    assert (SECRET in printed) == shown
    assert ("# raising" in printed) == shown
    assert SECRET not in str(error)


@frozen
class Named:
    """The attribute is spelled so because `class` is a keyword."""

    id: int
    class_: str


def same(one: Any) -> Any:
    return one


async def test_case_24_a_missing_key_is_named_with_what_to_do(server_database: Any) -> None:
    """Where the document has no key of the attribute's name, the error says so and how the two are brought together."""
    migration = Migration(name="named", v1=Named, v2=Named, upgrade=same, downgrade=same)
    await server_database["v1"].insert_one({"_id": 7, "class": SECRET})
    with pytest.raises(ConversionError) as caught:
        await repository(server_database, migration=migration).get(7)
    text = str(caught.value)
    assert "cannot read the V1 document with id 7 at field 'class_': KeyError, there is no key 'class_'" in text
    assert "give the attribute a default, or map it to the name that is stored" in text
    assert SECRET not in text


async def test_case_24_a_key_error_that_quotes_a_value_stays_silent(server_database: Any) -> None:
    """A KeyError of a hook that looks a value up is not taken for a missing key, and its text is not shown."""
    converter = make_converter()
    hook = make_dict_structure_fn(Named, converter, class_=override(struct_hook=lambda value, _: {}[value]))
    converter.register_structure_hook(Named, hook)
    migration = Migration(
        name="named", v1=Named, v2=Named, upgrade=same, downgrade=same, v1_converter=converter, v2_converter=converter
    )
    await server_database["v1"].insert_one({"_id": 7, "class_": SECRET})
    with pytest.raises(ConversionError) as caught:
        await repository(server_database, migration=migration).get(7)
    assert isinstance(caught.value.cause, KeyError)
    assert "there is no key" not in str(caught.value)
    assert SECRET not in str(caught.value)
    assert caught.value.line.startswith("test_errors.py:")


@pytest.mark.parametrize("call", ["get", "update", "list"])
async def test_case_48_v1s_door_says_that_v1s_document_cannot_be_read(server_database: Any, call: str) -> None:
    """Where V1's document does not fit V1's class, neither door speaks of an upgrade: nothing was converted yet."""
    await server_database["v1"].insert_one(thing(7) | {"n": SECRET})
    repo = repository(server_database)
    for door in (repo.v1, repo):
        calls = {"get": lambda door: door.get(7), "update": lambda door: door.update(7, same), "list": listed}
        with pytest.raises(ConversionError) as caught:
            await calls[call](door)
        error = caught.value
        assert (error.direction, error.side, error.path) == ("read", "V1", "n")
        assert str(error).startswith("cannot read the V1 document with id 7 at field 'n': TypeError")
        assert "upgrade" not in str(error)


async def listed(door: Any) -> list[Any]:
    return [entity async for entity in door.list()]


def test_case_48_each_direction_has_its_words() -> None:
    """An error of a conversion names the conversion, one of a stored document names its side."""
    texts = {
        str(ConversionError(1, "upgrade", ValueError())): "cannot upgrade the entity with id 1: ValueError",
        str(ConversionError(1, "downgrade", ValueError())): "cannot downgrade the entity with id 1: ValueError",
        str(ConversionError(1, "read", ValueError(), side="V2")): "cannot read the V2 document with id 1: ValueError",
        str(ConversionError(1, "read", ValueError())): "cannot read the stored document with id 1: ValueError",
    }
    assert [text[: len(begin)] for text, begin in texts.items()] == list(texts.values())


def test_case_25_without_user_code_no_line_is_invented() -> None:
    """An error that no line of the user's code took part in names none."""
    try:
        asyncio.run(no_code())
    except ValueError as error:
        found = ConversionError(1, "upgrade", error)
    assert found.line.startswith("test_errors.py:")
    assert ConversionError(1, "upgrade", ValueError()).line == ""


async def no_code() -> None:
    int("x")
