"""The laws' names, and the error that says which of them a conversion breaks."""

from __future__ import annotations

from typing import Any, Final

from lazymig.testing.differences import differences

UPGRADE_TOTAL: Final = "upgrade takes every V1 entity"
UPGRADE_DETERMINISTIC: Final = "upgrade is deterministic"
UPGRADE_PURE: Final = "upgrade leaves its arguments alone"
V1_BACK: Final = "downgrade(upgrade(v1)) gives V1 back"
DOWNGRADE_TOTAL: Final = "downgrade takes every V2 entity"
DOWNGRADE_DETERMINISTIC: Final = "downgrade is deterministic"
DOWNGRADE_PURE: Final = "downgrade leaves its arguments alone"
V2_BACK: Final = "upgrade(downgrade(v2), v2) gives V2 back"
UPCAST_DETERMINISTIC: Final = "upcasters are deterministic"
UPCAST_PURE: Final = "upcasters leave the stored document alone"
READABLE: Final = "every V1 document is read as an entity"
STORABLE: Final = "every {side} entity can be stored as BSON"
SAME_TYPES: Final = "a stored {side} entity is read back with the same values and BSON types"
SIZE: Final = "a {side} document has at most 16 MB"
HELD: Final = "a V1 document has at least one of the attributes, by which the entity exists"
SHARED: Final = "a conversion leaves what both shapes share alone"
SIZE_OF_BOTH: Final = "a document with both shapes has at most 16 MB"


class LawBroken(AssertionError):
    """A conversion breaks a law.

    Args:
        law: The law, such as "upgrade is deterministic".
        path: The field, such as `a.b[2]`; "" for the whole entity.
        detail: What was expected and what was found.

    Attributes:
        law: The law.
        path: The field.
    """

    def __init__(self, law: str, path: str, detail: str) -> None:
        super().__init__(f"broken law: {law}\n  at field: {path or '(the whole entity)'}\n  {detail}")
        self.law = law
        self.path = path


def same(law: str, expected: Any, found: Any, *, any_int: bool = False) -> None:
    """Raise `LawBroken` where two values differ."""
    for path, one, other in differences(expected, found, any_int=any_int):
        raise LawBroken(law, path.lstrip("."), f"expected {one}, found {other}")
