"""Which tests run under coverage's tracing, and in no other environment: `--part=traced`, and `--part=untraced`.

The units, the contract in memory without the files that execute little else, and the cases that execute most of the
rest: tracing makes tests two thirds more expensive.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

PARTS = ("all", "traced", "untraced")
UNTRACED_FILES = {
    f"test_{name}.py"
    for name in (
        "faults", "nested_fields", "parts", "refusals", "rewriting", "upcasting", "v1_store", "v2_store",
    )
}  # fmt: skip
TRACED_CASES = {"test_dead_letters.py", "test_revisions.py", "test_types.py"}


def is_traced(node: str) -> bool:
    """Whether the test with this node id, such as `tests/unit/test_laws.py::test_holds[mock]`, runs under tracing."""
    path, _, name = node.partition("::")
    file, folder = PurePosixPath(path).name, path.split("/")[1]
    if "motor" in name or "pymongo" in name:
        return folder == "unit"
    match folder:
        case "unit":
            return True
        case "contract":
            return file not in UNTRACED_FILES
        case "cases":
            return file in TRACED_CASES
    return False


def keep_part(part: str, config: Any, items: list[Any]) -> None:
    """Deselect the tests that do not belong to the part."""
    if part == "all":
        return
    left = [item for item in items if is_traced(item.nodeid) != (part == "traced")]
    config.hook.pytest_deselected(items=left)
    items[:] = [item for item in items if item not in set(left)]
