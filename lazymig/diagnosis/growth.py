"""Checks of what becomes of documents: their size, fields that no class knows, and changes that need no migration."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from attrs import frozen

from lazymig.comparing.sides import strip_own
from lazymig.diagnosis.examining import Converted, Ignoring
from lazymig.diagnosis.findings import Finding, Group, blocks, notes, passes, warns
from lazymig.diagnosis.values import key_of
from lazymig.stores.documents import DOCUMENT_BYTES_MAX
from lazymig.stores.given import RawId

#: The size in bytes from which a document is close to the largest.
_CLOSE = int(DOCUMENT_BYTES_MAX * 0.8)
#: Names at the top of V1's documents that are distinguished; more mean that names are data.
_NAMES_MAX = 50
#: With fewer documents, a value that is always the same means nothing.
_CONSTANT_FROM = 20


@frozen
class SizeTexts:
    """How the sizes of a layout are described."""

    which: str = "in V2"
    what: str = "V2's documents have"
    like: str = "V1's"
    less: str = "let V2 hold less"


class Sizes(Ignoring):
    """Compares the sizes of V1's documents and V2's."""

    check = "size"

    def __init__(self, texts: SizeTexts = SizeTexts()) -> None:
        self._texts = texts
        self._factors: Counter[float] = Counter()
        self._largest = 0
        self._too_large, self._close = Group(), Group()

    def note_converted(self, one: Converted) -> None:
        """Note one document's size in both shapes."""
        self._factors[round(one.v2_bytes / max(one.v1_bytes, 1), 2)] += 1
        if one.v2_bytes > self._largest:
            self._largest = one.v2_bytes
        if one.v2_bytes > DOCUMENT_BYTES_MAX:
            self._too_large.add(one.truth.id)
        elif one.v2_bytes > _CLOSE:
            self._close.add(one.truth.id)

    def findings(self) -> Sequence[Finding]:
        """Return what the sizes mean."""
        if not self._factors:
            return []
        found, texts = [], self._texts
        if self._too_large.count:
            found.append(
                blocks(
                    self.check, f"{self._too_large.count:,} documents become larger than 16 MB, which no server stores",
                    f"{texts.less}: move large parts out of the entity first", self._too_large.ids,
                )
            )  # fmt: skip
        if self._close.count:
            found.append(
                warns(
                    self.check, f"{self._close.count:,} documents are within 20 % of 16 MB {texts.which}",
                    f"{texts.less} before they grow", self._close.ids,
                )
            )  # fmt: skip
        text = f"{texts.what} {self._median():g} times the size of {texts.like} in the median; the largest has "
        text += f"{self._largest:,} bytes"
        return [*found, notes(self.check, text)] if found else [passes(self.check, text)]

    def _median(self) -> float:
        half, seen = sum(self._factors.values()) / 2, 0
        for factor in sorted(self._factors):
            seen += self._factors[factor]
            if seen >= half:
                return factor
        return 0.0


class Unknown(Ignoring):
    """Finds fields of V1 that its class does not know."""

    check = "unknown fields"

    def __init__(self, known: Sequence[str], *, opaque: bool) -> None:
        self._known = frozenset(known)
        #: Whether a hook of the user's own reads the documents, so that nothing is known of its fields.
        self._opaque = opaque
        self._names: Counter[str] = Counter()
        self._count = 0

    def note_converted(self, one: Converted) -> None:
        """Note the names at the top of one document."""
        self._count += 1
        for name in strip_own(one.newest).keys() - self._known:
            if name in self._names or len(self._names) < _NAMES_MAX:
                self._names[name] += 1

    def findings(self) -> Sequence[Finding]:
        """Return which fields stay behind in V1."""
        if self._opaque or not self._count:
            return []
        if not self._names:
            return [passes(self.check, "V1's class knows every field at the top of its documents")]
        if len(self._names) >= _NAMES_MAX:
            text = f"V1's documents have more than {_NAMES_MAX} names at the top that its class does not know"
        else:
            text = f"V1's class does not know: {self._list_names()}"
        advice = "they stay in V1 and never reach V2, so they end with V1; add those that are needed to both classes"
        return [notes(self.check, text, advice)]

    def _list_names(self) -> str:
        # A name that occurs once may be a value, such as an address that is used as a key.
        shown = [f"{name} ({count * 100 // self._count} %)" for name, count in self._names.most_common() if count > 1]
        once = sum(count == 1 for count in self._names.values())
        return ", ".join([*shown, *([f"{once} that occur in one document only"] if once else [])])


class Additive(Ignoring):
    """Finds out whether V2 is V1 with constant fields added, which needs no migration."""

    check = "additive"

    def __init__(self) -> None:
        self._added: dict[str, bytes] | None = None
        self._possible = True
        self._count = 0

    def note_failure(self, id: RawId, error: Exception) -> None:
        """Give up: a document does not convert."""
        self._possible = False

    def note_converted(self, one: Converted) -> None:
        """Compare one document with what it becomes."""
        if not self._possible:
            return
        self._count += 1
        added: dict[str, bytes] = {}
        same = _add_to(added, strip_own(one.newest), strip_own(one.seen.document))
        self._possible = same and (self._added is None or self._added == added)
        self._added = added

    def findings(self) -> Sequence[Finding]:
        """Return a note where a default would do."""
        if not self._possible or self._count < _CONSTANT_FROM:
            return []
        if not self._added:
            return [
                notes(
                    self.check, f"in all {self._count:,} documents V2 is what V1 is",
                    "you may need no migration: the shape of the data does not change",
                )
            ]  # fmt: skip
        return [
            notes(
                self.check,
                f"in all {self._count:,} documents V2 is V1 with constant values of {', '.join(self._added)}",
                "you may need no migration: a default in the class would do",
            )
        ]  # fmt: skip


def _add_to(added: dict[str, bytes], v1: object, v2: object, path: str = "") -> bool:
    """Collect what only V2 has. False: it changes what V1 has, or adds different values at one path."""
    if isinstance(v1, dict) and isinstance(v2, dict):
        if not v1.keys() <= v2.keys():
            return False
        for name, value in v2.items():
            inner = f"{path}.{name}" if path else str(name)
            if name in v1:
                if not _add_to(added, v1[name], value, inner):
                    return False
            else:
                key = key_of(value)
                if key is None or added.setdefault(inner, key) != key:
                    return False
        return True
    if isinstance(v1, list) and isinstance(v2, list):
        return len(v1) == len(v2) and all(_add_to(added, one, two, path) for one, two in zip(v1, v2, strict=True))
    return key_of(v1) == key_of(v2)
