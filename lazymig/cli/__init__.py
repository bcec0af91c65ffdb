"""The `lazymig` command. One thin file per verb: parse, call, render.

Results go to stdout; progress and diagnostics go to stderr. Exit codes: 0 done and nothing wrong, 1 the tool failed,
2 bad usage, 3 finished but something needs a person.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keep the garbage collector away from what is imported meanwhile, then and at the end of the process.

    All of it stays until then, and to look through it again and again takes a quarter of a short command's time.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def main() -> int:
    """Run the command line of this process, and return its exit code. The console script calls this."""
    try:
        with _uncollected():
            from lazymig.cli.output import prepare_streams
            from lazymig.cli.verbs import command_line, run

            command_line(*sys.argv[1:2])  # imports the verb
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"cyclopts", "rich"}:
            raise
        sys.stderr.write("lazymig: the command line needs two more packages: pip install 'lazymig[cli]'\n")
        return 1
    prepare_streams()
    return run(sys.argv[1:])
