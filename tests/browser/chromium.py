"""Whether the tests in the browser run: always in CI, elsewhere where a Chromium is there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import pytest
from attrs import frozen

#: How a browser of Chromium's kind may be called; Debian's name first.
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
HOW = (
    "no Chromium; install it with `apt-get install chromium` or name one in LAZYMIG_CHROMIUM, and its driver with "
    "`pip install playwright`"
)


@frozen
class Browser:
    """What is needed to open pages; `program` is None where something is missing."""

    program: Path | None
    in_ci: bool

    def require(self) -> Path:
        """Return the program. Without one the test is skipped, and in CI it fails."""
        if self.program is not None:
            return self.program
        if self.in_ci:
            pytest.fail(f"no skipping in CI: {HOW}", pytrace=False)
        pytest.skip(HOW)


def find_browser(environ: Mapping[str, str] = os.environ) -> Browser:
    """Look for the browser and for what drives it."""
    in_ci = environ.get("CI", "").lower() not in {"", "0", "false"}
    named = environ.get("LAZYMIG_CHROMIUM")
    found = (shutil.which(name, path=environ.get("PATH", "")) for name in ([named] if named else NAMES))
    program = next((Path(path) for path in found if path), None)
    return Browser(program if find_spec("playwright") else None, in_ci)
