"""The aggregation by which a server may do what `upgrade` does: checked when it is declared, and frozen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, TypeAlias, cast

import bson
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions

from lazymig.errors import ConfigurationError
from lazymig.stores.documents import META_FIELD

#: One stage, as the server takes it.
PipelineStage: TypeAlias = Mapping[str, object]

#: The stages that change one document by itself, or leave it out.
STAGES: Final = ("$match", "$set", "$addFields", "$unset", "$project", "$replaceWith", "$replaceRoot")
#: Why other stages are refused, in words that follow the stage's name.
_REASONS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("$out", "$merge"), "writes, and lazymig alone says where to"),
    **dict.fromkeys(
        ("$lookup", "$graphLookup", "$unionWith", "$documents"),
        "reads other documents, and V2 would not be made again when these change",
    ),
    **dict.fromkeys(("$unwind", "$densify", "$fill"), "makes other documents than those that came in"),
    **dict.fromkeys(
        ("$group", "$bucket", "$bucketAuto", "$sortByCount", "$count", "$facet", "$setWindowFields"),
        "puts documents together, and V2 holds one for each of V1",
    ),
    **dict.fromkeys(
        ("$sort", "$limit", "$skip", "$sample"), "depends on which documents are read together, which changes"
    ),
}
#: What gives another value each time, or code that nobody can check for that.
_UNSTABLE: Final = frozenset({"$rand", "$sampleRate", "$function", "$accumulator", "$where", "$meta"})
_UNSTABLE_VARIABLES: Final = frozenset({"$$NOW", "$$CLUSTER_TIME", "$$USER_ROLES", "$$SEARCH_META"})
_EXAMPLE: Final = '[{"$set": {"first": {"$first": {"$split": ["$name", " "]}}}}, {"$unset": "name"}]'
#: Everything as BSON holds it.
_BSON: Final[CodecOptions[dict[str, object]]] = CodecOptions(uuid_representation=UuidRepresentation.UNSPECIFIED)
_GIVEN: Final[CodecOptions[dict[str, object]]] = CodecOptions(uuid_representation=UuidRepresentation.STANDARD)


def freeze_pipeline(given: object) -> tuple[PipelineStage, ...]:
    """Return a copy of the stages that nobody can change.

    Raises `ConfigurationError` for a stage that does more than to change one document by itself, or whose result may
    differ from time to time.
    """
    if not isinstance(given, list | tuple) or not all(isinstance(stage, Mapping) for stage in given):
        raise _wrong(f"pass a list of stages, such as {_EXAMPLE}")
    for place, stage in enumerate(given):
        _check_stage(place, stage)
    try:
        copied = bson.decode(bson.encode({"": [_plain(stage) for stage in given]}, codec_options=_GIVEN), _BSON)[""]
    except (bson.errors.BSONError, OverflowError, UnicodeEncodeError, RecursionError) as error:
        # The driver's text quotes the value, which is the user's own code.
        raise _wrong(f"BSON cannot hold it: {error}") from None
    return tuple(map(_frozen, cast("list[object]", copied)))


def check_pipeline_fits(*, takes_previous: bool, has_upcasters: bool, part: bool) -> None:
    """Raise `ConfigurationError` where no aggregation over V1's documents can do what `upgrade` does."""
    if takes_previous:
        raise _wrong(
            "upgrade takes the previous V2 entity, which an aggregation over V1's documents does not see; let upgrade "
            "take V1's entity alone, or leave upgrade_pipeline out"
        )
    if has_upcasters:
        raise _wrong(
            "upcasters bring V1's documents up in Python, and the server has the documents as they are stored; store "
            "them in the newest version by lazymig rewrite and leave upcasters out, or leave upgrade_pipeline out"
        )
    if part:
        raise _wrong(
            "with part=True, V1's documents hold more than the entity, and each holds several revisions; leave "
            "upgrade_pipeline out"
        )


def _check_stage(place: int, stage: PipelineStage) -> None:
    if len(stage) != 1:
        raise _wrong(f"stage {place + 1} has {len(stage)} names; pass one operator for each stage")
    ((name, given),) = stage.items()
    if name not in STAGES:
        why = _REASONS.get(name, "is no stage that changes one document by itself")
        raise _wrong(f"stage {place + 1}: {name} {why}; use only {', '.join(STAGES)}")
    _check_stable(place, given)
    for target in _targets(name, given):
        first = target.partition(".")[0]
        if first == "_id":
            raise _wrong(f"stage {place + 1}: {name} changes _id; leave it out, the server keeps V1's id")
        if first.startswith(META_FIELD):
            raise _wrong(f"stage {place + 1}: {name} changes {first}; leave it out, lazymig keeps its own fields")


def _targets(name: str, given: object) -> list[str]:
    """Return the fields that a stage names to change; those of a `$project` only if it takes `_id` away."""
    if name == "$unset":
        return [one for one in (given if isinstance(given, list | tuple) else [given]) if isinstance(one, str)]
    if not isinstance(given, Mapping) or name not in ("$set", "$addFields", "$project"):
        return []
    keeps_id = name == "$project" and given.get("_id") in (1, True) and isinstance(given.get("_id"), int | float)
    return [one for one in given if not (one == "_id" and keeps_id)]


def _check_stable(place: int, value: object) -> None:
    """Raise `ConfigurationError` for what gives another result each time, except in literals."""
    if isinstance(value, str) and value.partition(".")[0] in _UNSTABLE_VARIABLES:
        raise _wrong(f"stage {place + 1}: {value} differs from time to time; use what the document holds")
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if name in _UNSTABLE:
                raise _wrong(f"stage {place + 1}: {name} may differ from time to time; use what the document holds")
            if name != "$literal":
                _check_stable(place, inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            _check_stable(place, inner)


def _plain(value: object) -> object:
    """Return a value with mappings of any kind as the driver encodes them, also frozen ones."""
    return _each(value, lambda items: dict(items), list)


def _frozen(value: object) -> PipelineStage:
    return cast("PipelineStage", _each(value, lambda items: MappingProxyType(dict(items)), tuple))


def _each(
    value: object,
    mapping: Callable[[list[tuple[str, object]]], object],
    sequence: Callable[[Sequence[object]], object],
) -> object:
    if isinstance(value, Mapping):
        return mapping([(name, _each(inner, mapping, sequence)) for name, inner in value.items()])
    if isinstance(value, list | tuple):
        return sequence([_each(inner, mapping, sequence) for inner in value])
    return value


def _wrong(what: str) -> ConfigurationError:
    return ConfigurationError(f"upgrade_pipeline: {what}")
