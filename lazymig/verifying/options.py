"""The options of a verification, as one value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from hashlib import blake2b
from typing import TypeVar

from attrs import field, frozen

from lazymig.comparing.checks import Checks
from lazymig.errors import ConfigurationError
from lazymig.passes.partitions import DOCUMENTS_EACH
from lazymig.passes.throttle import Limits
from lazymig.repository import Repository
from lazymig.stores.records import Document
from lazymig.verifying.report import VerifyProgress

V1 = TypeVar("V1")
V2 = TypeVar("V2")

#: The kind of the runs that verifications record, and of the pass over everything by the conversions alone.
KIND = "verify"


@frozen(kw_only=True)
class VerifyOptions:
    """The keywords of `Verifier`, whose docstring explains them."""

    limits: Limits = field(factory=Limits)
    checks: Checks = field(factory=Checks)
    where: Mapping[str, object] | None = None
    min_age_s: float = 10.0
    repair: bool = False
    max_time_s: float | None = None
    shard: tuple[int, int] = (0, 1)
    partition_size: int = DOCUMENTS_EACH
    since: datetime | None = None
    on_progress: Callable[[VerifyProgress], None] | None = None

    @classmethod
    def to_repair(cls) -> VerifyOptions:
        """Return the options of a verification that looks for what a repair can settle, and repairs it.

        A repair makes V2 what `upgrade` makes of V1, so no other check is asked: what one of them finds would have to
        be accepted by a person, or the conversions changed.
        """
        return cls(checks=Checks(round_trip=False), repair=True)

    def check(self, repository: Repository[V1, V2]) -> None:
        """Raise `PhaseError` if the phase does not fill V2, `ConfigurationError` if an option cannot work."""
        index, count = self.shard
        if min(self.limits.batch_size, self.limits.concurrency, self.partition_size) < 1 or not 0 <= index < count:
            raise ConfigurationError("batch_size, concurrency, partition_size: 1 or more; shard: 0 <= i < n")
        if not self.min_age_s >= 0:
            raise ConfigurationError("min_age_s: 0 or more seconds")
        if self.where is not None and not isinstance(self.where, Mapping):
            raise ConfigurationError("where: pass a MongoDB filter for V1 (a mapping), or None for all")

    def make_pass_kind(self, question: Document, revision: int) -> str:
        """Return the kind of pass: processes share one only if they compare the same documents by the same checks.

        `revision` is that of the conversion: what an older release compared says nothing about this one.
        """
        checks = self.checks
        named = [
            sorted(checks.invariants), _name(checks.expected), [getattr(one, "name", one) for one in checks.accept],
            checks.ordered, checks.round_trip, revision,
        ]  # fmt: skip
        if not question and named == [[], "", [], False, True, 1]:
            return KIND
        asked = (bytes(getattr(question, "raw", b"")) or repr(question).encode()) if question else b""
        return f"{KIND} {blake2b(repr(named).encode() + asked, digest_size=8).hexdigest()}"


def _name(function: Callable[..., object] | None) -> str:
    if function is None:
        return ""
    return f"{getattr(function, '__module__', '')}:{getattr(function, '__qualname__', type(function).__qualname__)}"
