"""Building a route of what the user passed: only here are collections checked, and stores and routes chosen."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Generic, TypeVar

from attrs import evolve, field, frozen

from lazymig.control import Control, Standing, control_beside
from lazymig.dark.contests import Side
from lazymig.dark.figures import Figures
from lazymig.dark.notes import take_notes
from lazymig.dark.settings import DarkReads, find_share
from lazymig.dark.watch import Watch
from lazymig.errors import ConfigurationError, PhaseError
from lazymig.loop.behind import Behind
from lazymig.phases import Phase
from lazymig.protocol.pair import Pair
from lazymig.routes.choosing import Choosing
from lazymig.routes.coexist import Coexist
from lazymig.routes.dark import Dark
from lazymig.routes.degradable import Degradable
from lazymig.routes.gradual import Gradual
from lazymig.routes.options import IN_SESSION, Options, Outage, plan_outage
from lazymig.routes.prepare import Prepare
from lazymig.routes.recorded import check_recorded
from lazymig.routes.route import Route
from lazymig.routes.shadow import Shadow
from lazymig.routes.stages import Stage
from lazymig.routes.v1_answers import V1Answers
from lazymig.routes.v1_only import V1Only
from lazymig.routes.v2_only import V2Only
from lazymig.routes.v2_primary import V2Primary
from lazymig.shapes.conversions import conversions_for
from lazymig.shapes.migration import Migration, get_id_types, get_upgrading, is_finished, is_upcasting_only
from lazymig.stores.given import Collections, Session
from lazymig.stores.opening import Terms, are_tz_aware, check_collection, name_unused_beside, open_stores
from lazymig.stores.probes import probe_of
from lazymig.surroundings.checking import Asked, is_same
from lazymig.surroundings.first_use import FirstUse
from lazymig.surroundings.uuids import check_uuids
from lazymig.telemetry import Tally

V1 = TypeVar("V1")
V2 = TypeVar("V2")

#: V2 bodies that are stored behind callers at a time, at most.
_BEHIND_MAX = 1000

#: The routes by phase: one line each. A phase that is not here cannot be constructed.
ROUTES: dict[Phase, Callable[[Pair[Any, Any]], Route[Any, Any]]] = {
    Phase.V1_ONLY: V1Only,
    Phase.PREPARE: Prepare,
    Phase.SHADOW: Shadow,
    Phase.COEXIST: Coexist,
    Phase.V2_PRIMARY: V2Primary,
    Phase.V2_ONLY: V2Only,
}


def check_phase(phase: Phase) -> Phase:
    """Return the phase as a member of `Phase`. Raises `ConfigurationError` for a phase without a route."""
    for known in ROUTES:
        if known == phase:
            return known
    able = ", ".join(f"Phase.{member.name}" for member in Phase if member in ROUTES)
    raise ConfigurationError(f"phase: this release runs {able}")


def choose_route(phase: Phase, dark: DarkReads | None) -> Callable[[Pair[V1, V2]], Route[V1, V2]]:
    """Return what makes the route that answers. Raises `ConfigurationError` for a phase that has none."""
    route: Callable[[Pair[V1, V2]], Route[V1, V2]] = ROUTES[check_phase(phase)]
    # The only phase that leaves the choice. In those before V1 answers anyway, and in those after V2 must.
    return V1Answers if route is Coexist and dark is not None and dark.serve == "v1" else route


def build_watched(
    phase: Phase, pair: Pair[V1, V2], dark: DarkReads, watch: Watch[V1, V2], figures: Figures | None = None
) -> Dark[V1, V2]:
    """Return the route that answers, with dark reads around it."""
    build: Callable[[Pair[V1, V2]], Route[V1, V2]] = choose_route(phase, dark)
    control = build(pair)
    candidate: Side = "v1" if control.serves_v2 else "v2"
    return Dark(control, lambda notes: build(take_notes(pair, notes)), pair.clock, watch, candidate, figures)


def find_incomparable(phase: Phase, control: Route[V1, V2], dark: DarkReads) -> str:
    """Return why no dark reads are possible in this phase; an empty text where they are."""
    if not control.keeps_v1:
        return f"dark_reads: in the phase {phase} V1 is stale, so there is nothing to compare with"
    if not control.fills_v2 and not dark.aa:
        return (
            f"dark_reads: in the phase {phase} there is no V2 to compare with; compare V1 with V1 by "
            'DarkReads(serve="v1", aa=True), or begin dark reads in Phase.SHADOW'
        )
    if control.serves_v2 and dark.serve == "v1":
        return f'dark_reads: in the phase {phase} V2 answers; pass DarkReads(serve="v2"), or go back to Phase.COEXIST'
    return ""


def complete(migration: Migration[V1, V2], given: Collections, phase: Phase | Control) -> Collections:
    """Return both collections. A migration of one class needs one, and gets another that is never used.

    Raises `ConfigurationError` where one is missing, and for a phase in which it would be needed.
    """
    if isinstance(migration, Migration) and is_finished(migration):
        return _complete_finished(given, phase)
    if given.v1 is None:
        raise ConfigurationError("v1: pass the collection of the old shape; only Migration.finished(...) needs none")
    if given.v2 is not None:
        return given
    if not (isinstance(migration, Migration) and is_upcasting_only(migration)):
        raise ConfigurationError("v2: pass the collection of the new shape; only Migration.upcasting(...) needs none")
    if isinstance(phase, Control) or check_phase(phase) is not Phase.V1_ONLY:
        raise ConfigurationError("phase: a repository of Migration.upcasting(...) without v2 runs in Phase.V1_ONLY")
    check_collection("v1", given.v1)
    return Collections(given.v1, name_unused_beside(given.v1))


def find_unable(phase: Phase) -> str:
    """Return why a release that no longer knows V1 cannot work in this phase; an empty text where it can."""
    if phase is Phase.V2_ONLY:
        return ""
    return (
        f"this release has Migration.finished(...), which no longer knows V1, and the phase {phase} needs V1; start it "
        "in Phase.V2_ONLY, or run the release that has both classes"
    )


def _complete_finished(given: Collections, phase: Phase | Control) -> Collections:
    if not isinstance(phase, Control) and (unable := find_unable(check_phase(phase))):
        raise ConfigurationError(f"phase: {unable}")
    if given.v1 is not None:
        raise ConfigurationError("v1: Migration.finished(...) knows no V1; leave it out")
    if given.v2 is None:
        raise ConfigurationError("v2: pass the collection of the entities")
    check_collection("v2", given.v2)
    return Collections(name_unused_beside(given.v2), given.v2)


def build_pair(migration: Migration[V1, V2], given: Collections, options: Options) -> Pair[V1, V2]:
    """Check what was passed and open the stores. Raises `ConfigurationError`, which says what to change."""
    if not isinstance(migration, Migration):
        raise ConfigurationError("migration: pass a lazymig.Migration")
    if migration.v2_within is not None:
        raise ConfigurationError(
            "migration: v2_within keeps V2's part within V1's documents; open it by Repository.in_place(migration, "
            "collection, ...), or leave v2_within out for two collections"
        )
    options.check()
    for side, collection in given._asdict().items():
        check_collection(side, collection)
    _check_distinct(given)
    check_uuids(migration, v1=given.v1, v2=given.v2)
    tally = Tally(migration.name)
    outage = plan_outage(options, remembers=get_upgrading(migration).takes_other)
    # One breaker, where V1's answer is always whole.
    aside = outage if outage.breaker is not None else plan_outage(options, remembers=False)
    behind = Behind(_BEHIND_MAX if options.write_behind else 0, outage.step_wait_s, partial(outage.note_late, tally))
    pair = _put_together(migration, given, options, tally, behind, outage)
    return evolve(pair, aside_wait_s=aside.read_wait_s, aside_breaker=aside.breaker)


def build_pair_in_session(pair: Pair[V1, V2], given: Collections, options: Options, session: Session) -> Pair[V1, V2]:
    """Return the pair with every statement in a session. Both pairs share their counts and unfinished bodies."""
    migration, behind = pair.conversions.migration, pair.behind.at_once()
    return _put_together(migration, given, options, pair.tally, behind, IN_SESSION, session)


def _put_together(
    migration: Migration[V1, V2],
    given: Collections,
    options: Options,
    tally: Tally,
    behind: Behind,
    outage: Outage,
    session: Session | None = None,
) -> Pair[V1, V2]:
    v1_aware, v2_aware = are_tz_aware(given)
    conversions = conversions_for(migration, v1_aware=v1_aware, v2_aware=v2_aware)
    terms = Terms(
        clock=options.clock, conv=migration.revision, remembers=get_upgrading(migration).takes_other,
        coalesce=options.coalesce, timeout_s=options.timeout_s, read_concern=options.read_concern, session=session,
        finished=is_finished(migration), carried=conversions.carried,
    )  # fmt: skip
    v1, v2, alone = open_stores(given, terms)
    return Pair(
        v1, v2, v2, conversions, options.clock, tally, behind,
        max_attempts=options.max_attempts, checked=options.checked, in_session=session is not None,
        ahead=options.coalesce, alone=alone, v2_wait_s=outage.read_wait_s, breaker=outage.breaker,
    )  # fmt: skip


def make_suspect(pair: Pair[V1, V2]) -> Pair[V1, V2]:
    """Return the pair for writes that take nothing from V2 for granted, which has to answer in time."""
    return evolve(pair, suspect=True, breaker=pair.aside_breaker, v2_wait_s=pair.aside_wait_s)


def _check_distinct(given: Collections) -> None:
    if is_same(given.v1, given.v2):
        name = getattr(given.v1, "full_name", "")
        raise ConfigurationError(f"v1 and v2 are the same collection, {name}; V2 needs one of its own")


@frozen
class StageBuilder(Generic[V1, V2]):
    """What the stages of one repository are built of."""

    collections: Collections
    migration: Migration[V1, V2]
    options: Options
    pair: Pair[V1, V2]
    watch: Watch[V1, V2] | None
    #: Where a control collection is followed.
    choosing: Choosing | None = None
    #: The checks of the collections by phase, each with the epoch in which the phase began; sessions share them.
    _checks: dict[Phase, tuple[int, FirstUse]] = field(factory=dict)

    def build(self, at: Standing | Phase) -> Stage[V1, V2]:
        """Return the stage of a phase, or of what the control collection records.

        Raises `PhaseError` where this release cannot work in it.
        """
        phase, since = (at.phase, at.last.epoch) if isinstance(at, Standing) else (at, 0)
        self.check(phase)
        if self.watch is not None and isinstance(at, Standing):
            self.watch.share = find_share(at)
        route = self._build_steered(at) if isinstance(at, Standing) else self._build_route(phase)
        known = self._checks.get(phase)
        if known is None or known[0] != since:
            # A phase that is entered again is checked again; a change of anything else is no reason.
            known = self._checks[phase] = since, self._make_check(route, None if isinstance(at, Standing) else phase)
        return Stage(phase, route, known[1], since)

    def check(self, phase: Phase) -> None:
        """Raise `PhaseError` where this release cannot work in this phase."""
        if is_finished(self.migration) and (unable := find_unable(phase)):
            raise PhaseError(unable)

    def check_record(self, at: Standing) -> None:
        """Raise `PhaseError` where this release cannot work by this record."""
        self.check(at.phase)

    def _make_check(self, route: Route[V1, V2], fixed: Phase | None) -> FirstUse:
        options = self.options
        further = None if fixed is None else partial(self.check_recorded, fixed, route)
        asked = Asked(
            v1=self.pair.v1, v2=self.collections.v2, id_types=get_id_types(self.migration),
            linearizable=options.read_concern is not None, compared=options.checked, complete=route.lists_v2,
            reads_v1=route.keeps_v1,
        )  # fmt: skip
        return FirstUse(
            asked, both=route.uses_v2, timeout_s=options.timeout_s, read_wait_s=options.v2_wait_s, further=further
        )

    def _may_look(self, route: Route[V1, V2]) -> bool:
        """Whether a look at the control collection is cheap: it is on a server that calls need anyway."""
        v1, v2 = probe_of(self.pair.v1), probe_of(self.pair.bodies)
        return not v1.in_memory and not v2.in_memory and (route.uses_v2 or v1.client_key == v2.client_key)

    async def check_recorded(self, phase: Phase, route: Route[V1, V2]) -> None:
        """Raise `PhaseError` where a fleet follows a record beside which this fixed phase may not run."""
        if self._may_look(route):
            await check_recorded(control_beside(self.pair.bodies), self.migration.name, phase)

    def build_strictly(self, phase: Phase) -> Stage[V1, V2]:
        """Return the stage of a phase that stays. Raises `ConfigurationError` for options without a use in it."""
        stage, dark = self.build(phase), self.options.dark_reads
        if dark is not None and (problem := find_incomparable(phase, choose_route(phase, dark)(self.pair), dark)):
            raise ConfigurationError(problem)
        if self.options.checked and not stage.route.keeps_v1:
            raise ConfigurationError(
                f"checked: the phase {phase} does not read V1, so there is nothing to compare with"
            )
        return stage

    def _build_steered(self, at: Standing) -> Route[V1, V2]:
        if self.choosing is None:
            return self._build_route(at.phase)
        suspicion = self.choosing.find_suspicion(at)
        if suspicion is not None:
            return Degradable(make_suspect(self.pair), self._build_route(at.phase), suspicion)
        choice = self.choosing.find_choice(at)
        if choice is None:
            return self._build_route(at.phase)
        figures = self.choosing.begin(choice)
        chosen, rest = (self._build_route(phase, figures) for phase in (Phase.COEXIST, Phase.SHADOW))
        return Gradual(self.pair, choice, chosen, rest)

    def _build_route(self, phase: Phase, figures: Figures | None = None) -> Route[V1, V2]:
        dark = self.options.dark_reads
        bare: Route[V1, V2] = choose_route(phase, dark)(self.pair)
        if dark is None or self.watch is None or find_incomparable(phase, bare, dark):
            return bare
        # V1 compared with V1 says nothing about groups.
        return build_watched(phase, self.pair, dark, self.watch, None if dark.aa else figures)
