"""The drawing of the house, held: floors, cycles, sizes, the one door to time, and what each test says of itself.

Each checker takes source text, so that a test beside it can show that it bites.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from statistics import median

import pytest

import lazymig
from tests.house import MODULES, ROOT, TESTS, Sources, functions, length, top

#: The house, from the ground up. A package or module imports from floors below its own only.
STOREYS = (
    {"histogram", "metrics", "phases", "user_code"},
    {"errors", "telemetry"},
    {"loop"},
    {"stores"},
    {"shapes", "query"},
    {"protocol", "surroundings", "control"},
    {"comparing", "measuring", "membership"},
    {"dark"},
    {"routes", "passes"},
    {"door"},
    {"v1_view"},
    {"repository"},
    {"sweeping", "verifying"},
    {"following", "diagnosis"},
    {"switching", "retiring"},
    {"sweeper", "rewriter", "verifier", "doctor", "switch", "retirement"},
    {"follower", "fleet", "testing"},
    {"status"},
    {"web"},
    {"__init__"},
    {"cli"},
    {"__main__"},
)
FLOORS = {module: floor for floor, storey in enumerate(STOREYS) for module in storey}
#: The order inside the packages that documents pass, from the ground up.
ROOMS = {
    "stores": (
        {"decimals", "elements", "given"},
        {"chunks", "positions", "records", "verdicts"},
        {"decoding", "drivers"},
        {"failures", "indexes", "record_changes", "server_time", "sessions", "unretried"},
        {"clients", "documents", "inspecting", "keyset", "places", "replication", "rows", "soundings"},
        {"heads"},
        {"carried", "fencing", "grouping", "moving_away", "pipelines", "raw", "revisions", "sampling", "staging"},
        {"counts", "field_removal", "relevance", "two_steps"},
        {"alone", "archives", "events", "fences", "pages", "ports", "probes", "scans", "whole_documents", "wholes"},
        {"server_upgrade", "strays"},
        {"ledger", "mongo_v1", "mongo_wholes", "whole_counts", "whole_reducing"},
        {"announcing", "deleting", "foreign", "mongo_v2", "reducing", "rewrites", "v2_alone"},
        {"coalescing"},
        {"coalescing_alone", "coalescing_wholes"},
        {"opening"},
    ),
    "shapes": (
        {"fields", "generated"},
        {"leaving"},
        {"models"},
        {"entities"},
        {"annotations"},
        {"equality", "signatures", "stored_names"},
        {"discrimination", "model_hooks", "plain_classes"},
        {"assured", "changes", "class_hooks", "reading", "unions", "upcasting"},
        {"bson_types"},
        {"codec", "type_checks"},
        {"attempts", "id_types", "parts", "upgrade_pipelines"},
        {"declared", "v1_changes"},
        {"migration"},
        {"conversions"},
        {"fingerprint"},
        {"one_document"},
        {"sharing"},
    ),
    "comparing": (
        {"differences", "failures", "signatures"},
        {"equivalences", "schema"},
        {"checks", "sides"},
        {"comparer", "two_ways"},
        {"in_place"},
    ),
    "control": (
        {"how_far", "reading"},
        {"part", "row_pages"},
        {
            "at_work",
            "followers",
            "cohorts",
            "conversions",
            "dead_letters",
            "journal",
            "members",
            "mismatches",
            "passes",
            "phases",
            "retirement",
            "runs",
            "samples",
        },
        {"cut_over", "following", "steering", "suspicion"},
        {"figures", "watching"},
        {"parts"},
    ),
    "measuring": ({"holdings"}, {"in_place"}, {"held"}, {"sampler"}),
    "membership": ({"in_flight", "lease", "waking"}, {"registration", "terms"}, {"keeping"}, {"member"}),
    "switching": (
        {"plan"},
        {"case", "waiting"},
        {"desk", "ladder", "outages", "proofs", "sealed", "standing"},
        {"contents", "in_place.contents", "in_place.outsiders", "wording"},
        {"gates"},
        {"in_place.gates", "two_collections"},
        {"in_place.ladder"},
        {"moves"},
    ),
    "passes": (
        {"balance", "company", "gate", "helm", "pace"},
        {"shedding"},
        {"partitions", "sounding"},
        {"sharing", "throttle"},
        {"walking"},
    ),
    "status": (
        {"counting", "cut_over", "follower", "gates", "ids", "recorded", "versions"},
        {"letters", "slowly"},
        {"json_text", "looking"},
        {"next_step", "proof", "rows"},
        {"gauges", "remaining_time", "words"},
        {"objects"},
    ),
    "diagnosis": (
        {"findings", "values"},
        {"facts", "writers"},
        {"examining", "collections", "servers"},
        {"conversion", "growth", "ids", "in_place.sharing", "mapping"},
        {"in_place.subject", "indexes"},
        {"releases"},
        {"in_place.doctoring"},
    ),
    "surroundings": (
        {"looking", "uuids"},
        {"complete", "contents", "leftovers", "unique", "validators"},
        {"judging", "probing"},
        {"one_collection"},
        {"checking"},
        {"first_use"},
    ),
    "sweeping": (
        {"failures", "remainder", "report", "revisions"},
        {"moving", "options", "outlook", "server_side", "versions"},
        {"adopting", "flow", "marks", "older", "reconverting", "work"},
        {"dead_letters"},
        {"in_place.moving", "two_collections"},
        {"in_place.reviewing"},
        {"in_place.work"},
        {"layouts"},
        {"retry", "rewrite", "sweep"},
    ),
    "verifying": (
        {"confidence", "judging", "repairs", "report", "sampling"},
        {"examining", "in_place.judging", "options", "sides"},
        {"in_place.ranges", "ranges"},
        {"samples"},
        {"flow", "rechecking", "scopes"},
        {"grounds"},
        {"verification"},
    ),
    "loop": (
        {"clock", "deadline", "in_flight", "own_errors", "run_queue", "stopping", "turns"},
        {"background", "batcher", "behind", "breaker", "rounds"},
    ),
    "dark": ({"figures", "notes", "settings"}, {"contests"}, {"in_place", "log", "looking"}, {"watch"}),
    "routes": (
        {"choice", "options", "recorded", "route"},
        {
            "choosing",
            "coexist",
            "degradable",
            "gradual",
            "prepare",
            "shadow",
            "stages",
            "turns",
            "v1_only",
            "v2_only",
            "v2_primary",
        },
        {"dark", "resuming", "v1_answers"},
        {"in_place.coexist", "in_place.shadow", "in_place.v1_only", "in_place.v2_only", "in_place.v2_primary"},
        {"in_place.dark"},
        {"in_place.gradual"},
        {"building", "in_place.building"},
        {"calls"},
        {"opening", "shifts"},
    ),
    "protocol": (
        {"pair", "edits", "seals", "in_place.place"},
        {"births", "bodies", "joining", "placing", "renewals", "replacing", "tickets", "waiting"},
        {"moved", "writing"},
        {"v1_alone"},
        {"inserting", "reading"},
        {"degrading", "distrusting", "many", "preparing", "repairing", "rewriting", "sealing", "v2_first"},
        {"listed", "shadowing"},
        {"listing"},
        {"v2_listing"},
        {"v2_alone"},
        {"in_place.glancing", "in_place.parts"},
        {"in_place.composing"},
        {"in_place.reading", "in_place.reducing", "in_place.repairing", "in_place.writing"},
        {"in_place.listing"},
    ),
}
#: Calls that belong into clock.py, for the tests and the explorer close that door.
TIME = re.compile(
    r"(datetime\.)+(now|utcnow|today)|asyncio\.sleep|time\.(time|monotonic|perf_counter|sleep)(_ns)?"
    r"|random\.(?!Random$)\w+"
)
OPTIONAL = {
    "aiolimiter",
    "beanie",
    "cyclopts",
    "distributed",
    "fastapi",
    "hypothesis",
    "mongomock",
    "motor",
    "opentelemetry",
    "pydantic",
    "pytest",
    "rich",
}
# In pieces, so that this file passes its own check.
MACHINE_PATH = re.compile(r"(?<![\w./}])/(?:" + "|".join(("work", "opt", "root", "home", "Users", "tmp")) + r")/\w")
TEXT = {".py", ".md", ".toml", ".ini", ".yaml", ".yml", ".json", ".txt", ".svg", ".cfg", ""}


def imports(text: str, modules: Sources) -> Iterator[tuple[str, bool]]:
    """Each module of lazymig that the text imports, and whether for annotations only."""
    tree = ast.parse(text)
    guarded = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        for name in _imported_names(node):
            yield _module_of(name, modules), node in guarded


def _imported_names(node: ast.AST) -> list[str]:
    if isinstance(node, ast.ImportFrom):
        assert not node.level, "write imports in full, so that their floor can be read"
        names = [f"{node.module}.{alias.name}" for alias in node.names]
    else:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
    return [name.removeprefix("lazymig").removeprefix(".") for name in names if top(name) == "lazymig"]


def _module_of(name: str, modules: Sources) -> str:
    while name:
        for candidate in (name, f"{name}.__init__"):
            if candidate in modules:
                return candidate
        name = name.rpartition(".")[0]
    return "__init__"


def misplaced(modules: Sources) -> list[str]:
    """Imports that do not point to a lower floor, or inside a package to a lower room, and what has no floor."""
    found = [
        f"{name} has no floor; add it to STOREYS" for name in sorted({top(module) for module in modules} - set(FLOORS))
    ]
    for module, text in modules.items():
        here = top(module)
        for target in sorted({target for target, _ in imports(text, modules)}):
            there = top(target)
            if here == there:
                found += _in_disorder(module, target)
            elif not {here, there} - set(FLOORS) and FLOORS[there] >= FLOORS[here]:
                found.append(f"{module} (floor {FLOORS[here]}) imports {there} (floor {FLOORS[there]})")
    return found


def _in_disorder(module: str, target: str) -> list[str]:
    """What is wrong with an import between two files of one package."""
    package, _, name = module.partition(".")
    other = target.partition(".")[2]
    rooms = {room: height for height, storey in enumerate(ROOMS.get(package, ())) for room in storey}
    if not rooms or "__init__" in (name, other):
        return []
    if missing := {name, other} - set(rooms):
        return [f"{package}.{sorted(missing)[0]} has no room; add it to ROOMS"]
    if rooms[other] >= rooms[name]:
        return [f"{module} (room {rooms[name]}) imports {target} (room {rooms[other]})"]
    return []


def cycle(modules: Sources) -> list[str]:
    """One import cycle, or nothing. What only annotations name does not count."""
    graph = {
        module: {target for target, typing_only in imports(text, modules) if not typing_only and target != module}
        for module, text in modules.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def calls(text: str) -> Iterator[tuple[str, ast.Call]]:
    """Each call by its name as imported: after `from time import sleep as nap`, `nap(1)` is `time.sleep`."""
    tree = ast.parse(text)
    origin = {
        alias.asname or alias.name: f"{node.module}.{alias.name}" if isinstance(node, ast.ImportFrom) else alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            first, dot, rest = ast.unparse(node.func).partition(".")
            yield origin.get(first, "") + dot + rest, node


def banned_calls(text: str) -> list[str]:
    return [name for name, _ in calls(text) if TIME.fullmatch(name)]


def sleeps(text: str) -> list[str]:
    """Calls that wait for time to pass; `asyncio.sleep(0)` only gives others their turn."""
    waits = {"time.sleep", "asyncio.sleep"}
    return [
        name for name, call in calls(text) if name in waits and [ast.unparse(given) for given in call.args] != ["0"]
    ]


def oversized(modules: Sources) -> list[str]:
    lines = {module: text.count("\n") for module, text in modules.items()}
    found = [f"{module} has {count} lines, more than 300" for module, count in lines.items() if count > 300]
    files = median(lines.values())
    lengths = [length(function) for text in modules.values() for function in functions(text)]
    found += [f"the median file has {files} lines, more than 150"] if files > 150 else []
    typical = median(lengths or [0])
    return found + ([f"the median function has {typical} lines, more than 10"] if typical > 10 else [])


# Statements stay in stores.

#: Methods of collections, cursors, databases and clients that nothing else in lazymig has.
STATEMENTS = frozenset(
    [
        "aggregate",
        "aggregate_raw_batches",
        "bulk_write",
        "count_documents",
        "create_collection",
        "create_index",
        "create_indexes",
        "delete_many",
        "delete_one",
        "drop_collection",
        "drop_database",
        "drop_index",
        "drop_indexes",
        "estimated_document_count",
        "find_one",
        "find_one_and_delete",
        "find_one_and_replace",
        "find_one_and_update",
        "find_raw_batches",
        "get_collection",
        "get_database",
        "index_information",
        "insert_many",
        "insert_one",
        "list_collection_names",
        "list_collections",
        "list_database_names",
        "list_indexes",
        "list_search_indexes",
        "replace_one",
        "run_command",
        "start_session",
        "to_list",
        "update_many",
        "update_one",
        "with_options",
    ]
)
#: Attributes that lead to a collection, a database or a client. Others of a store are no way to one.
WAYS_THERE = frozenset(
    {"admin", "client", "codec_options", "collection", "database", "full_name", "given", "topology_description"}
)
#: What takes a collection, or makes one.
COLLECTION_TOOLS = frozenset({"await_if_needed", "collection_of", "driver_of", "is_tz_aware", "tune"})


def reaching(text: str) -> list[str]:
    """Each place where the text touches a collection, a database or a client: by method, attribute or import."""
    return [f"line {node.lineno}: {found}" for node in ast.walk(ast.parse(text)) for found in _reached(node)]


def _reached(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Attribute):
        return [f".{node.attr}"] if node.attr in STATEMENTS | WAYS_THERE and not _is_own(node) else []
    if isinstance(node, ast.ImportFrom):
        return _tools(node.module or "", [alias.name for alias in node.names])
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names if alias.name in ("pymongo", "motor", "motor.motor_asyncio")]
    return []


def _is_own(node: ast.Attribute) -> bool:
    """Whether an object keeps for its user what it was given: `self.collection = collection`."""
    return isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self"


def _tools(module: str, names: list[str]) -> list[str]:
    if module == "lazymig.stores.drivers":
        return [name for name in names if name in COLLECTION_TOOLS]
    if top(module) in ("pymongo", "motor", "mongomock_motor", "gridfs"):
        return [] if module in ("pymongo.errors", "mongomock_motor") else [f"{module}.{name}" for name in names]
    return []


def outside_stores(modules: Sources) -> dict[str, str]:
    """The modules that make no statement; those of `testing` are drivers themselves."""
    return {module: text for module, text in modules.items() if top(module) not in ("stores", "testing")}


def silent_tests(text: str) -> list[str]:
    tests = [function for function in functions(text) if function.name.startswith("test_")]
    return [test.name for test in tests if not ast.get_docstring(test)]


def published() -> Iterator[Path]:
    """Every text file of the project, but for what tools leave behind."""
    for folder in ("lazymig", "tests", "examples", "benchmarks", "docs", ".ci", ".github"):
        yield from (file for file in (ROOT / folder).rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    yield from (file for file in ROOT.iterdir() if file.is_file() and not file.name.startswith("."))


def test_floors() -> None:
    """Each file of lazymig imports from floors below its own, without exception."""
    assert misplaced(MODULES) == []


def test_no_cycles() -> None:
    """No import leads back to where it started."""
    assert cycle(MODULES) == []


def test_sizes() -> None:
    """No file is longer than 300 lines, half of them have at most 150, half of all functions at most 10."""
    assert oversized(MODULES) == []


def test_statements_stay_in_stores() -> None:
    """No module above the stores touches a collection, a database or a client."""
    assert {module: places for module, text in outside_stores(MODULES).items() if (places := reaching(text))} == {}


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"loop.clock"}))
def test_one_door_to_time(module: str) -> None:
    """Time, sleep and randomness come from clock.py only."""
    assert banned_calls(MODULES[module]) == []


@pytest.mark.parametrize("module", sorted(TESTS))
def test_tests_speak(module: str) -> None:
    """Every test states its claim, and none sleeps."""
    assert silent_tests(TESTS[module]) == []
    assert sleeps(TESTS[module]) == []


def test_no_machine_paths() -> None:
    """Nothing published names a folder of the machine it was written on."""
    texts = {file: file.read_text("utf-8") for file in published() if file.suffix in TEXT}
    assert len(texts) > 20
    assert [str(file) for file, text in texts.items() if MACHINE_PATH.search(text)] == []


def test_nothing_optional() -> None:
    """Importing lazymig imports none of the packages of its extras."""
    program = "import sys; from lazymig import *; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()
    assert "pymongo" in loaded
    assert OPTIONAL & set(loaded) == set()


@pytest.mark.skipif("LAZYMIG_EXPECT_WHEEL" not in os.environ, reason="only tox installs the wheel")
def test_wheel() -> None:
    """Under tox the tests run against the built wheel and not the source tree."""
    assert Path(lazymig.__file__).parent != ROOT / "lazymig"
    assert "site-packages" in Path(lazymig.__file__).parts


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        ({"stores.a": "from lazymig.protocol import read\n", "protocol": ""}, "stores.a (floor 3) imports protocol"),
        ({"stores.a": "from lazymig import protocol\n", "protocol": ""}, "stores.a (floor 3) imports protocol"),
        ({"stores.a": "import lazymig.protocol\n", "protocol": ""}, "stores.a (floor 3) imports protocol"),
        ({"stores.a": "def f():\n    import lazymig\n", "__init__": ""}, "stores.a (floor 3) imports __init__"),
        ({"passes.a": "from lazymig.routes import b\n", "routes.b": ""}, "passes.a (floor 8) imports routes (floor 8)"),
        (
            {"stores.raw": "from lazymig.stores import ledger\n", "stores.ledger": ""},
            "stores.raw (room 6) imports stores.ledger (room 10)",
        ),
        ({"stores.raw": "from lazymig.stores import other\n", "stores.other": ""}, "stores.other has no room"),
        ({"manager": ""}, "manager has no floor; add it to STOREYS"),
    ],
)
def test_floors_bite(modules: Sources, message: str) -> None:
    """An import upwards or along a floor is found however it is written, and so is a module without a floor."""
    assert [found[: len(message)] for found in misplaced(modules)] == [message]


def test_cycles_bite() -> None:
    """A cycle is found, also inside a package and inside a function; annotations alone make none."""
    inward = "from lazymig.cli import b\n"
    outward = "def f():\n    from lazymig.cli.a import g\n"
    typed = "if TYPE_CHECKING:\n    from lazymig.cli.a import g\n"
    assert set(cycle({"cli.a": inward, "cli.b": outward})) == {"cli.a", "cli.b"}
    assert cycle({"cli.a": inward, "cli.b": typed}) == []


def test_sizes_bite() -> None:
    """A long file, long files and long functions are each found, and a docstring costs nothing."""
    body = "    x = 1\n"
    assert [found.split(", ")[0] for found in oversized({"a": body.replace(" ", "") * 301})] == [
        "a has 301 lines",
        "the median file has 301 lines",
    ]
    assert oversized({"a": "def f():\n" + body * 9}) == []
    assert oversized({"a": "def f():\n" + '    """One.\n    Two."""\n' + body * 9}) == []
    assert oversized({"a": "def f():\n" + body * 10}) == ["the median function has 11 lines, more than 10"]


@pytest.mark.parametrize(
    "line",
    [
        "from datetime import datetime; datetime.now()",
        "import datetime as d; d.datetime.now(d.UTC)",
        "import time; time.monotonic()",
        "from time import sleep as nap; nap(1)",
        "import random; random.random()",
        "from random import choice; choice([1])",
        "from asyncio import sleep\nasync def f(): await sleep(0)",
    ],
)
def test_door_bites(line: str) -> None:
    """Each way past the clock is found, under any name; a generator with a seed of its own is none."""
    assert len(banned_calls(line)) == 1
    assert banned_calls("import random; random.Random(7).random(); clock.now(); time.sleep(1)") == []


@pytest.mark.parametrize(
    "line",
    [
        "async def f(rows): await rows.find_one({})",
        "async def f(rows): await rows.find({}).to_list(None)",
        "async def f(pair): await pair.v1.collection.find({'_id': 1})",
        "def f(pair): return pair.v2.collection",
        "def f(one): return one.database['lazymig_control']",
        "def f(self, one): self.collection.x = one",
        "update = rows.update_one",
        "from lazymig.stores.drivers import MAJORITY, tune",
        "from lazymig.stores.drivers import driver_of as kind",
        "def f():\n    from pymongo import AsyncMongoClient",
        "import pymongo",
        "from pymongo.write_concern import WriteConcern",
    ],
)
def test_statements_bite(line: str) -> None:
    """Each way to a statement is found: by its method, by what leads to a collection, and by the tools for one."""
    assert len(reaching(line)) == 1


def test_stores_are_no_collections() -> None:
    """Calls of stores, error classes and what an object keeps of its user's are none."""
    text = "import bson\nfrom pymongo.errors import PyMongoError\nfrom lazymig.stores.drivers import Driver\n"
    text += "async def f(self, pair, collection):\n    await pair.v1.find(1)\n    self.collection = collection\n"
    assert reaching(text) == []
    assert set(outside_stores({"stores.a": "", "testing.b": "", "sweeping.c": ""})) == {"sweeping.c"}


def test_speech_bites() -> None:
    """A silent test and a sleeping one are found; giving others their turn is not sleeping."""
    assert silent_tests("async def test_a(): pass\ndef test_b():\n    'Claim.'\ndef other(): pass") == ["test_a"]
    assert sleeps("import asyncio, time\nasyncio.sleep(0)\ntime.sleep(1)\nasyncio.sleep(2)") == [
        "time.sleep",
        "asyncio.sleep",
    ]


def test_machine_paths_bite() -> None:
    """A path of a machine is found, an address on the web is not."""
    assert MACHINE_PATH.search("see " + "/".join(("", "home", "me")))
    assert not MACHINE_PATH.search("https://example.org/home/x and a/tmp/b")
