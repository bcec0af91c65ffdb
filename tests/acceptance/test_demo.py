"""`lazymig demo` as a newcomer runs it, and proof that its comparison would notice."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from bson import ObjectId
from mongomock_motor import AsyncMongoMockClient
from pymongo import MongoClient

import lazymig
from lazymig.cli.demo.clients import Ledger
from lazymig.cli.demo.comparison import Comparison, compare
from lazymig.cli.demo.dataset import customers
from lazymig.cli.demo.play import CLIENTS_EACH, DIED, OPERATIONS
from lazymig.cli.demo.showing import pretty
from lazymig.testing.mongod import ServerMissing, find_mongod
from tests.commands import quick_script

ROOT = Path(__file__).parents[2]
ALL_OPERATIONS = 2 * CLIENTS_EACH * OPERATIONS


def demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONWARNINGS": "always::ResourceWarning"}
    ended = subprocess.run(
        [quick_script(), "demo", *arguments], env=environment, capture_output=True, text=True, timeout=300
    )  # fmt: skip
    assert "Warning" not in ended.stderr
    return ended


def whole(result: dict[str, Any]) -> bool:
    """Whether a result of --json is that of a perfect run, by its own numbers."""
    operations = sum(sum(verbs.values()) for verbs in result["operations"].values())
    entities = {result["entities"], result["equal"], result["expected"]}
    return len(entities) == 1 and result["acknowledged"] == result["kept"] > 0 and operations == ALL_OPERATIONS


def test_the_embedded_demo_ends_in_all_equal() -> None:
    """Without options the demo runs in memory, shows the share climb, and finds "N of N equal" and ends with 0."""
    ended = demo()
    assert ended.returncode == 0, ended.stderr
    found = re.search(r"^(\d+) of (\d+) equal$", ended.stdout, re.MULTILINE)
    assert found
    assert found[1] == found[2]
    shares = [int(share) for share in re.findall(r"\((\d+) %\)", ended.stderr)]
    assert shares[0] < 50
    assert shares[-1] == 100


def test_the_demo_shows_one_real_customer_before_and_after() -> None:
    """It prints a customer's real V1 document and the V2 document made from it, within 80 columns of plain text."""
    lines = demo().stdout.splitlines()
    assert max(map(len, lines)) <= 80
    before, after, counts = (
        next(index for index, line in enumerate(lines) if line.startswith(title))
        for title in ("One customer before, in V1", "The same customer now, in V2", "Operations")
    )
    old, new = "\n".join(lines[before:after]), "\n".join(lines[after:counts])
    [id] = re.findall(r'_id: ObjectId\("(\w{24})"\)', old)
    original = next(document for document in customers().load_documents() if str(document["_id"]) == id)
    assert f'name: "{original["name"]}"' in old
    assert f"address: {json.dumps(original['address'])}" in old
    assert f'_id: ObjectId("{id}")' in new
    assert f'username: "{original["username"]}"' in new
    assert "first:" in new
    assert "_lazymig:" in new


def test_the_demo_says_what_it_compared_and_what_to_do_next() -> None:
    """The end names the comparisons and commands that exist; JSON holds both documents and the same commands."""
    ended, in_json = demo(), json.loads(demo("--json").stdout)
    printed = " ".join(ended.stdout.split())
    assert "Compared at the end - Each customer's document in V1 with its document in V2" in printed
    assert in_json["before"]["_id"] == in_json["after"]["_id"]
    assert in_json["before"]["name"].split()[-1] in json.dumps(in_json["after"]["name"])
    assert [line for line in in_json["next"] if line not in printed] == []
    for command in in_json["next"]:
        verb, *options = [word for word in command.split()[1:] if word != "--help"] or ["--help"]
        shown = subprocess.run([quick_script(), verb, "--help"], capture_output=True, text=True)
        assert shown.returncode == 0
        assert [option for option in options if option not in shown.stdout] == []


@pytest.mark.parametrize("width", [20, 40, 80])
def test_a_document_is_shown_as_plain_text(width: int) -> None:
    """Every kind of value is shown on lines that are as short as its parts allow, and nothing that a terminal obeys."""
    document = {
        "_id": ObjectId("0" * 24), "text": "\x1b[31mred\u202e", "numbers": list(range(20)), "empty": {}, "none": None,
        "nested": {"a key": [{"deep": [1.5, True]}, b"\xff"]}, "at": datetime(2024, 5, 1),
    }  # fmt: skip
    lines = pretty(document, width)
    assert all(line.isprintable() for line in lines)
    # What is longer is one value that cannot be broken.
    assert [line for line in lines if ", " in line and len(line) > width] == []
    text = " ".join(" ".join(lines).split())
    for part in ('text: "\\u001b[31mred\\u202e"', "17, 18, 19", "empty: {}", "none: null", '"a key":', "bytes:ff",
                 'ISODate("2024-05-01T00:00:00.000Z")'):  # fmt: skip
        assert part in text


def test_the_demo_uses_every_way_to_migrate() -> None:
    """Reads, writes, the sweeper and healing each bring customers to V2, through both doors."""
    ended = demo("--json", "--seed", "2")
    assert ended.returncode == 0, ended.stderr
    result = json.loads(ended.stdout)
    assert whole(result)
    assert all(count > 0 for count in result["migrated_by"].values())
    assert result["healed"] >= DIED
    assert all(count > 0 for verbs in result["operations"].values() for count in verbs.values())
    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    assert (lines[-1]["event"], lines[-1]["operations"]) == ("migrated", ALL_OPERATIONS)


