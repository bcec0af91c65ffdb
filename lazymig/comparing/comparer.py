"""The comparison of one entity's two sides, and its verdict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, TypeVar, cast

from attrs import evolve

from lazymig.comparing.checks import DOWNGRADE, EXPECTED, MATCH, UPGRADE, Checks, Comparison
from lazymig.comparing.differences import Steps, as_stored
from lazymig.comparing.equivalences import ADVICE, resolved, suggest
from lazymig.comparing.failures import CheckFailed, call_check, describe, describe_unmoved, encoding
from lazymig.comparing.schema import schema_of
from lazymig.comparing.sides import Judgement, Rules, get_value, has_same_bytes, strip_own
from lazymig.comparing.signatures import sign
from lazymig.errors import ConversionError
from lazymig.shapes.codec import Codec
from lazymig.shapes.conversions import Conversions
from lazymig.shapes.migration import get_downgrading, get_upgrading
from lazymig.shapes.one_document import OneDocument
from lazymig.shapes.signatures import recognised
from lazymig.stores.documents import MISSING, UNUSABLE
from lazymig.stores.records import Document, StoredV1, StoredV2, Unmoved
from lazymig.stores.verdicts import AGREEING, Verdict

V1 = TypeVar("V1")
V2 = TypeVar("V2")


class Comparer(Generic[V1, V2]):
    """Compares an entity's two sides, as they were read, by the conversions and by further checks.

    Two independent checks use the conversions: V1 upgraded must be V2's body, and V2 downgraded must be V1's document.
    So a defect of one conversion shows. One that both share does not; invariants and `expected` are for those.
    """

    def __init__(
        self,
        conversions: Conversions[V1, V2],
        checks: Checks = Checks(),  # noqa: B008 - frozen
        shape: OneDocument | None = None,
    ) -> None:
        """`shape`: how one document carries both sides; None where each has a document of its own."""
        self._conversions = conversions
        self._shape = shape
        self._checks = checks
        self._expected = None if checks.expected is None else recognised("expected", checks.expected)
        self._upgrade_takes_other = get_upgrading(conversions.migration).takes_other
        self._downgrade_takes_other = get_downgrading(conversions.migration).takes_other
        equivalences = resolved(checks.accept)

        def rules_of(codec: Codec[V1] | Codec[V2]) -> Rules:
            schema = schema_of(cast(Codec[object], codec))
            return Rules(schema, not codec.names.opaque, equivalences, checks.ordered, checks.show_values)

        self._v1_rules, self._v2_rules = rules_of(conversions.v1), rules_of(conversions.v2)
        #: The names at the top that V1's class knows; None if only a hook of the user's own does.
        self._known = None if conversions.v1.names.opaque else self._v1_rules.schema.names

    async def compare(self, truth: StoredV1 | None, seen: StoredV2 | None) -> Comparison:
        """Compare both sides. Only documents of one revision are compared field by field.

        Args:
            truth: V1's document, None if V1 lacks the entity.
            seen: V2's document, None if V2 lacks the entity.

        Returns:
            The verdict, and what it rests on. It shows nothing of the documents unless the checks say so.
        """
        comparison = await self._judge(truth, seen)
        return comparison if comparison.verdict in AGREEING else evolve(comparison, signature=sign(truth, seen))

    async def _judge(self, truth: StoredV1 | None, seen: StoredV2 | None) -> Comparison:
        if truth is None:
            if seen is None or (seen.gone and seen.unmoved is None):
                return MATCH
            return _dirty(seen) if seen.intent > seen.revision else Comparison(Verdict.ORPHAN)
        if seen is not None and seen.intent > seen.revision:
            return _dirty(seen)
        if seen is None or (seen.gone and seen.unmoved is None):
            return await self._missing(truth)
        if truth.revision == UNUSABLE:
            path = self._conversions.carried.revision
            return Comparison(Verdict.UNKNOWN, reason=f"{path} is no whole number; unset it in V1")
        if seen.revision != truth.revision:
            return await self._stale(truth, seen)
        ours = self._conversions.migration.revision
        if seen.conv != ours:
            verdict = Verdict.STALE if seen.conv < ours else Verdict.UNKNOWN
            return Comparison(verdict, reason=f"conversion revision {seen.conv}; this release has {ours}")
        if seen.unmoved is not None:
            return await self._compare_unmoved(truth, seen, seen.unmoved)
        return await self._compare_bodies(truth, seen)

    async def _missing(self, truth: StoredV1) -> Comparison:
        return Comparison(Verdict.MISSING, reason=await self._find_failure(truth))

    async def _find_failure(self, truth: StoredV1) -> str:
        """Return why V1's document does not convert; "" if it does."""
        try:
            made = await self._conversions.upgraded(truth, None)
            if isinstance(made, Unmoved):
                return f"{describe_unmoved(made)}; the next sweep records that"
            self._conversions.v2_before(made)
        except ConversionError as error:
            return describe(error)
        return ""

    async def _compare_unmoved(self, truth: StoredV1, seen: StoredV2, recorded: Unmoved) -> Comparison:
        """Compare why V2 has no body with what `upgrade` decides about V1."""
        try:
            made = await self._conversions.upgraded(truth, seen)
        except ConversionError as error:
            return Comparison(Verdict.UNKNOWN, reason=describe(error))
        if made == recorded:
            return Comparison(Verdict.WAITING if recorded.why == "waiting" else Verdict.LEFT)
        now = describe_unmoved(made) if isinstance(made, Unmoved) else "`upgrade` converts it"
        return Comparison(
            Verdict.DIFFERENT, UPGRADE, reason=f"V2 has recorded that {describe_unmoved(recorded)}, and now {now}"
        )

    async def _stale(self, truth: StoredV1, seen: StoredV2) -> Comparison:
        reason = f"V2 was made from revision {seen.revision}; V1 is at revision {truth.revision}"
        try:
            converted = await self._conversions.upgraded(truth, seen)
            if isinstance(converted, Unmoved) or seen.unmoved is not None:
                return Comparison(Verdict.STALE, reason=reason)
            made = self._conversions.v2_before(converted)
            with encoding(UPGRADE):
                judgement = self._v2_rules.judge(made, strip_own(seen.document))
        except (ConversionError, CheckFailed) as error:
            return Comparison(Verdict.STALE, reason=f"{reason}; {describe(error)}")
        if not judgement.differences:
            return Comparison(Verdict.STALE, reason=f"{reason}, and both agree")
        return _conclude(UPGRADE, judgement, Verdict.STALE, reason)

    async def _compare_bodies(self, truth: StoredV1, seen: StoredV2) -> Comparison:
        accepted: dict[str, None] = {}
        try:
            v2 = await self._check_upgrade(truth, seen, accepted)
            if self._checks.round_trip:
                await self._check_downgrade(v2, truth, accepted)
            if self._expected is not None or self._checks.invariants:
                # Decoded again: a conversion may have changed the entities that it was given.
                v1, v2 = self._conversions.v1_entity(truth), self._conversions.v2_entity(seen)
                if self._expected is not None:
                    await self._check_expected(v1, v2, seen, accepted)
                await self._check_invariants(v1, v2)
        except (ConversionError, CheckFailed) as error:
            return Comparison(Verdict.UNKNOWN, reason=describe(error))
        except _Differs as found:
            return evolve(found.comparison, accepted=tuple(accepted | dict.fromkeys(found.comparison.accepted)))
        return Comparison(Verdict.MATCH, accepted=tuple(accepted)) if accepted else MATCH

    async def _check_upgrade(self, truth: StoredV1, seen: StoredV2, accepted: dict[str, None]) -> V2:
        """Compare V1 upgraded with V2's body, and return V2's entity."""
        conversions = self._conversions
        v1 = conversions.v1_entity(truth)
        unreadable: ConversionError | None = None
        previous: V2 | None = None
        try:
            v2 = conversions.v2_entity(seen)
        except ConversionError as error:
            if self._upgrade_takes_other:
                raise  # V1 alone does not say what V2 should hold
            unreadable = error
        else:
            previous = v2 if self._upgrade_takes_other else None
        converted = await conversions.upgrade(v1, previous)
        if isinstance(converted, Unmoved):
            # Not to be repaired: it may be what its user has given, which V1 cannot express.
            raise CheckFailed(
                f"{describe_unmoved(converted)}, and V2 holds an entity: let upgrade take the previous V2 entity"
            )
        made = conversions.v2_before(converted)
        self._compare_v2(UPGRADE, made, seen, accepted, "" if unreadable is None else describe(unreadable))
        if unreadable is not None:
            raise unreadable
        return v2 if previous is None else conversions.v2_entity(seen)  # `upgrade` may have changed what it was given

    def _compare_v2(
        self, check: str, made: Document, seen: StoredV2, accepted: dict[str, None], reason: str = ""
    ) -> None:
        rules = self._v2_rules
        with encoding(check):
            if has_same_bytes(made, seen.document, ordered=rules.ordered, known=None):
                return
            judgement = rules.judge(made, strip_own(self._as_v2_reads(made, seen)))
        _take(check, judgement, accepted, reason)

    def _as_v2_reads(self, made: Document, seen: StoredV2) -> Document:
        """Return V2's body; what both shapes share as V2's class reads it, because V1's part has stored it.

        Beside V1's fields, those of V2 have no order of their own.
        """
        shape, found = self._shape, seen.document
        if shape is None or shape.within is not None:
            return found
        try:
            read = self._conversions.v2_before(self._conversions.v2_entity(seen))
            found = {name: value for name, value in found.items() if name not in shape.shared or name in read}
            found |= {name: read[name] for name in shape.shared if name in read}
        except ConversionError:
            pass
        return {**{name: found[name] for name in made if name in found}, **found}

    async def _check_downgrade(self, v2: V2, truth: StoredV1, accepted: dict[str, None]) -> None:
        """Compare V2 downgraded with V1's document, but for the fields that V1's class does not know."""
        conversions, rules = self._conversions, self._v1_rules
        current = conversions.v1_entity(truth) if self._downgrade_takes_other else None
        made = conversions.v1_before(await conversions.downgrade(v2, current))
        stored = conversions.v1_stored(truth)  # an older version's document is compared as its upcasters bring it up
        with encoding(DOWNGRADE):
            if has_same_bytes(made, stored, ordered=rules.ordered, known=self._known):
                return
            # What V1's class makes of V1's document: it knows these names, and adds some.
            rewritten = as_stored(conversions.v1_before(conversions.v1_entity(truth), "read"))

            def is_unknown(steps: Steps) -> bool:
                return rules.schema.is_unknown(steps) and get_value(rewritten, steps) is MISSING

            judgement = rules.judge(strip_own(stored), made, is_unknown, rewritten)
        _take(DOWNGRADE, judgement, accepted)

    async def _check_expected(self, v1: V1, v2: V2, seen: StoredV2, accepted: dict[str, None]) -> None:
        assert self._expected is not None
        given = (v1, v2) if self._expected.takes_other else (v1,)
        made = await call_check(EXPECTED, self._expected.function, *given)
        cls = self._conversions.migration.v2
        if isinstance(made, cls):
            body: Document = self._conversions.v2_before(made)
        elif isinstance(made, Mapping):
            body = strip_own(made)
        else:
            raise CheckFailed(f"{EXPECTED} returned {type(made).__name__}; return {cls.__name__} or a mapping")
        self._compare_v2(EXPECTED, body, seen, accepted)

    async def _check_invariants(self, v1: V1, v2: V2) -> None:
        for name, function in self._checks.invariants.items():
            holds = await call_check(f"invariant {name!r}", function, v1, v2)
            if holds is None:  # a forgotten `return`
                raise CheckFailed(f"invariant {name!r} returned None; return True or False")
            if not holds:
                raise _Differs(Comparison(Verdict.DIFFERENT, name, reason=f"the invariant {name!r} does not hold"))


class _Differs(Exception):
    """One check found a difference; the rest are not looked at."""

    def __init__(self, comparison: Comparison) -> None:
        super().__init__()
        self.comparison = comparison


def _take(check: str, judgement: Judgement, accepted: dict[str, None], reason: str = "") -> None:
    """Go on if everything is accepted, else raise what was found."""
    accepted |= judgement.accepted
    if judgement.differences:
        raise _Differs(_conclude(check, judgement, Verdict.DIFFERENT, reason))


def _conclude(check: str, judgement: Judgement, verdict: Verdict, reason: str) -> Comparison:
    suggested = ", ".join(suggest(judgement.differences))
    advice = f"{ADVICE}{suggested}" if suggested else ""
    reasons = "; ".join(filter(None, (reason, advice)))
    return Comparison(verdict, check, tuple(judgement.differences), reasons, accepted=tuple(judgement.accepted))


def _dirty(seen: StoredV2) -> Comparison:
    return Comparison(Verdict.DIRTY, reason=f"a write of revision {seen.intent} was announced and is not finished")
