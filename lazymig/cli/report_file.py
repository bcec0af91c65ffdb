"""Where a report is written: whole or not at all, and never over a file that is something else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final
from uuid import uuid4

from lazymig.cli.failures import Unusable

#: What a report begins with, and in how many bytes.
_SIGN: Final = b'<meta name="generator" content="lazymig report">'
_HEAD: Final = 2000


def check_target(given: str) -> Path:
    """Return the file that a report may be written to. Raises `Unusable` where another file would be lost.

    A link stays, and what it leads to is replaced.
    """
    file = Path(given).resolve()
    if not file.parent.is_dir():
        raise Unusable(f"--html {given}: there is no folder {file.parent.name}; make it first")
    if not os.path.lexists(file):
        return file
    if not file.is_file():
        raise Unusable(f"--html {given}: this is no file; name one, or - for stdout")
    if not _is_report(file):
        raise Unusable(f"--html {given}: this file is no report of lazymig, and stays as it is; name another one")
    return file


def write_report(file: Path, text: str) -> bool:
    """Write a report in one step; return whether it took the place of an earlier one."""
    check_target(str(file))  # it may have come since
    replaced = file.exists()
    part = file.with_name(f".{file.name[:100]}.{uuid4().hex}")
    try:
        with open(part, "xb") as written:
            written.write(text.encode())
            written.flush()
            os.fsync(written.fileno())
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
    return replaced


def _is_report(file: Path) -> bool:
    """Whether a file is a report, or is empty, as a file is that was only just made."""
    with open(file, "rb") as read:
        head = read.read(_HEAD)
    return not head or _SIGN in head
