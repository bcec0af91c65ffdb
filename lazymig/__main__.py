"""`python -m lazymig`: the same command line as `lazymig`."""

from __future__ import annotations

import sys

from lazymig.cli import main

if __name__ == "__main__":
    sys.exit(main())
