"""`lazymig init` as a newcomer runs it: what it writes runs at once, and nothing is ever overwritten."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bson
import pytest
from bson import Binary, Decimal128, Int64, ObjectId
from hypothesis import given
from hypothesis import strategies as st
from pymongo import MongoClient

from lazymig.cli.demo.dataset import customers
from lazymig.cli.init.classes import Inference
from lazymig.cli.init.naming import class_name, field_name, module_name, singular
from lazymig.cli.init.observing import observed
from lazymig.cli.init.writing import LIBRARIES, Project, derived
from lazymig.shapes.conversions import conversions_for
from tests.commands import quick_script

BIN = Path(sys.executable).parent
FILES = {
    "README.md", "__init__.py", "crontab", "entities.py", "migration.py", "storage.py", "test_migration.py",
}  # fmt: skip
#: A value and a key that must stand in no file.
SECRET, SECRET_KEY = "Confidential", "ada@example.com"
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def environment(lazymig_server: Any) -> dict[str, str]:
    """What the generated project reads, with this Python's commands first, and a database of its own."""
    path = os.pathsep.join([str(quick_script().parent), str(BIN), os.environ.get("PATH", "")])
    own = {"MONGODB_URI": lazymig_server.uri, "MONGODB_DATABASE": f"test_{uuid.uuid4().hex[:12]}", "PATH": path}
    cleared = {"COLUMNS", "LAZYMIG_APP", "PYTEST_ADDOPTS", "PYTEST_CURRENT_TEST"}
    return {name: value for name, value in {**os.environ, **own}.items() if name not in cleared}


@pytest.fixture
def database(environment: dict[str, str]) -> Iterator[Any]:
    """The database of the generated project."""
    with MongoClient[dict[str, Any]](environment["MONGODB_URI"]) as client:
        yield client[environment["MONGODB_DATABASE"]]
        client.drop_database(environment["MONGODB_DATABASE"])


@pytest.fixture
def init(environment: dict[str, str], tmp_path: Path) -> Run:
    """Run `lazymig init` in an empty folder."""

    def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [quick_script(), "init", *arguments], cwd=tmp_path, env={**environment, **more}, capture_output=True,
            text=True, timeout=300,
        )  # fmt: skip

    return run


def commands_of(printed: str) -> list[str]:
    """The commands that `lazymig init` names at its end."""
    return [line.strip() for line in printed.partition("Next\n")[2].splitlines() if line.startswith("  ")]


def in_shell(command: str, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )  # fmt: skip


def texts(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text("utf-8") for file in folder.iterdir() if file.is_file()}


@pytest.mark.parametrize("library", LIBRARIES)
def test_what_it_writes_runs_at_once(
    init: Run, database: Any, environment: dict[str, str], tmp_path: Path, library: str
) -> None:
    """The commands that it names succeed one after the other, and then a sweep moves what V1 holds."""
    ended = init("--library", library)
    assert (ended.returncode, ended.stderr) == (0, "")
    database["people"].insert_many([{"_id": 1, "name": "Ada King"}, {"_id": 2, "name": "Plato"}])
    commands = commands_of(ended.stdout)
    assert len(commands) == 3
    results = [in_shell(command, tmp_path, environment) for command in commands]
    assert [result.returncode for result in results] == [0, 0, 0], results
    assert "3 passed" in results[0].stdout
    assert "would be migrated              2" in results[1].stdout
    assert "remaining, about               2" in results[2].stdout
    assert database.list_collection_names() == ["people"]
    assert in_shell("lazymig sweep --app people_migration:repository", tmp_path, environment).returncode == 0
    bodies = {row["_id"]: (row["first"], row["last"]) for row in database["people_v2"].find()}
    assert bodies == {1: ("Ada", "King"), 2: ("Plato", None)}


def test_it_writes_into_the_folder_that_it_is_given(init: Run, environment: dict[str, str], tmp_path: Path) -> None:
    """With a directory and a name the package stands there, and its commands lead to it and succeed."""
    ended = init("some where/else", "--name", "customers")
    package = tmp_path / "some where" / "else" / "customers_migration"
    assert set(texts(package)) == FILES
    cd, tests, *_ = commands_of(ended.stdout)
    assert "customers" in texts(package)["storage.py"]
    assert "class CustomerV2" in texts(package)["entities.py"]
    assert "people" not in "".join(texts(package).values()).lower()
    assert in_shell(f"{cd} && {tests}", tmp_path, environment).returncode == 0
    crontab = texts(package)["crontab"]
    assert f"cd '{package.parent}' && " in crontab
    assert "\nMONGODB_DATABASE=test\n" in crontab
    assert "\nexport MONGODB_DATABASE=test\n" in texts(package)["README.md"]
    [line] = [line for line in crontab.splitlines() if line.startswith("0 2 ")]
    shown = in_shell(line.split(" ", 5)[5].replace("sweep", "sweep --help #"), tmp_path, environment)
    assert (shown.returncode, shown.stdout.split()[:3]) == (0, ["Usage:", "lazymig", "sweep"])


