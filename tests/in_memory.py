"""Servers that keep their data in memory: on a disk, each new collection of a test waits for two or three writes to it.

Nothing here cuts off the power, so nothing is lost: what a killed process has written remains in memory as on a disk.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

SHARED_MEMORY, MEMORY = Path("/dev/shm"), Path("/proc/meminfo")
#: What the servers of four environments at once take at most, with room for the tests themselves.
FOLDER_GB, MEMORY_GB = 2, 4


def keep_servers_in_memory() -> None:
    """Set LAZYMIG_TEST_FOLDER, for this process and those that it starts, if there is enough memory."""
    if "LAZYMIG_TEST_FOLDER" not in os.environ and _has_room():
        os.environ["LAZYMIG_TEST_FOLDER"] = str(SHARED_MEMORY)


def _has_room() -> bool:
    try:
        lines = (line.split() for line in MEMORY.read_text().splitlines())
        available_kb = next(int(words[1]) for words in lines if words[0] == "MemAvailable:")
        free = shutil.disk_usage(SHARED_MEMORY).free
    except (OSError, StopIteration):
        return False  # not Linux
    return free >= FOLDER_GB * 2**30 and available_kb >= MEMORY_GB * 2**20 and os.access(SHARED_MEMORY, os.W_OK)
