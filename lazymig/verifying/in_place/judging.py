"""Judging one document that carries both shapes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeAlias, TypeVar

from attrs import field, frozen

from lazymig.comparing.checks import Comparison
from lazymig.comparing.in_place import PartsComparer, sign_parts
from lazymig.protocol.in_place.parts import Parts
from lazymig.protocol.in_place.place import Place
from lazymig.stores.raw import keys_of
from lazymig.stores.records import StoredWhole
from lazymig.stores.verdicts import Verdict
from lazymig.verifying.judging import Judged

V1 = TypeVar("V1")
V2 = TypeVar("V2")

_REFUSED_MAX: Final = 10_000
_REFUSED: Final = "the server refuses V2's part: an index, a validator, or the size of both parts together"
#: Judges a document.
JudgeWhole: TypeAlias = Callable[[StoredWhole], Awaitable[Judged]]


@frozen
class OneSide(Generic[V1, V2]):
    """Judges what one read found of both sides."""

    place: Place[V1, V2]
    comparer: PartsComparer[V1, V2]
    #: The documents whose V2 part this run could not store, because the server refuses it. Bounded: once there are so
    #: many, no further one changes what has to be done.
    _refused: set[object] = field(factory=set)

    def note_refused(self, stored: StoredWhole) -> None:
        """Note a document whose V2 part the server refuses: that will not vanish by itself."""
        if len(self._refused) < _REFUSED_MAX:
            self._refused.update(keys_of([stored.id]))

    async def judge(self, stored: StoredWhole) -> Judged:
        """Compare both parts of a document."""
        parts = Parts(self.place, stored)
        comparison, late = await self.comparer.compare(parts)
        if comparison.verdict is Verdict.BEHIND and self._refused and keys_of([stored.id])[0] in self._refused:
            verdict = Verdict.MISSING if stored.of is None else Verdict.STALE
            comparison, late = Comparison(verdict, reason=_REFUSED, signature=sign_parts(parts)), None
        has_v2 = parts.alone or stored.of is not None
        return Judged(stored.id, comparison, stored.revision, stored.revision if has_v2 else None, late=late)
