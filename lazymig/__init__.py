"""lazymig: change the shape of your data while the service stays up.

Declare the old entity, the new entity and two conversions; entities migrate when they are first touched, the old
collection stays the exact source of truth, and every write reaches both.

Names are looked up when first used: pytest loads this package's plugin in every run of every project that has lazymig
installed, and most of those runs need neither a driver nor a converter.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lazymig.control import Control
    from lazymig.errors import (
        AlreadyExists,
        ConfigurationError,
        Contention,
        ConversionError,
        ForeignDocument,
        LazymigError,
        NotFound,
        PassVanished,
        PhaseError,
    )
    from lazymig.phases import Phase
    from lazymig.protocol.listing import Criteria
    from lazymig.repository import Repository
    from lazymig.shapes.bson_types import make_converter
    from lazymig.shapes.entities import rename
    from lazymig.shapes.migration import Migration
    from lazymig.stores.records import DeadLetter
    from lazymig.sweeper import Progress, Sweeper, SweepReport
    from lazymig.v1_view import V1View

__all__ = [
    "AlreadyExists",
    "ConfigurationError",
    "Contention",
    "Control",
    "ConversionError",
    "Criteria",
    "DeadLetter",
    "ForeignDocument",
    "LazymigError",
    "Migration",
    "NotFound",
    "PassVanished",
    "Phase",
    "PhaseError",
    "Progress",
    "Repository",
    "SweepReport",
    "Sweeper",
    "V1View",
    "make_converter",
    "rename",
]

_HOMES = {
    "AlreadyExists": "errors",
    "ConfigurationError": "errors",
    "Contention": "errors",
    "Control": "control",
    "ConversionError": "errors",
    "Criteria": "protocol.listing",
    "DeadLetter": "stores.records",
    "ForeignDocument": "errors",
    "LazymigError": "errors",
    "Migration": "shapes.migration",
    "NotFound": "errors",
    "PassVanished": "errors",
    "Phase": "phases",
    "PhaseError": "errors",
    "Progress": "sweeper",
    "Repository": "repository",
    "SweepReport": "sweeper",
    "Sweeper": "sweeper",
    "V1View": "v1_view",
    "make_converter": "shapes.bson_types",
    "rename": "shapes.entities",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = found  # once: the next look-up is a plain one
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
