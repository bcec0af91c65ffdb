"""What a verification reports: its progress while it runs, and its result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from attrs import define, field, frozen

from lazymig.comparing.equivalences import without_places
from lazymig.stores.given import RawId
from lazymig.stores.verdicts import Mismatch, Verdict

#: How many mismatches a report lists, how many groups, and how many ids each group names. All are counted.
LISTED_MAX = 1000
GROUPS_MAX = 1000
IDS_PER_GROUP = 5


@frozen
class VerifyProgress:
    """The progress of a verification.

    Attributes:
        total: About how many entities are to be compared.
        done: Entities that all processes of the pass have compared.
        compared: Of these, entities that this process compared.
        suspected: Of these, entities that did not agree when they were first compared. They are looked at again at the
            end.
        rechecked: Of these, entities that were looked at again.
        repaired: Entities that were repaired and agree now.
        elapsed_s: Seconds since the run began.
        waiting: Whether nothing is left except what other processes hold.
        throttle: Why this process waits or goes slowly now, such as "the server reports overload"; empty where it
            does not.
    """

    total: int
    done: int
    compared: int
    suspected: int
    rechecked: int
    repaired: int
    elapsed_s: float
    waiting: bool = False
    throttle: str = ""


@frozen
class MismatchGroup:
    """Mismatches that one check found at one field.

    Attributes:
        verdict: What is wrong.
        check: The check that found them; "" where no bodies were compared.
        path: The field, without places in arrays; "" where no fields were compared.
        expected: The BSON type of what was expected.
        found: The BSON type of what was found.
        count: How many entities.
        ids: The ids of the first five.
        accept: The narrowest built-in equivalence that would accept this difference; "" if there is none.
    """

    verdict: Verdict
    check: str
    path: str
    expected: str
    found: str
    count: int
    ids: tuple[RawId, ...]
    accept: str = ""


@frozen(kw_only=True)
class VerifyReport:
    """What a verification found. Counts are of all processes that shared the pass, except where it is said.

    A mismatch counts once both sides have stood unchanged for the minimum age.

    Attributes:
        migration: The migration's name.
        total: About how many entities there are, or how many a sample or a filter selected.
        compared: Entities that were compared.
        match: Of these, entities whose two sides agree.
        missing: Entities that V2 lacks.
        stale: Entities whose body in V2 is of another revision than V1, or of an older conversion.
        different: Entities whose two sides are of one revision and do not agree.
        orphan: Entities that V1 lacks.
        dirty: Entities with an announced write that was not finished.
        unknown: Entities that could not be compared: one side does not convert, or they changed at each look.
        waiting: Of the matching, entities that wait for their users, as this process found when it first compared them.
        left: Of the matching, entities that are not taken over, found in the same way.
        behind: Of the matching, documents with both shapes whose V2 part is not made of V1's part as it stands, found
            in the same way. Readers convert V1's part, and what they get has passed all checks.
        accepted: How many entities an equivalence made agree in this process, by its name.
        rechecked: Entities that this process looked at again because they did not agree at first.
        repaired: Entities that this process repaired, and which agree now. They count as `match`.
        mismatches: The first 1,000 entities that do not agree.
        groups: The entities that do not agree by check and field, the largest group first.
        sample: What the sample says about all entities, in words; "" for a verification of all.
        limits: What was not compared, in words; empty for a verification of all.
        finished: False if the run was stopped before its end.
        elapsed_s: Seconds that the run took.
    """

    migration: str
    total: int
    compared: int
    match: int
    missing: int = 0
    stale: int = 0
    different: int = 0
    orphan: int = 0
    dirty: int = 0
    unknown: int = 0
    accepted: Mapping[str, int] = field(factory=dict)
    rechecked: int = 0
    repaired: int = 0
    mismatches: tuple[Mismatch, ...] = ()
    groups: tuple[MismatchGroup, ...] = ()
    sample: str = ""
    limits: tuple[str, ...] = ()
    finished: bool
    elapsed_s: float
    waiting: int = 0
    left: int = 0
    behind: int = 0

    @property
    def agrees(self) -> bool:
        """Whether everything was compared and agrees. A sample, a filter or a shard says so of its part."""
        return self.finished and not self.needs_person

    @property
    def needs_person(self) -> bool:
        """Whether some entity does not agree, or could not be compared."""
        return self.missing + self.stale + self.different + self.orphan + self.dirty + self.unknown > 0


#: The verdicts that a report counts besides `match`, by their fields.
COUNTED = ("missing", "stale", "different", "orphan", "dirty", "unknown")


@define
class _Group:
    count: int = 0
    ids: list[RawId] = field(factory=list)


class Summary:
    """Adds up mismatches, in memory that does not grow with their number."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.mismatches: list[Mismatch] = []
        self._groups: dict[tuple[Verdict, str, str, str, str, str], _Group] = {}

    def add(self, found: Mismatch) -> None:
        """Add one mismatch."""
        self.counts[str(found.verdict)] += 1
        if len(self.mismatches) < LISTED_MAX:
            self.mismatches.append(found)
        # The places in arrays do not separate groups.
        fields = {(without_places(each.path), each.expected, each.found, each.accept) for each in found.differences}
        for each in fields or {("", "", "", "")}:
            key = (found.verdict, found.check, *each)
            if key not in self._groups and len(self._groups) >= GROUPS_MAX:
                continue
            group = self._groups.setdefault(key, _Group())
            group.count += 1
            if len(group.ids) < IDS_PER_GROUP:
                group.ids.append(found.id)

    @property
    def groups(self) -> tuple[MismatchGroup, ...]:
        """The groups, the largest first."""
        made = [
            MismatchGroup(verdict, check, path, expected, found, group.count, tuple(group.ids), accept)
            for (verdict, check, path, expected, found, accept), group in self._groups.items()
        ]
        return tuple(sorted(made, key=lambda group: -group.count))
