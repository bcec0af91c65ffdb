"""The check of V1's ids: their types, and those that no call of a repository accepts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from lazymig.comparing.differences import kind_of
from lazymig.diagnosis.examining import Ignoring
from lazymig.diagnosis.findings import Finding, Group, blocks, notes, passes
from lazymig.errors import ConversionError
from lazymig.stores.documents import decode_id
from lazymig.stores.given import RawId
from lazymig.stores.records import StoredV1


class Ids(Ignoring):
    """Looks at the types of ids."""

    check = "ids"

    def __init__(self, check_id: Callable[[object], None]) -> None:
        self._check_id = check_id
        self._kinds: Counter[str] = Counter()
        self._refused: dict[str, Group] = {}
        self._whole = Group()

    def note_stored(self, truth: StoredV1) -> None:
        """Note one id."""
        self._note(truth.id)

    def note_failure(self, id: RawId, error: ConversionError) -> None:
        """Ignore the failure: its id was noted with the stored document."""

    def _note(self, id: RawId) -> None:
        kind = kind_of(id)
        self._kinds[kind] += 1
        if isinstance(id, float):
            # To MongoDB, and so to lazymig, 5.0 is 5.
            if id.is_integer():
                self._whole.add(id)
            return
        try:
            self._check_id(decode_id(id))
        except TypeError:
            self._refused.setdefault(kind, Group()).add(id)

    def findings(self) -> Sequence[Finding]:
        """Return what the types mean."""
        if not self._kinds:
            return []
        total = sum(self._kinds.values())
        found = [
            blocks(
                self.check, f"{group.count:,} of {total:,} ids have the type {kind}, which no call accepts",
                "declare this type for the id in both classes, or store these documents under other ids", group.ids,
            )
            for kind, group in self._refused.items()
        ]  # fmt: skip
        kinds = ", ".join(f"{kind} ({count:,})" for kind, count in self._kinds.most_common())
        if self._whole.count:
            found.append(
                notes(
                    self.check, f"{self._whole.count:,} of {total:,} ids are whole numbers stored as doubles",
                    "nothing: to MongoDB 5.0 and 5 are one id, so the call with 5 finds it", self._whole.ids,
                )
            )  # fmt: skip
        if len(self._kinds) > 1:
            found.append(notes(self.check, f"ids have several types: {kinds}", "listings sort them by type"))
        return found or [passes(self.check, f"all ids have one type: {kinds}")]
