"""What a user asks of the command line itself: help, version, completion, `python -m lazymig`."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from cyclopts import App

from lazymig.cli.verbs import command_line
from lazymig.cli.verbs import run as run_here
from tests.commands import SCRIPT, quick_script

ROOT = Path(__file__).parents[2]


def chains(command: App, *above: str) -> Iterator[tuple[str, ...]]:
    """Each command and group of commands by its words."""
    yield above
    for name in command:
        if not name.startswith("-"):
            yield from chains(command[name], *above, name)


WHOLE = command_line()
CHAINS = sorted(chains(WHOLE))
COMMANDS = [chain for chain in CHAINS if chain not in {(), ("dead-letters",), ("phase",), ("retire",)}]


def run(*arguments: str, command: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "80"}
    return subprocess.run(
        [*(command or [quick_script()]), *arguments], env=environment, capture_output=True, text=True, timeout=300
    )


def help_of(chain: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """The help of a command at 80 columns, in this process: a process for each would take a minute."""
    monkeypatch.setenv("COLUMNS", "80")
    assert run_here([*chain, "--help"]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    return shown.out


def epilogue_of(chain: tuple[str, ...]) -> list[str]:
    """The lines of examples at the end of a command's help."""
    command = WHOLE
    for word in chain:
        command = command[word]
    return [line.strip() for line in (command.help_epilogue or "").splitlines()[2:]]


@pytest.mark.parametrize("chain", CHAINS, ids=" ".join)
def test_each_help_fits_a_terminal(
    chain: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each help begins with how to call the command, is at most 80 columns wide, and ends with 0."""
    shown = help_of(chain, capsys, monkeypatch)
    assert shown.startswith(f"Usage: {' '.join(['lazymig', *chain])}")
    assert max(len(line.rstrip()) for line in shown.splitlines()) <= 80


def test_a_process_shows_the_same_help(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What the tests here read is what a user sees."""
    shown = run("phase", "advance", "--help", command=(str(SCRIPT),))
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout == help_of(("phase", "advance"), capsys, monkeypatch)


def test_the_first_help_describes_every_verb() -> None:
    """The help of the whole names each verb with what it does, though none was imported before."""
    text = " ".join(run("--help", command=(str(SCRIPT),)).stdout.replace("│", " ").split())
    for verb in (chain[0] for chain in CHAINS if len(chain) == 1):
        assert f"{verb} {WHOLE[verb].help.split()[0]}" in text


@pytest.mark.parametrize("verb", ["status", "init", "fly"])
def test_only_the_verb_that_is_asked_for_is_imported(verb: str) -> None:
    """A command starts without the modules of the other verbs; a word that is no verb is looked for among all."""
    code = f"import sys; from lazymig.cli.verbs import command_line; command_line({verb!r}); print(*sys.modules)"
    loaded = set(run("-c", code, command=(sys.executable,)).stdout.split())
    others = {"lazymig.cli.sweep", "lazymig.cli.retire", "lazymig.cli.doctor", "lazymig.cli.demo"}
    assert others & loaded == (others if verb == "fly" else set())
    assert (f"lazymig.cli.{verb}" in loaded) == (verb != "fly")


def test_the_collector_of_garbage_starts_behind_the_imports(tmp_path: Path) -> None:
    """It leaves alone what a command imports at its start, and works as usual when the application is imported."""
    (tmp_path / "shop.py").write_text("import gc; print(gc.isenabled(), gc.get_freeze_count() > 10_000)")
    code = "import sys; from lazymig.cli import main; sys.argv[1:] = ['status', '--app', 'shop:x']; main()"
    ended = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert ended.stdout == "True True\n", ended.stderr


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("sweep", "--app is missing; pass it, or set $LAZYMIG_APP."),
        ("dead-letters show --app shop.people:repository", "ID is missing; pass it."),
        ("sweep --app", "--app: a value must follow."),
        ("status --app shop.people:repository now", "There is no place for 'now'."),
        (
            "status --app shop.people:repository mongodb://me:secret@host/db",
            "There is no place for 'mongodb://***@host'.",
        ),
    ],
)
def test_a_command_line_that_cannot_be_read_says_what_is_wrong(typed: str, said: str) -> None:
    """It names the word that is missing or one too many, and the variable that stands for it, and ends with 2."""
    ended = run(*typed.split())
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"lazymig: {said} See lazymig ")


