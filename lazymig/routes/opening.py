"""Making the calls of a repository of what its user passed."""

from __future__ import annotations

from typing import Generic, TypeVar

from attrs import frozen

from lazymig.control import Control, parts_of
from lazymig.control.attached import attached_to
from lazymig.control.samples import MEDIUM
from lazymig.dark.watch import Watch
from lazymig.loop.batcher import find_running
from lazymig.loop.in_flight import InFlight
from lazymig.measuring.sampler import Sampler
from lazymig.membership.in_flight import Unfinished
from lazymig.membership.member import Member
from lazymig.membership.terms import Terms
from lazymig.phases import Phase
from lazymig.protocol.in_place.place import Place
from lazymig.protocol.pair import Pair
from lazymig.routes.building import StageBuilder, build_pair, check_phase, complete
from lazymig.routes.calls import Calls
from lazymig.routes.choosing import open_choosing
from lazymig.routes.in_place.building import PlaceBuilder, open_place
from lazymig.routes.in_place.building import check_phase as check_place_phase
from lazymig.routes.options import Options
from lazymig.routes.stages import FixedStages, Stages, SteeredStages
from lazymig.routes.turns import Turns
from lazymig.shapes.migration import Migration
from lazymig.stores.given import Collection, Collections

V1 = TypeVar("V1")
V2 = TypeVar("V2")


def open_calls(
    migration: Migration[V1, V2], given: Collections, phase: Phase | Control, options: Options
) -> Calls[V1, V2]:
    """Check what the user passed and build the calls. Raises `ConfigurationError`, which says what to change."""
    given = complete(migration, given, phase)
    pair = build_pair(migration, given, options)
    dark = options.dark_reads
    watch = None if dark is None else Watch(pair, dark, phase if isinstance(phase, Control) else None)
    choosing = open_choosing(phase, migration.name) if isinstance(phase, Control) else None
    builder = StageBuilder(given, migration, options, pair, watch, choosing)
    return _open(Opening(migration, given, options, pair, builder, watch), phase)


def open_calls_in_place(
    migration: Migration[V1, V2], collection: Collection, phase: Phase | Control, options: Options
) -> Calls[V1, V2]:
    """Build the calls of a repository whose shapes share their documents. Raises `ConfigurationError`."""
    place = open_place(migration, collection, options)
    both = Collections(collection, collection)
    dark = options.dark_reads
    watch = None if dark is None else Watch(place, dark, phase if isinstance(phase, Control) else None)
    choosing = open_choosing(phase, migration.name) if isinstance(phase, Control) else None
    builder = PlaceBuilder(both, migration, options, place, watch, choosing)
    return _open(Opening(migration, both, options, place, builder, watch), phase)


@frozen
class Opening(Generic[V1, V2]):
    """What calls are made of, but for the phase."""

    migration: Migration[V1, V2]
    collections: Collections
    options: Options
    ground: Pair[V1, V2] | Place[V1, V2]
    builder: StageBuilder[V1, V2] | PlaceBuilder[V1, V2]
    watch: Watch[V1, V2] | None


def _open(opening: Opening[V1, V2], phase: Phase | Control) -> Calls[V1, V2]:
    options, builder, ground, watch = opening.options, opening.builder, opening.ground, opening.watch
    parts = opening.migration, opening.collections, options, ground
    turns: Turns[V1, V2] | None = Turns(options.clock) if options.coalesce else None
    stages: Stages[V1, V2]
    if not isinstance(phase, Control):
        check = check_place_phase if isinstance(builder, PlaceBuilder) else check_phase
        stages = FixedStages(builder.build_strictly(check(phase)), options.timeout_s)
        return Calls(*parts, stages, InFlight(options.max_in_flight), builder, watch, turns=turns)

    stores = (ground.store,) if isinstance(ground, Place) else (ground.v1, ground.ledger, ground.bodies, ground.alone)

    def find_unfinished() -> list[Unfinished]:
        # A shared statement goes on without a caller that was cancelled, or whose time was over.
        return [*ground.behind.unfinished, *find_running(*stores), *(() if watch is None else watch.running)]

    name, kept = opening.migration.name, parts_of(phase)
    terms = Terms(
        revision=opening.migration.revision, lease_s=phase.lease_s, find_unfinished=find_unfinished, tally=ground.tally,
        check=builder.check_record, beside=Sampler(kept, name, ground, "service", finest=MEDIUM),
    )  # fmt: skip
    member = Member(kept, name, terms)
    stages = SteeredStages(member, builder.build, options.timeout_s)
    calls = Calls(*parts, stages, InFlight(options.max_in_flight), builder, watch, phase, turns)
    attached_to(phase)[name] = calls
    return calls