@pytest.mark.parametrize("library", LIBRARIES)
def test_the_files_are_in_good_order(init: Run, tmp_path: Path, library: str) -> None:
    """Each file ends with one line break, is at most 88 columns wide but for the crontab, and compiles."""
    assert init("--library", library).returncode == 0
    for name, text in texts(tmp_path / "people_migration").items():
        assert text.endswith("\n")
        assert not text.endswith("\n\n")
        assert "$" not in text
        if name.endswith(".py"):
            assert max(map(len, text.splitlines())) <= 88
            compile(text, name, "exec")


def test_the_readme_names_commands_that_exist(init: Run, tmp_path: Path) -> None:
    """Each lazymig command of the README is one that the command line knows."""
    init()
    readme = (tmp_path / "people_migration" / "README.md").read_text("utf-8")
    commands = [line.split("#")[0].split() for line in readme.splitlines() if line.startswith("lazymig ")]
    assert len(commands) == 4
    for _, *words in commands:
        verbs = [word for word in words if not word.startswith("-")]
        shown = subprocess.run([quick_script(), *verbs, "--help"], capture_output=True, text=True)
        assert shown.returncode == 0
        assert [word for word in words if word not in shown.stdout] == []


@pytest.mark.parametrize("there", ["entities.py", "README.md", "crontab"])
def test_nothing_is_overwritten(init: Run, tmp_path: Path, there: str) -> None:
    """Where one of its files is there, it names that file, writes none, and ends with 2."""
    package = tmp_path / "people_migration"
    package.mkdir()
    (package / there).write_text("mine")
    ended = init()
    assert (ended.returncode, ended.stdout) == (2, "")
    assert f"people_migration/{there}" in ended.stderr
    assert [name for name in FILES - {there} if name in ended.stderr] == []
    assert texts(package) == {there: "mine"}


def test_a_second_run_names_every_file(init: Run, tmp_path: Path) -> None:
    """Run again, it refuses, names all its files, and leaves each as it was."""
    assert init().returncode == 0
    before = texts(tmp_path / "people_migration")
    ended = init("--library", "pydantic")
    assert ended.returncode == 2
    assert [name for name in FILES if name not in ended.stderr] == []
    assert texts(tmp_path / "people_migration") == before


def test_json_names_what_was_written_and_what_is_next(init: Run, tmp_path: Path) -> None:
    """With --json stdout is one object with the files and the next commands."""
    ended = init("--json")
    result = json.loads(ended.stdout)
    assert {Path(path).name for path in result["written"]} == FILES
    assert all((tmp_path / path).is_file() for path in result["written"])
    assert result["next"][0] == "python -m pytest people_migration"
    assert result["left_out"] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--library", "odmantic"], "attrs"),
        (["--name", "Two Words"], "--name"),
        (["--name", "class-1"], "--name"),
        (["--collection", "customers"], "DATABASE.COLLECTION"),
        (["--collection", "shop."], "DATABASE.COLLECTION"),
        (["--collection", "no_such_db.customers"], "holds no documents"),
        (["--collection", "shop.$x"], "--collection"),
        (["--collection", "shop.customers", "--uri", "mongodb://"], "--uri"),
        (["--collection", "shop.customers", "--sample", "0"], "--sample"),
    ],
)
def test_bad_usage_is_one_line(init: Run, tmp_path: Path, arguments: list[str], message: str) -> None:
    """A wrong option, name or collection ends with 2 and says what to change; nothing is written."""
    ended = init(*arguments)
    assert (ended.returncode, ended.stdout, len(ended.stderr.splitlines())) == (2, "", 1)
    assert message in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_down_is_a_failure(init: Run, tmp_path: Path, closed_port: int) -> None:
    """A server that does not answer ends with 1, without the password; nothing is written."""
    uri = f"mongodb://bob:hunter2@127.0.0.1:{closed_port}/?serverSelectionTimeoutMS=300"
    ended = init("--collection", "shop.customers", MONGODB_URI=uri)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "hunter2" not in ended.stderr
    assert list(tmp_path.iterdir()) == []


# Classes from real documents.


