"""The command line as a whole: its verbs, and how each outcome becomes an exit code."""

from __future__ import annotations

import asyncio
import inspect
import os
import sys
from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from inspect import BoundArguments
from typing import Any, Literal

from cyclopts import App, CycloptsError
from cyclopts.exceptions import MissingArgumentError, UnusedCliTokensError

from lazymig.cli.failures import Unusable, in_one_line, raised_at, without_secrets
from lazymig.cli.options import Exit, examples
from lazymig.cli.output import complain

_HELP = """Change the shape of your MongoDB data while the service stays up.

To see it: lazymig demo. To begin: lazymig init.

Exit codes: 0 done, 1 the tool failed, 2 bad usage, 3 done but something needs a person.
"""


def _version() -> str:
    try:
        return f"lazymig {version('lazymig')}"
    except PackageNotFoundError:
        return "lazymig, from a folder of sources that is not installed"


def completion(shell: Literal["bash", "zsh", "fish"], /) -> int:
    """Print a script that completes the commands and options of lazymig in your shell.

    Args:
        shell: The shell to print it for.
    """
    sys.stdout.write(command_line().generate_completion(shell=shell))
    return Exit.DONE


_APP = "--app shop.people:repository"
#: Each verb, in the order of the help, with its examples. Groups of commands have their own.
_EXAMPLES = {
    "demo": examples("lazymig demo", "lazymig demo --server", "lazymig demo --uri mongodb://localhost --keep"),
    "init": examples(
        "lazymig init",
        "lazymig init backend --library pydantic --name customers",
        "lazymig init --uri mongodb://localhost --collection shop.customers",
    ),
    "doctor": examples(f"lazymig doctor {_APP}", f"lazymig doctor {_APP} --all", f"lazymig doctor {_APP} --json"),
    "status": examples(f"lazymig status {_APP}", "LAZYMIG_APP=shop.people:repository lazymig status --json"),
    "report": examples(f"lazymig report {_APP} --html people.html", f"lazymig report {_APP} --html - > people.html"),
    "serve": examples(
        f"lazymig serve {_APP}",
        f"lazymig serve {_APP} --app shop.orders:repository --port 9000",
        f"lazymig serve {_APP} --authorize shop.rights:authorize",
    ),
    "waiting": examples(
        f"lazymig waiting {_APP}", f"lazymig waiting {_APP} --left", f"lazymig waiting {_APP} | cut -f 1"
    ),
    "follow": examples(f"lazymig follow {_APP}", f"lazymig follow {_APP} --max-time 3600 --json"),
    "check": examples(f"lazymig check {_APP}", f"lazymig check {_APP} --offline --examples 1000"),
    "completion": examples("lazymig completion bash > ~/.local/share/bash-completion/completions/lazymig"),
    "sweep": examples(
        f"lazymig sweep {_APP} --dry-run", f"lazymig sweep {_APP}", f"lazymig sweep {_APP} --rate 500 --max-time 3600"
    ),
    "verify": examples(
        f"lazymig verify {_APP}",
        f"lazymig verify {_APP} --sample 3000",
        f"lazymig verify {_APP} --repair --accept missing-null:nickname",
        f"lazymig verify {_APP} --continuous --rate 100",
    ),
    "rewrite": examples(f"lazymig rewrite {_APP} --dry-run", f"lazymig rewrite {_APP} --rate 500"),
    "dead-letters": None,
    "phase": None,
    "retire": None,
}
#: The verbs whose passes can be steered while they run.
_STEERED = {"sweep", "verify", "rewrite"}
#: The modules of the verbs that are not called as their modules are.
_MODULES = {"completion": "verbs", "dead-letters": "dead_letters", "phase": "cut_over"}


@cache
def command_line(verb: str = "") -> App:
    """Return the command line with this verb alone; with all of them where there is none of that name.

    A verb is imported when it is asked for: each needs a part of lazymig, and the start of a command is mostly imports.
    """
    app = App(name="lazymig", help=_HELP, version=_version)
    app["--help"].help = "Show this help."
    app["--version"].help = "Show the version."
    for name in [verb] if verb in _EXAMPLES else _EXAMPLES:
        command, epilogue = _find(name), _EXAMPLES[name]
        if isinstance(command, App):
            app.command(command)
        elif name in _STEERED:
            steered: Callable[..., App] = import_module("lazymig.cli.steering").steered
            app.command(steered(name, command, epilogue))
        else:
            app.command(command, help_epilogue=epilogue)
    return app


def _find(verb: str) -> Callable[..., object] | App:
    """Return the function of a verb, or the group of its commands."""
    module = import_module(f"lazymig.cli.{_MODULES.get(verb, verb)}")
    found: Callable[..., object] | App = getattr(module, verb.replace("-", "_"))
    return found


def run(tokens: Sequence[str]) -> int:
    """Run one command line and return its exit code."""
    app = command_line(*tokens[:1])
    try:
        command, bound, _ = app.parse_args(list(tokens), exit_on_error=False, print_error=False)
    except CycloptsError as error:
        complain(f"{without_secrets(_misused(error))} See {_help_of(app, tokens)}.")
        return Exit.USAGE
    try:
        return int(_called(command, bound) or Exit.DONE)
    except Unusable as error:
        complain(f"{in_one_line(error)}. See {_help_of(app, tokens)}.")
        return Exit.USAGE
    except SystemExit as left:
        # In a conversion, for example. Its code may be 0, which would mean success.
        complain(f"the application called sys.exit({left.code!r}) before this was done")
        return Exit.FAILED
    except BrokenPipeError:
        # The reader of the pipe has gone. When the interpreter exits, it must not try to flush what is left.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.FAILED
    except (KeyboardInterrupt, asyncio.CancelledError):
        complain("interrupted")
        return Exit.FAILED
    except Exception as error:
        if bound.arguments.get("debug"):
            complain(raised_at(error))
        complain(in_one_line(error))
        return Exit.FAILED


def _misused(error: CycloptsError) -> str:
    """Describe a command line that cannot be read: which word is missing, or is one too many."""
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        return f"There is no place for {' '.join(error.unused_tokens)!r}."
    argument = error.argument
    if not isinstance(error, MissingArgumentError) or argument is None or argument.tokens:
        return str(error)
    name = error.keyword or argument.name
    if error.keyword is not None:
        return f"{name}: a value must follow."
    variables = " or ".join(f"${variable}" for variable in argument.parameter.env_var or ())
    return f"{name} is missing; pass it{f', or set {variables}' if variables else ''}."


def _help_of(app: App, tokens: Sequence[str]) -> str:
    """Return the command that shows the help of what was typed."""
    chain, _, _ = app.parse_commands(tokens)
    return " ".join(["lazymig", *chain, "--help"])


def _called(command: Callable[..., Any], bound: BoundArguments) -> Any:
    result = command(*bound.args, **bound.kwargs)
    return asyncio.run(result) if inspect.iscoroutine(result) else result