def test_the_demo_runs_on_its_own_server() -> None:
    """With --server it starts a real MongoDB, does the same there, and leaves nothing running."""
    try:
        find_mongod()
    except ServerMissing as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(missing))
    ended = demo("--server", "--json")
    assert ended.returncode == 0, ended.stderr
    assert whole(json.loads(ended.stdout))


@pytest.mark.parametrize("keep", [False, True])
def test_the_demo_on_a_given_server_uses_a_database_of_its_own(lazymig_server: Any, keep: bool) -> None:
    """With --uri it makes a fresh database and drops it, unless --keep leaves it for a look."""
    ended = demo("--uri", lazymig_server.uri, "--json", *(["--keep"] if keep else []))
    assert ended.returncode == 0, ended.stderr
    result = json.loads(ended.stdout)
    assert whole(result)
    with MongoClient[dict[str, Any]](lazymig_server.uri) as client:
        left = [name for name in client.list_database_names() if name.startswith("lazymig_demo_")]
        assert left == ([result["kept_in"]] if keep else [])
        for name in left:
            assert client[name]["customers"].count_documents({}) == result["entities"]
            client.drop_database(name)


@pytest.mark.parametrize("arguments", [["--uri", "mongodb://127.0.0.1/", "--server"], ["--keep"]])
def test_options_that_exclude_each_other_are_bad_usage(arguments: list[str]) -> None:
    """Options that cannot be meant together end with 2, before any server is asked."""
    ended = demo(*arguments)
    assert (ended.returncode, ended.stdout, len(ended.stderr.splitlines())) == (2, "", 1)


class Migrated:
    """Three customers in both collections, equal, and what their clients were printed."""

    def __init__(self, database: Any) -> None:
        example = customers()
        self.v1, self.v2 = database["customers"], database["customers_v2"]
        self.originals = example.load_documents()[:3]
        self.ids = [document["_id"] for document in self.originals]
        self.ledger = Ledger(list(self.ids))
        self.repository = lazymig.Repository(
            example.migration, v1=self.v1, v2=self.v2, phase=lazymig.Phase.COEXIST
        )  # fmt: skip

    async def compared(self) -> Comparison:
        return await compare(self.repository, self.originals, self.ledger)


@pytest.fixture
async def migrated() -> Migrated:
    """Three customers, of which the first was given an account by a client."""
    made = Migrated(AsyncMongoMockClient()["demo"])
    await made.v1.insert_many(customers().load_documents()[:3])
    for id in made.ids:
        await made.repository.get(id)
    await made.repository.update(made.ids[0], lambda one: evolve(one, accounts=[*one.accounts, 10_000_001]))
    made.ledger.touched.add(made.ids[0])
    made.ledger.added[made.ids[0]].add(10_000_001)
    assert (await made.compared()).perfect
    return made


@pytest.mark.parametrize(
    ("side", "change"),
    [
        ("v2", {"$set": {"username": "somebody else"}}),
        ("v2", {"$set": {"_lazymig.intent": 9}}),
        ("v1", {"$set": {"email": "nobody@example.com"}}),
        ("v1", {"$set": {"_lazymig_rev": 9}}),
    ],
)
async def test_the_comparison_sees_a_difference(migrated: Migrated, side: str, change: dict[str, Any]) -> None:
    """One field, revision or open mark that differs in one collection is one customer less that is equal."""
    await getattr(migrated, side).update_one({"_id": migrated.ids[0]}, change)
    compared = await migrated.compared()
    assert (compared.entities, compared.equal, compared.perfect) == (3, 2, False)


async def test_the_comparison_sees_a_change_that_nobody_made(migrated: Migrated) -> None:
    """A customer that no client touched must be the original to the byte, even where V1 and V2 agree."""
    await migrated.repository.update(migrated.ids[1], lambda one: evolve(one, username="changed"))
    compared = await migrated.compared()
    assert (compared.equal, compared.perfect) == (2, False)


async def test_the_comparison_sees_a_lost_change(migrated: Migrated) -> None:
    """A change that was acknowledged and is in neither collection is noticed, though both agree."""
    await migrated.repository.update(migrated.ids[0], lambda one: evolve(one, accounts=one.accounts[:-1]))
    compared = await migrated.compared()
    assert (compared.equal, compared.kept, compared.acknowledged, compared.perfect) == (3, 0, 1, False)


@pytest.mark.parametrize("side", ["v1", "v2"])
async def test_the_comparison_sees_what_is_missing(migrated: Migrated, side: str) -> None:
    """A customer that one collection lacks is not equal."""
    await getattr(migrated, side).delete_one({"_id": migrated.ids[2]})
    compared = await migrated.compared()
    assert (compared.entities, compared.equal, compared.perfect) == (3, 2, False)


async def test_the_comparison_sees_a_customer_back_from_the_dead(migrated: Migrated) -> None:
    """A customer whose delete was acknowledged and who stands in both collections is noticed."""
    migrated.ledger.deleted.add(migrated.ids[2])
    compared = await migrated.compared()
    assert (compared.entities, compared.expected, compared.perfect) == (3, 2, False)


def test_the_wheel_carries_the_customers(tmp_path: Path) -> None:
    """Laid out as the wheel is, without the checkout around it, the package finds its 500 customers."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    forced = settings["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    shutil.copytree(Path(lazymig.__file__).parent, tmp_path / "lazymig", dirs_exist_ok=True)
    for source, target in forced.items():
        shutil.copytree(ROOT / source, tmp_path / target, dirs_exist_ok=True)
    code = (
        "from lazymig.cli.demo.dataset import customers; import lazymig;"
        "print(len(customers().load_documents())); print(customers().__file__); print(lazymig.__file__)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    count, *homes = ended.stdout.split()
    assert count == "500"
    assert all(home.startswith(str(tmp_path)) for home in homes)
