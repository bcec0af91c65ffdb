"""lazymig: change the shape of your data while the service stays up.

Declare the old class, the new class and two conversions. Each entity migrates when it is first read or written, the
old collection stays the exact source of truth, and every write reaches both.

Names are imported when they are first used: pytest loads this package's plugin in every run of every project that has
lazymig installed, and most of those runs need neither a driver nor a converter.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lazymig.comparing.equivalences import Equivalence
    from lazymig.control import Control, MemberRecord, Moved, RunRecord, Standing, Steering
    from lazymig.dark.settings import DarkReads
    from lazymig.doctor import Diagnosis, Doctor, Finding, Severity
    from lazymig.errors import (
        AlreadyExists,
        ConfigurationError,
        Contention,
        ConversionError,
        ForeignDocument,
        LazymigError,
        NotFound,
        NotYet,
        PassVanished,
        PhaseError,
        UpgradeDiffers,
    )
    from lazymig.follower import Follower, FollowReport
    from lazymig.histogram import Histogram
    from lazymig.loop.clock import Clock
    from lazymig.phases import Phase
    from lazymig.query import Criteria, OnError, Sort
    from lazymig.repository import Repository
    from lazymig.retirement import Condition, Reduction, Retirement, RetirementReport, WatchReport
    from lazymig.rewriter import Rewriter, RewriteReport, Versions
    from lazymig.shapes.bson_types import make_converter
    from lazymig.shapes.entities import rename
    from lazymig.shapes.leaving import LEAVE, Leave
    from lazymig.shapes.migration import Migration
    from lazymig.shapes.upcasting import Upcasters, upcasters
    from lazymig.stores.given import Collection, Collections, Id, Session
    from lazymig.stores.records import DeadLetter
    from lazymig.stores.verdicts import Difference, Mismatch, Verdict
    from lazymig.sweeper import Progress, Sweeper, SweepReport
    from lazymig.switch import Gate, Plan, Switch
    from lazymig.telemetry import Tally
    from lazymig.v1_view import V1View
    from lazymig.verifier import MismatchGroup, Verifier, VerifyProgress, VerifyReport

__all__ = [
    "LEAVE",
    "AlreadyExists",
    "Clock",
    "Collection",
    "Collections",
    "Condition",
    "ConfigurationError",
    "Contention",
    "Control",
    "ConversionError",
    "Criteria",
    "DarkReads",
    "DeadLetter",
    "Diagnosis",
    "Difference",
    "Doctor",
    "Equivalence",
    "Finding",
    "FollowReport",
    "Follower",
    "ForeignDocument",
    "Gate",
    "Histogram",
    "Id",
    "LazymigError",
    "Leave",
    "MemberRecord",
    "Migration",
    "Mismatch",
    "MismatchGroup",
    "Moved",
    "NotFound",
    "NotYet",
    "OnError",
    "PassVanished",
    "Phase",
    "PhaseError",
    "Plan",
    "Progress",
    "Reduction",
    "Repository",
    "Retirement",
    "RetirementReport",
    "RewriteReport",
    "Rewriter",
    "RunRecord",
    "Session",
    "Severity",
    "Sort",
    "Standing",
    "Steering",
    "SweepReport",
    "Sweeper",
    "Switch",
    "Tally",
    "Upcasters",
    "UpgradeDiffers",
    "V1View",
    "Verdict",
    "Verifier",
    "VerifyProgress",
    "VerifyReport",
    "Versions",
    "WatchReport",
    "make_converter",
    "rename",
    "upcasters",
]

_HOMES = {
    "AlreadyExists": "errors",
    "Clock": "loop.clock",
    "Collection": "stores.given",
    "Collections": "stores.given",
    "Condition": "retirement",
    "ConfigurationError": "errors",
    "Contention": "errors",
    "Control": "control",
    "ConversionError": "errors",
    "Criteria": "query",
    "DarkReads": "dark.settings",
    "DeadLetter": "stores.records",
    "Diagnosis": "doctor",
    "Difference": "stores.verdicts",
    "Doctor": "doctor",
    "Equivalence": "comparing.equivalences",
    "Finding": "doctor",
    "FollowReport": "follower",
    "Follower": "follower",
    "ForeignDocument": "errors",
    "Gate": "switch",
    "Histogram": "histogram",
    "Id": "stores.given",
    "LEAVE": "shapes.leaving",
    "LazymigError": "errors",
    "Leave": "shapes.leaving",
    "Migration": "shapes.migration",
    "Mismatch": "stores.verdicts",
    "MismatchGroup": "verifier",
    "MemberRecord": "control",
    "Moved": "control",
    "NotFound": "errors",
    "NotYet": "errors",
    "OnError": "query",
    "PassVanished": "errors",
    "Phase": "phases",
    "PhaseError": "errors",
    "Plan": "switch",
    "Progress": "sweeper",
    "Reduction": "retirement",
    "Repository": "repository",
    "Retirement": "retirement",
    "RetirementReport": "retirement",
    "RewriteReport": "rewriter",
    "Rewriter": "rewriter",
    "RunRecord": "control",
    "Session": "stores.given",
    "Severity": "doctor",
    "Sort": "query",
    "Steering": "control",
    "Standing": "control",
    "SweepReport": "sweeper",
    "Sweeper": "sweeper",
    "Switch": "switch",
    "Tally": "telemetry",
    "Upcasters": "shapes.upcasting",
    "UpgradeDiffers": "errors",
    "V1View": "v1_view",
    "Verdict": "stores.verdicts",
    "Verifier": "verifier",
    "VerifyProgress": "verifier",
    "VerifyReport": "verifier",
    "Versions": "rewriter",
    "WatchReport": "retirement",
    "make_converter": "shapes.bson_types",
    "rename": "shapes.entities",
    "upcasters": "shapes.upcasting",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = found  # the next access does not come here
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
