"""lazymig: change the shape of your data while the service stays up.

Declare the old entity, the new entity and two conversions; entities migrate when they are first touched, the old
collection stays the exact source of truth, and every write reaches both.
"""

from lazymig.bson_types import make_converter
from lazymig.control import Control
from lazymig.errors import (
    AlreadyExists,
    ConfigurationError,
    Contention,
    ConversionError,
    LazymigError,
    NotFound,
    PhaseError,
)
from lazymig.listing import Criteria
from lazymig.migration import Migration
from lazymig.phases import Phase
from lazymig.repository import Repository
from lazymig.sweeper import Sweeper, SweepReport
from lazymig.v1_view import V1View

__all__ = [
    "AlreadyExists",
    "ConfigurationError",
    "Contention",
    "Control",
    "ConversionError",
    "Criteria",
    "LazymigError",
    "Migration",
    "NotFound",
    "Phase",
    "PhaseError",
    "Repository",
    "SweepReport",
    "Sweeper",
    "V1View",
    "make_converter",
]