@pytest.mark.parametrize("library", LIBRARIES)
def test_real_customers_are_taken_as_they_are(
    init: Run, database: Any, environment: dict[str, str], tmp_path: Path, library: str
) -> None:
    """Classes that were derived from 500 real documents take all of them, and V1's documents stay as they are."""
    originals = customers().load_documents()
    database["customers"].insert_many(originals)
    ended = init("--collection", f"{database.name}.customers", "--library", library)
    assert (ended.returncode, ended.stderr) == (0, "")
    results = [in_shell(command, tmp_path, environment) for command in commands_of(ended.stdout)]
    assert [result.returncode for result in results] == [0, 0, 0], results
    assert "3 passed" in results[0].stdout
    assert "would be migrated              500" in results[1].stdout
    assert in_shell("lazymig sweep --app customers_migration:repository", tmp_path, environment).returncode == 0
    stored = list(database["customers"].find(sort=[("_id", 1)]))
    assert [bson.encode(one) for one in stored] == [
        bson.encode(one) for one in sorted(originals, key=lambda one: one["_id"])
    ]
    bodies = {row["_id"]: row for row in database["customers_v2"].find()}
    assert len(bodies) == 500
    for original in originals:
        body = bodies[original["_id"]]
        assert {name: body[name] for name in original} == original
    entities = texts(tmp_path / "customers_migration")["entities.py"]
    assert "tier_and_details: dict[str, CustomerTierAndDetail]" in entities
    assert "    active: bool | None = None\n" in entities
    assert originals[0]["username"] not in entities
    assert next(iter(originals[0]["tier_and_details"])) not in entities


@pytest.mark.parametrize("library", LIBRARIES)
def test_names_that_are_no_identifiers_get_others(
    init: Run, database: Any, environment: dict[str, str], tmp_path: Path, library: str
) -> None:
    """Keywords, blanks, names of the libraries and the like are renamed in Python, and stored as they were."""
    odd = {
        "class": 1, "id": "x", "Page Count": 3, "page_count": 4, "dt": 1, "json": {"a.b": 1, "copy": 2},
        "model_name": "q", "_private": 1, "ﬁ": 1, "list": [{"x": 1}, {"x": 2, "y": "s"}], "str": "x", "1st": 1,
        "schema": None, "Any": 1,
    }  # fmt: skip
    database["odd things"].insert_many([{"_id": "a", **odd}, {"_id": "b", **odd, "class": None}])
    ended = init("--collection", f"{database.name}.odd things", "--library", library)
    assert ended.returncode == 0, ended.stderr
    results = [in_shell(command, tmp_path, environment) for command in commands_of(ended.stdout)]
    assert [result.returncode for result in results] == [0, 0, 0], results
    assert in_shell("lazymig sweep --app odd_things_migration:repository", tmp_path, environment).returncode == 0
    body = database["odd things_v2"].find_one({"_id": "a"})
    assert {name: value for name, value in body.items() if name != "_lazymig"} == {
        "_id": "a", **odd, "list": [{"x": 1, "y": None}, {"x": 2, "y": "s"}],
    }  # fmt: skip


def test_no_value_gets_into_the_files(init: Run, database: Any, tmp_path: Path) -> None:
    """Values, and keys that are values, stand in no file."""
    database["notes"].insert_many(
        {
            "_id": f"{SECRET}{number}",
            "text": SECRET,
            "by": {SECRET_KEY: SECRET},
            "more": {f"{SECRET}{number}": [SECRET]},
        }
        for number in range(9)
    )
    assert init("--collection", f"{database.name}.notes").returncode == 0
    written = texts(tmp_path / "notes_migration")
    assert "more: dict[str, list[str]]" in written["entities.py"]
    assert SECRET not in "".join(written.values())
    assert SECRET_KEY not in "".join(written.values())


def test_fields_that_no_class_can_declare_are_named(init: Run, database: Any) -> None:
    """A name that cannot stand at the top of a document is left out and named on stderr, and in JSON."""
    database["notes"].insert_one({"_id": 1, "a.b": 1, "": 2, "ok": 3})
    ended = init("--collection", f"{database.name}.notes", "--json")
    assert json.loads(ended.stdout)["left_out"] == ["a.b", ""]
    ended = init("other", "--collection", f"{database.name}.notes")
    assert '"a.b", ""' in ended.stderr


@pytest.mark.parametrize("id", [{"a": 1}, 1.5, None])
def test_ids_that_no_entity_can_have_are_refused(init: Run, database: Any, id: Any) -> None:
    """A collection whose ids lazymig cannot take is refused with the types that it takes."""
    database["notes"].insert_one({"_id": id})
    ended = init("--collection", f"{database.name}.notes")
    assert ended.returncode == 2
    assert "_id must be a str, int, bytes, ObjectId or UUID" in ended.stderr