@pytest.mark.parametrize("chain", COMMANDS, ids=" ".join)
def test_each_command_shows_examples_that_parse(
    chain: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each command's help has examples, and each of them is a command line that lazymig takes for that command."""
    examples = epilogue_of(chain)
    assert examples
    shown = help_of(chain, capsys, monkeypatch)
    for example in examples:
        words = shlex.split(example)
        assert all(word in shown for word in example.split())
        start = words.index("lazymig")
        end = next((index for index, word in enumerate(words) if word in {"|", ">"}), len(words))
        tokens = words[start + 1 : end]
        if (
            "LAZYMIG_APP" not in example
            and "--app" not in tokens
            and chain[0] in {"dead-letters", "status", "sweep", "verify"}
        ):
            tokens += ["--app", "shop.people:repository"]  # from the environment
        elif start:
            tokens += ["--app", words[0].partition("=")[2]]
        command, _, _ = WHOLE.parse_args(tokens, exit_on_error=False, print_error=False)
        assert command is WHOLE[chain[0]].default_command or (command is WHOLE[chain[0]][chain[1]].default_command)


@pytest.mark.parametrize("chain", COMMANDS, ids=" ".join)
def test_each_option_is_explained(chain: tuple[str, ...]) -> None:
    """Each option and argument has a text, in sentences."""
    command = WHOLE
    for word in chain:
        command = command[word]
    for argument in command.assemble_argument_collection(parse_docstring=True):
        if argument.parse and argument.show:
            assert argument.parameter.help, argument.name
            assert argument.parameter.help.endswith("."), argument.name


def test_the_module_is_the_same_command_line() -> None:
    """`python -m lazymig` prints what `lazymig` prints, its name included, with the same exit codes."""
    script, module = (str(SCRIPT),), (sys.executable, "-m", "lazymig")
    for arguments in (["--help"], ["--version"], ["sweep", "--help"], ["fly"]):
        one, other = run(*arguments, command=script), run(*arguments, command=module)
        assert (one.returncode, one.stdout, one.stderr) == (other.returncode, other.stdout, other.stderr)


def test_the_version_is_the_packages() -> None:
    """--version prints the name and the installed version."""
    assert run("--version").stdout == f"lazymig {version('lazymig')}\n"


@pytest.mark.parametrize("missing", ["cyclopts", "rich"])
def test_the_module_says_what_to_install(missing: str) -> None:
    """Without the packages of lazymig[cli], `python -m lazymig` names the pip install that helps."""
    code = f"import runpy, sys; sys.modules[{missing!r}] = None; runpy.run_module('lazymig', run_name='__main__')"
    ended = run("-c", code, command=(sys.executable,))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == "lazymig: the command line needs two more packages: pip install 'lazymig[cli]'\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_script_knows_every_command(shell: str) -> None:
    """Each shell's script names every command and the options of a sweep."""
    ended = run("completion", shell)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert [word for chain in CHAINS for word in chain if word not in ended.stdout] == []
    options = ("dry-run", "batch-size", "shard")
    assert [option for option in options if option not in ended.stdout] == []


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["lazymig", ""], {"demo", "init", "status", "sweep", "dead-letters", "completion"}),
        (["lazymig", "sweep", "--dr"], {"--dry-run"}),
        (["lazymig", "dead-letters", "re"], {"retry"}),
        (["lazymig", "completion", ""], {"bash", "zsh", "fish"}),
    ],
)
def test_bash_completes(words: list[str], offered: set[str]) -> None:
    """The script, sourced by bash, offers the commands, options and choices that fit what was typed."""
    typed = " ".join(map(shlex.quote, words))
    program = (
        f"{run('completion', 'bash').stdout}\nCOMP_WORDS=({typed}); COMP_CWORD={len(words) - 1}; COMP_LINE={typed!r}\n"
        'eval "$(complete -p lazymig | sed -E \'s/complete -F (\\S+) .*/\\1/\')"; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    shown = run("-c", program, command=("bash",))
    assert offered <= set(shown.stdout.split()), shown.stderr


def test_the_page_on_completion_names_the_commands() -> None:
    """The documentation's commands are those that exist, one for each shell."""
    page = (ROOT / "docs" / "shell-completion.md").read_text("utf-8")
    assert [shell for shell in ("bash", "zsh", "fish") if f"lazymig completion {shell} > " not in page] == []


def test_an_unknown_shell_is_bad_usage() -> None:
    """A shell that has no script ends with 2, and the message names those that have one."""
    ended = run("completion", "tcsh")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert [shell for shell in ("bash", "zsh", "fish") if shell not in ended.stderr] == []
