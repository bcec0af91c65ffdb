"""The choice, per entity, of whose reads V2 answers first while the cut-over is gradual."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from attrs import field, frozen

from lazymig.control import BY_SHARE, REST, Cohorts, CutOver
from lazymig.stores.documents import decode_id
from lazymig.stores.given import RawId
from lazymig.stores.positions import measure_position

_LOGGER: Final = logging.getLogger("lazymig.cut_over")


@frozen
class Choice:
    """Says of each entity to which group it belongs: a cohort, the share, or the rest.

    A cohort that is switched on and not declared here counts as empty: V1 answers, which is exact. Processes may so
    disagree about an entity for as long as they run different releases; only what V1 cannot express differs then.
    """

    cut_over: CutOver
    cohorts: Cohorts
    #: The errors of predicates that were logged already, by cohort and class: one of each is enough.
    _logged: set[tuple[str, type[BaseException]]] = field(factory=set, init=False)

    @property
    def undeclared(self) -> tuple[str, ...]:
        """The cohorts that are switched on and not declared in this process."""
        return tuple(name for name in self.cut_over.cohorts if self.cohorts.find(name) is None)

    @property
    def chooses_none(self) -> bool:
        """Whether V1 answers for every entity."""
        return not self.cut_over.share and not self.cut_over.cohorts

    def chooses(self, id: RawId) -> bool:
        """Whether V2 answers first for this entity."""
        return self.find_group(id) is not REST

    def find_group(self, id: RawId) -> str:
        """Return the first cohort that is switched on and holds the entity; else whether the share chooses it."""
        if self.cut_over.cohorts:
            plain = decode_id(id)
            for name in self.cut_over.cohorts:
                belongs = self.cohorts.find(name)
                if belongs is not None and self._holds(name, belongs, plain):
                    return name
        share = self.cut_over.share
        if share >= 1:
            return BY_SHARE
        return BY_SHARE if share > 0 and measure_position(id) < share else REST

    def _holds(self, name: str, belongs: Callable[[RawId], object], plain: RawId) -> bool:
        try:
            return bool(belongs(plain))
        except Exception as error:  # a read must not fail because of it: V1 answers
            if (name, type(error)) not in self._logged:
                self._logged.add((name, type(error)))
                # Without the message, which may quote an id.
                _LOGGER.warning("the cohort %s could not be asked: %s; V1 answers", name, type(error).__name__)
            return False