ANNOTATIONS = [
    ([1, 2], "int"),
    ([1, Int64(2)], "int"),
    ([1, 2.5], "float"),
    ([True, 1], "bool | int"),
    (["a", 1], "int | str"),
    ([None, "a"], "str | None = None"),
    ([None], "Any = None"),
    ([[]], "list[Any]"),
    ([["a"], [None]], "list[str | None]"),
    ([[[1]], ["a"]], "list[str | list[int]]"),
    ([{}], "dict[str, Any]"),
    ([{"1": 2}, {"7": None}], "dict[str, int | None]"),
    ([{"street": "a"}, {"street": "b"}], "ThingX"),
    ([{"street": "a"}, "b"], "str | ThingX"),
    ([Decimal128("1")], "Decimal"),
    ([dt.datetime(2024, 1, 1)], "dt.datetime"),
    ([ObjectId()], "ObjectId"),
    ([Binary.from_uuid(uuid.uuid4())], "UUID"),
    ([b"1", Binary.from_uuid(uuid.uuid4())], "Any"),
    ([bson.DBRef("a", 1), 1], "Any"),
]


@pytest.mark.parametrize(("values", "annotation"), ANNOTATIONS, ids=lambda value: str(value)[:40])
def test_what_is_seen_is_what_is_declared(values: list[Any], annotation: str) -> None:
    """Each kind of value has its annotation; several kinds are a union, and what nothing describes is `Any`."""
    v1 = Inference().entity(observed({"_id": number, "x": value} for number, value in enumerate(values)), "Thing")
    _, x = v1.members
    assert x.annotation + (" | None" if x.optional and x.annotation != "Any" else "") == annotation.removesuffix(
        " = None"
    )
    assert x.optional == annotation.endswith(" = None")


def test_a_field_that_documents_lack_is_optional() -> None:
    """A field of some documents only is optional, at the top and inside; one of all documents is not."""
    inference = Inference()
    rows = [{"_id": 1, "a": {"b": 1, "c": 2}}, {"_id": 2, "a": {"b": 1}, "d": 1}]
    v1 = inference.entity(observed(rows), "Thing")
    assert {member.name: member.optional for member in v1.members} == {"id": False, "a": False, "d": True}
    [inner] = inference.shapes
    assert {member.name: member.optional for member in inner.members} == {"b": False, "c": True}


_LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.floats(allow_nan=False), st.text(max_size=3),
    st.binary(max_size=3), st.datetimes().map(lambda at: at.replace(microsecond=0)),
    st.builds(ObjectId), st.uuids().map(Binary.from_uuid), st.decimals(allow_nan=False, places=2).map(Decimal128),
)  # fmt: skip
_NAMES = st.sampled_from(["a", "b", "city", "name", "value", "zip"])
_VALUES = st.recursive(
    _LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=3), max_leaves=8
)


@given(st.lists(st.dictionaries(_NAMES, _VALUES, max_size=4), min_size=1, max_size=6))
def test_the_classes_take_what_they_were_derived_from(rows: list[dict[str, Any]]) -> None:
    """Whatever the documents, the derived migration can be built, and takes each of them there and back."""
    documents = [{"_id": number, **row} for number, row in enumerate(rows)]
    inference = Inference()
    v1 = inference.entity(observed(documents), "Thing")
    project = Project("things_migration", "Thing", "attrs", "things", "shop")
    written = derived(project, Path(), v1, inference, len(documents))
    namespace: dict[str, Any] = {"__name__": "things_migration"}
    for name in ("entities.py", "migration.py"):
        text = written[name].replace("from .entities import", "# ")
        exec(compile(text, name, "exec", dont_inherit=True), namespace)  # without this file's own future import
    conversions = conversions_for(namespace["migration"], v1_aware=False, v2_aware=False)
    for document in documents:
        entity = conversions.v1.decode(document)
        back = namespace["downgrade"](namespace["upgrade"](entity))
        assert back == entity


@given(st.text(), st.booleans())
def test_any_name_becomes_an_identifier(stored: str, of_model: bool) -> None:
    """Whatever a field is called, its name in Python is a free identifier that Python reads as it stands."""
    one = field_name(stored, (), of_model=of_model)
    other = field_name(stored, {one}, of_model=of_model)
    for name in (one, other):
        namespace: dict[str, Any] = {}
        exec(f"class Thing:\n    {name}: int", namespace)
        assert list(namespace["Thing"].__annotations__) == [name]
        assert not name.startswith("_")
    assert one != other
    assert class_name("Thing", stored).isidentifier()
    assert f"{module_name(stored)}_migration".isidentifier()


@pytest.mark.parametrize(
    ("many", "one"),
    [
        ("people", "person"), ("customers", "customer"), ("categories", "category"), ("addresses", "address"),
        ("address", "address"), ("status", "status"), ("boxes", "box"), ("news", "news"), ("line_items", "line_item"),
    ],
)  # fmt: skip
def test_one_of_many_has_a_name(many: str, one: str) -> None:
    """A class is called after one of what the collection's name says."""
    assert singular(many) == one
