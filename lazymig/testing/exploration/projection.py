"""MongoDB projections of documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lazymig.testing.exploration.values import MISSING, fresh, look_up

Document = dict[str, Any]


def projected(document: Mapping[str, Any], projection: Mapping[str, Any] | Sequence[str] | None) -> Document:
    """Return a copy of the parts of a document that a projection selects.

    Raises `NotImplementedError` for anything but plain inclusion or plain exclusion.
    """
    if projection is None or projection == {}:
        return fresh(document)  # type: ignore[no-any-return]
    wanted = dict(projection) if isinstance(projection, Mapping) else dict.fromkeys(projection, True)
    if not wanted or any(not isinstance(choice, (bool, int)) for choice in wanted.values()):
        raise NotImplementedError("MemoryCollection projects by inclusion or exclusion only")
    with_id = wanted.pop("_id", True)
    if not wanted:
        return _only(document, [], True) if with_id else _without(document, ["_id"])
    if len({bool(choice) for choice in wanted.values()}) > 1:
        raise NotImplementedError("MemoryCollection does not mix inclusion and exclusion")
    if next(iter(wanted.values())):
        return _only(document, list(wanted), bool(with_id))
    return _without(document, [*wanted, *([] if with_id else ["_id"])])


def _only(document: Mapping[str, Any], paths: list[str], with_id: bool) -> Document:
    result: Document = {"_id": document["_id"]} if with_id else {}
    for path in paths:
        *names, last = path.split(".")
        source: Any = document
        place: Any = result
        for name in names:
            source = look_up(source, name)
            if isinstance(source, list):
                raise NotImplementedError(f"MemoryCollection does not follow paths into arrays: {path}")
            if not isinstance(source, Mapping):
                break
            place = place.setdefault(name, {})
        else:
            if look_up(source, last) is not MISSING:
                place[last] = fresh(source[last])
    return result


def _without(document: Mapping[str, Any], paths: list[str]) -> Document:
    result: Document = fresh(document)
    for path in paths:
        *names, last = path.split(".")
        place = look_up(result, ".".join(names)) if names else result
        if isinstance(place, dict):
            place.pop(last, None)
    return result
