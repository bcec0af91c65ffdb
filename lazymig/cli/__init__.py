"""The `lazymig` command. One thin file per verb: parse, call, render.

Results go to stdout; progress and diagnostics go to stderr. Exit codes: 0 done and nothing wrong, 1 the tool failed,
2 bad usage, 3 finished but something needs a person.
"""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line of this process, and return its exit code. The console script calls this."""
    try:
        from lazymig.cli.output import prepare_streams
        from lazymig.cli.verbs import run
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"cyclopts", "rich"}:
            raise
        sys.stderr.write("lazymig: the command line needs two more packages: pip install 'lazymig[cli]'\n")
        return 1
    prepare_streams()
    return run(sys.argv[1:])
