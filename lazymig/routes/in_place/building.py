"""Building the routes of the layout in which one document carries both shapes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Generic, TypeVar

from attrs import evolve, field, frozen

from lazymig.control import Standing, control_beside
from lazymig.dark.figures import Figures
from lazymig.dark.settings import find_share
from lazymig.dark.watch import Watch
from lazymig.errors import ConfigurationError, PhaseError
from lazymig.loop.behind import Behind
from lazymig.phases import Phase
from lazymig.protocol.in_place.place import Place
from lazymig.routes.choosing import Choosing
from lazymig.routes.in_place.coexist import Coexist
from lazymig.routes.in_place.dark import build_watched, check_dark, find_incomparable
from lazymig.routes.in_place.gradual import Gradual
from lazymig.routes.in_place.shadow import Shadow
from lazymig.routes.in_place.v1_only import V1Only
from lazymig.routes.in_place.v2_only import V2Only
from lazymig.routes.in_place.v2_primary import V2Primary
from lazymig.routes.options import IN_SESSION, Options, plan_outage
from lazymig.routes.recorded import check_recorded
from lazymig.routes.route import Route
from lazymig.routes.stages import Stage
from lazymig.shapes.conversions import conversions_for
from lazymig.shapes.migration import Migration, get_id_types, get_upgrading, is_finished, is_upcasting_only
from lazymig.shapes.one_document import LIFTED_IN, REDUCED, Lift, read_lift
from lazymig.shapes.sharing import share_document
from lazymig.stores.given import Collection, Collections, Session
from lazymig.stores.opening import Terms, are_tz_aware, check_collection, open_wholes
from lazymig.stores.probes import probe_of
from lazymig.surroundings.checking import Asked
from lazymig.surroundings.first_use import FirstUse
from lazymig.surroundings.uuids import check_uuids
from lazymig.telemetry import LEFT_DIRTY, Tally

V1 = TypeVar("V1")
V2 = TypeVar("V2")

#: Conversions that are stored behind callers at a time, at most.
_BEHIND_MAX = 1000

#: The routes by phase. There is no `prepare`: a fingerprint shows what processes in `v1_only` have changed.
ROUTES: dict[Phase, Callable[[Place[Any, Any]], Route[Any, Any]]] = {
    Phase.V1_ONLY: V1Only,
    Phase.SHADOW: Shadow,
    Phase.COEXIST: Coexist,
    Phase.V2_PRIMARY: V2Primary,
    Phase.V2_ONLY: V2Only,
}


def check_phase(phase: Phase) -> Phase:
    """Return the phase as a member of `Phase`. Raises `ConfigurationError` for one that this layout does not have."""
    for known in ROUTES:
        if known == phase:
            return known
    able = ", ".join(f"Phase.{member.name}" for member in Phase if member in ROUTES)
    raise ConfigurationError(f"phase: in this layout there are {able}; it needs no other")


def open_place(
    migration: Migration[V1, V2],
    collection: Collection,
    options: Options,
    *,
    session: Session | None = None,
    sharing: Place[V1, V2] | None = None,
) -> Place[V1, V2]:
    """Check what was passed and open the store. Raises `ConfigurationError`, which says what to change.

    `sharing`: the place whose counts and unfinished steps this one shares, for a session.
    """
    if not isinstance(migration, Migration):
        raise ConfigurationError("migration: pass a lazymig.Migration")
    if is_upcasting_only(migration):
        raise ConfigurationError("in_place: Migration.upcasting(...) has one shape; use Repository(..., v1=collection)")
    if migration.part:
        raise ConfigurationError(
            "part: that is for two collections; in one document, V2 leaves all fields alone that it does not declare"
        )
    if migration.upgrade_pipeline:
        raise ConfigurationError(
            "upgrade_pipeline: that is for two collections; in one document, V2's part carries a fingerprint of V1's "
            "fields, which no aggregation can compute; leave it out"
        )
    options.check()
    check_dark(options.dark_reads)
    check_collection("collection", collection)
    check_uuids(migration, v1=collection, v2=collection)
    terms = Terms(
        clock=options.clock, conv=migration.revision, remembers=get_upgrading(migration).takes_other,
        coalesce=options.coalesce, timeout_s=options.timeout_s, read_concern=options.read_concern, session=session,
        finished=is_finished(migration),
    )  # fmt: skip
    v1_aware, v2_aware = are_tz_aware(Collections(collection, collection))
    conversions = conversions_for(migration, v1_aware=v1_aware, v2_aware=v2_aware)
    tally = Tally(migration.name) if sharing is None else sharing.tally
    if sharing is None:
        wait_s = (plan_outage(options, remembers=True) if session is None else IN_SESSION).step_wait_s
        behind = Behind(_BEHIND_MAX if options.write_behind else 0, wait_s, partial(tally.count, LEFT_DIRTY))
    else:
        behind = sharing.behind.at_once()
    return Place(
        open_wholes(collection, terms), share_document(migration, conversions.v1, conversions.v2), conversions,
        options.clock, tally, behind, max_attempts=options.max_attempts, in_session=session is not None,
        ahead=options.coalesce, finished=is_finished(migration),
    )  # fmt: skip


@frozen
class PlaceBuilder(Generic[V1, V2]):
    """What the stages of one repository are built of, whose shapes share their documents."""

    collections: Collections
    migration: Migration[V1, V2]
    options: Options
    place: Place[V1, V2]
    watch: Watch[V1, V2] | None = None
    #: Where a control collection is followed.
    choosing: Choosing | None = None
    #: The checks of the collection by phase, each with the epoch in which the phase began; sessions share them.
    _checks: dict[Phase, tuple[int, FirstUse]] = field(factory=dict)

    def build(self, at: Standing | Phase) -> Stage[V1, V2]:
        """Return the stage of a phase, or of what the control collection records.

        Raises `PhaseError` where this release, or this layout, cannot work in it.
        """
        if isinstance(at, Standing):
            self.check_record(at)
            if self.watch is not None:
                self.watch.share = find_share(at)
            lift = read_lift(at.settings)
            place = evolve(self.place, shape=self.place.shape.at(lift))
            return self._make_stage(at.phase, _find_since(at), self._build_steered(at, place), lift)
        self.check(at)
        return self._make_stage(at, 0, self._build_route(at, self.place))

    def _make_stage(self, phase: Phase, since: int, route: Route[V1, V2], lift: Lift | None = None) -> Stage[V1, V2]:
        """Return the stage of a phase, with a check of the collection since it began. `lift` is None where it stays."""
        known = self._checks.get(phase)
        if known is None or known[0] != since:
            known = self._checks[phase] = since, self._make_check(route, phase, lift)
        return Stage(phase, route, known[1], since)

    def _build_steered(self, at: Standing, place: Place[V1, V2]) -> Route[V1, V2]:
        choice = None if self.choosing is None else self.choosing.find_choice(at)
        if self.choosing is None or choice is None:
            return self._build_route(at.phase, place)
        figures = self.choosing.begin(choice)
        chosen, rest = (self._build_route(phase, place, figures) for phase in (Phase.COEXIST, Phase.SHADOW))
        return Gradual(place, choice, chosen, rest)

    def _build_route(self, phase: Phase, place: Place[V1, V2], figures: Figures | None = None) -> Route[V1, V2]:
        dark, build = self.options.dark_reads, ROUTES[phase]
        if dark is None or self.watch is None:
            return build(place)
        if phase is Phase.COEXIST and dark.serve == "v1":
            build = Shadow  # which differs only in what answers
        if find_incomparable(phase, build(place), dark):
            return build(place)
        return build_watched(place, build, self.watch, figures)

    def with_place(self, place: Place[V1, V2]) -> PlaceBuilder[V1, V2]:
        """Return the builder for the place of a session, without dark reads: its statements run one at a time."""
        choosing = None if self.choosing is None else self.choosing.in_session()
        return evolve(self, place=place, watch=None, choosing=choosing)

    def check(self, phase: Phase) -> None:
        """Raise `PhaseError` where this release, or this layout, cannot work in this phase."""
        if phase not in ROUTES:
            raise PhaseError(
                f"the phase {phase} is recorded, which documents that carry both shapes do not have: the record is of "
                "two collections. Roll it back to v1_only with the release that has them, or give this migration "
                "another name"
            )
        if is_finished(self.migration) and phase is not Phase.V2_ONLY:
            raise PhaseError(
                f"this release has Migration.finished(...), which no longer knows V1, and the phase {phase} needs V1; "
                "start it in Phase.V2_ONLY, or run the release that has both classes"
            )

    def check_record(self, at: Standing) -> None:
        """Raise `PhaseError` where this release cannot work by this record."""
        self.check(at.phase)
        read_lift(at.settings)
        if is_finished(self.migration) and not at.settings.get(REDUCED):
            raise PhaseError(
                "this release has Migration.finished(...), which no longer knows V1, and V1's fields are not taken out "
                "of all documents; run lazymig retire reduce with the release that has both classes, to its end"
            )

    def build_strictly(self, phase: Phase) -> Stage[V1, V2]:
        """Return the stage of a phase that stays. Raises `ConfigurationError` for a phase without a route."""
        try:
            stage, dark = self.build(check_phase(phase)), self.options.dark_reads
        except PhaseError as error:
            raise ConfigurationError(f"phase: {error}") from None
        if dark is not None and (problem := find_incomparable(stage.phase, stage.route, dark)):
            raise ConfigurationError(problem)
        return stage

    def _make_check(self, route: Route[V1, V2], phase: Phase, lift: Lift | None) -> FirstUse:
        asked = Asked(
            v1=self.collections.v1, v2=None, id_types=get_id_types(self.migration),
            linearizable=self.options.read_concern is not None, reads_v1=route.keeps_v1,
            shape=self.place.shape if lift is None else self.place.shape.at(lift),
            fills=route.fills_v2, complete=route.lists_v2 and not self.place.finished,
        )  # fmt: skip
        further = partial(self.check_recorded, phase, route) if lift is None else None
        return FirstUse(asked, both=False, timeout_s=self.options.timeout_s, further=further)

    async def check_recorded(self, phase: Phase, route: Route[V1, V2]) -> None:
        """Raise `PhaseError` where a fleet follows a record beside which this fixed phase may not run."""
        if not probe_of(self.place.store).in_memory:
            control = control_beside(self.place.store)
            standing = await check_recorded(control, self.migration.name, phase, tuple(ROUTES), sealed=False)
            lifting = standing is not None and read_lift(standing.settings) is not Lift.NONE
            if lifting and self.place.shape.within is not None:
                raise PhaseError(
                    f"V2's fields leave their sub-document {self.place.shape.within}, and a process with a fixed phase "
                    "does not know where they are: pass phase=lazymig.Control(...)"
                )


def _find_since(at: Standing) -> int:
    """Return since which epoch a listing may go on as it began: by this phase, and with V2 parts where they are."""
    lifted_in = at.settings.get(LIFTED_IN)
    return max(at.last.epoch, lifted_in) if isinstance(lifted_in, int) else at.last.epoch
