"""`lazymig doctor` and `lazymig check` as a person or a CI job runs them: the console script, in its own process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from lazymig.cli import laws
from lazymig.cli.failures import Unusable
from lazymig.cli.laws import find_entities
from lazymig.cli.verbs import run
from tests.acceptance.test_cli import BAD, COUNT, SECRET_NAME, Run, environment, lazymig, people

__all__ = ["environment", "lazymig", "people"]

STRATEGIES = """
from hypothesis import strategies as st
from shop import New, Old

words = st.from_regex(r"[a-z]+", fullmatch=True)
old = st.builds(Old, st.integers(0, 99), st.builds(lambda *names: " ".join(names), words, words))

def new():
    return st.builds(New, st.integers(0, 99), words, words)
"""


def test_a_doctor_with_nothing_to_say(lazymig: Run, people: Any) -> None:
    """Without a blocking finding it ends with 0, shows what it examined, and has written nothing."""
    ended = lazymig("doctor", "--app", "shop:plain", "--verbose", COLUMNS="80")
    assert ended.returncode == 0
    assert ended.stdout.startswith(f"people: {COUNT} of about {COUNT} documents examined, ")
    assert "\nNothing blocks the migration: " in ended.stdout
    assert "\nok  conversion\n" in ended.stdout
    assert max(map(len, ended.stdout.splitlines())) <= 80
    assert people.list_collection_names() == ["people"]


def test_a_doctor_with_a_finding(lazymig: Run, people: Any) -> None:
    """A finding that blocks ends it with 3; it is shown with its ids and advice and without contents, also as JSON."""
    people["people"].update_one({"_id": BAD}, {"$set": {"name": SECRET_NAME}})
    ended = lazymig("doctor", "--app", "shop:motor", "--all")
    assert ended.returncode == 3
    assert "\nok  " not in ended.stdout
    assert "\nblocks  conversion\n" in ended.stdout
    assert f"\n    for example {BAD}\n    -> correct the documents" in ended.stdout
    assert "1 finding blocks the migration" in ended.stdout.splitlines()[-1]
    as_json = lazymig("doctor", "--app", "shop:plain", "--all", "--json")
    diagnosis = json.loads(as_json.stdout)
    (found,) = [one for one in diagnosis["findings"] if one["severity"] == "blocks"]
    assert (as_json.returncode, diagnosis["blocked"], diagnosis["examined"]) == (3, True, COUNT)
    assert (found["check"], found["ids"]) == ("conversion", [{"id": BAD, "ref": str(BAD)}])
    assert {json.loads(line)["event"] for line in as_json.stderr.splitlines()} == {"doctor"}
    for one in (ended, as_json):
        assert SECRET_NAME not in one.stdout + one.stderr


def test_broken_laws(lazymig: Run, tmp_path: Path) -> None:
    """A law that random entities break ends the check with 3, without a server; nothing is left in the folder."""
    ended = lazymig("check", "--app", "shop:plain", "--offline", "--json")
    (found,) = json.loads(ended.stdout)["findings"]
    assert (ended.returncode, found["severity"], found["check"]) == (3, "blocks", "laws")
    assert found["evidence"].startswith('"upgrade takes every V1 entity" does not hold for the whole entity. A random')
    assert not (tmp_path / ".hypothesis").exists()


def test_laws_on_strategies_of_your_own(lazymig: Run, people: Any, tmp_path: Path) -> None:
    """With strategies that draw what the documents hold the laws hold; real documents are converted there and back."""
    (tmp_path / "drawn.py").write_text(STRATEGIES)
    options = ("--v1", "drawn:old", "--v2", "drawn:new", "--examples", "20", "--sample", "50")
    ended = lazymig("check", "--app", "shop:awaited", *options)
    assert (ended.returncode, ended.stderr.count("Traceback")) == (0, 0)
    assert "20 random entities of each class keep all laws" in ended.stdout
    assert "no release has swept yet" in ended.stdout
    assert "documents convert" in ended.stdout
    assert people.list_collection_names() == ["people"]


def test_a_class_that_changed(lazymig: Run, people: Any, tmp_path: Path) -> None:
    """After a sweep, a release whose class changed and whose revision did not ends the check with 3."""
    assert lazymig("sweep", "--app", "shop:plain").returncode == 0
    shop = tmp_path / "shop.py"
    shop.write_text(shop.read_text().replace("    last: str\n", "    last: str\n    title: str = ''\n"))
    changed = lazymig("check", "--app", "shop:plain", "--examples", "0")
    assert changed.returncode == 3
    assert "blocks  revision\n    the classes have changed" in changed.stdout
    shop.write_text(shop.read_text().replace('name="people",', 'name="people", revision=2,'))
    assert lazymig("check", "--app", "shop:plain", "--examples", "0").returncode == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--offline", "--sample", "5"], "--offline reads no documents"),
        (["--examples", "0", "--v1", "a:b"], "leave out --v1 and --v2"),
        (["--v1", "tests.widening:WIDENING"], "found Widening; name a Hypothesis strategy"),
        (["--v2", "nowhere:b"], "--v2 nowhere:b: no module nowhere"),
        (["--examples", "-1"], "Must be >= 0"),
    ],
)
def test_what_cannot_be_checked(capsys: Any, options: list[str], said: str) -> None:
    """Options that exclude each other, and names of no strategy, end the check with 2 and say what to change."""
    assert run(["check", "--app", "tests.people:migration", *options]) == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_without_hypothesis(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Hypothesis is not installed, the message says what to install, and how to go without."""
    monkeypatch.setattr(laws, "find_spec", lambda name: None)
    with pytest.raises(Unusable, match=r"pip install 'lazymig\[testing\]'.*--examples 0"):
        find_entities(100, None, None)
    assert find_entities(0, None, None).examples == 0


def test_a_strategy_may_be_given_as_a_function() -> None:
    """A strategy is found by its name, also where a function makes it."""
    assert find_entities(5, f"{__name__}:drawn", f"{__name__}:make_drawn").v1 is drawn
    assert find_entities(5, f"{__name__}:drawn", f"{__name__}:make_drawn").v2 is drawn


drawn = st.integers()


def make_drawn() -> Any:
    return drawn
