"""Documents of several stored versions in one collection, brought up to the newest version when they are read."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from typing import Literal, TypeAlias

import bson
from attrs import frozen
from bson.codec_options import CodecOptions

from lazymig.errors import ConfigurationError
from lazymig.shapes.entities import fields
from lazymig.shapes.fields import Rejected
from lazymig.shapes.signatures import recognised
from lazymig.shapes.stored_names import is_free
from lazymig.stores.decoding import Damaged
from lazymig.stores.documents import META_FIELD, OWN_FIELDS, PART_FIELD, REVISION_FIELD
from lazymig.stores.records import Document, Fields

#: `f(document) -> document of the next version`.
Upcaster: TypeAlias = Callable[[Fields], Document]
Newer: TypeAlias = Literal["refuse", "pass"]

_MISSING = object()


class NewerVersion(Rejected):
    """An error for a document of a version that only a newer release knows."""


@frozen
class Upcasters:
    """A chain of functions that bring V1's documents of older versions up to the newest; `upcasters` makes one.

    Attributes:
        steps: The functions by the version that each one takes, in order and without a gap.
        field: The field that holds a document's version.
        missing: The version of a document without the field; None: such a document is refused.
        newer: What to do with a document of a version above the newest: "refuse" it, or "pass" it to the class as it
            is stored.
        persist: Whether a `Rewriter` may rewrite older documents.
    """

    steps: Mapping[int, Upcaster]
    field: str
    missing: int | None
    newer: Newer
    persist: bool

    @property
    def oldest(self) -> int:
        """The oldest version that can be read."""
        return min(self.steps)

    @property
    def newest(self) -> int:
        """The version of the documents that the class describes, and of all documents that are written."""
        return max(self.steps) + 1


def upcasters(
    steps: Mapping[int, Upcaster] | Iterable[tuple[int, Upcaster]],
    *,
    field: str = "schema_version",
    missing: int | None = 1,
    newer: Newer = "refuse",
    persist: bool = False,
) -> Upcasters:
    """Return the chain that brings V1's documents of older versions up to the class, for `Migration(upcasters=...)`.

    Each function gets a copy of a document (a plain dict with its `_id`, without lazymig's own fields) and returns the
    document of the next version. It must be deterministic and must not wait for anything. lazymig sets the version
    field itself.

    Args:
        steps: The functions by the version that each one takes, such as `{1: split_name, 2: add_country}`, or pairs of
            both. The newest version is one above the last key.
        field: The field at the top of a document that holds its version, an int.
        missing: The version of a document without the field; None to refuse such documents.
        newer: What to do with a document of a version above the newest: "refuse" it, or "pass" it to the class as it
            is stored. Its version is never set back in either case.
        persist: Whether a `Rewriter` (`lazymig rewrite`) may rewrite older documents in place. Reads never do, and
            every write stores the newest version in either case.

    Returns:
        The chain, which is frozen.

    Raises:
        ConfigurationError: The chain has no step, a gap or two steps from one version; a key is no positive int; a
            function cannot be called with one argument, or is async; or another argument cannot work.
    """
    chain = Upcasters(_check_steps(steps), field, missing, newer, persist)
    if not (isinstance(field, str) and is_free(field)):
        raise ConfigurationError("upcasters: field: pass the plain name of a field at the top of the documents")
    if missing is not None and not (_is_version(missing) and chain.oldest <= missing <= chain.newest):
        raise ConfigurationError(
            f"upcasters: missing={missing!r}: the chain takes the versions {chain.oldest} to {chain.newest}; pass the "
            "one that a document without the field has, or None to refuse such documents"
        )
    if newer not in ("refuse", "pass"):
        raise ConfigurationError('upcasters: newer: pass "refuse" or "pass"')
    if not isinstance(persist, bool):
        raise ConfigurationError("upcasters: persist: pass True or False")
    return chain


def _is_version(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _check_steps(given: Mapping[int, Upcaster] | Iterable[tuple[int, Upcaster]]) -> dict[int, Upcaster]:
    if not isinstance(given, Iterable):
        raise ConfigurationError("upcasters: pass functions by version, such as {1: split_name, 2: add_country}")
    steps: dict[int, Upcaster] = {}
    for version, function in given.items() if isinstance(given, Mapping) else given:
        if not _is_version(version):
            raise ConfigurationError(f"upcasters: {version!r} is no version; its keys are ints of at least 1")
        if version in steps:
            raise ConfigurationError(f"upcasters: two steps take version {version}; a chain has one step per version")
        _check_step(version, function)
        steps[version] = function
    if not steps:
        raise ConfigurationError("upcasters: pass at least one step; without one there is nothing to bring up")
    gaps = [version for version in range(min(steps), max(steps)) if version not in steps]
    if gaps:
        raise ConfigurationError(f"upcasters: no step takes version {gaps[0]}; the chain must have no gap")
    return dict(sorted(steps.items()))


def _check_step(version: int, function: Upcaster) -> None:
    try:
        step = recognised(f"upcasters[{version}]", function)
        inspect.signature(function).bind({})
    except (TypeError, ValueError, ConfigurationError):
        raise ConfigurationError(f"upcasters[{version}]: pass a function of one argument, the document") from None
    if step.is_async:
        raise ConfigurationError(f"upcasters[{version}]: pass a plain function; reads cannot wait for an upcaster")


def read_version(chain: Upcasters, document: Document) -> int:
    """Return a stored document's version. Raises `Rejected` for one that cannot be brought up.

    A version above the newest is returned only where the chain passes such documents.
    """
    version: object = document.get(chain.field, _MISSING)
    if version is _MISSING:
        if chain.missing is None:
            raise Rejected(f"the document has no version; set {chain.field}", chain.field)
        return chain.missing
    if not isinstance(version, int) or isinstance(version, bool):
        raise Rejected(f"its version is of the type {type(version).__name__}; store an int", chain.field)
    if version > chain.newest and chain.newer == "refuse":
        raise NewerVersion(
            f"it has version {version}, and this release knows {chain.oldest} to {chain.newest}: deploy the release "
            f"that knows version {version}",
            chain.field,
        )
    if version < 1:
        raise Rejected("its version is below 1; store the version that it has", chain.field)
    if version < chain.oldest:
        raise Rejected(
            f"it has version {version}, and the oldest upcaster takes {chain.oldest}: put the upcaster of version "
            f"{version} back",
            chain.field,
        )
    return version


def bring_up(chain: Upcasters, document: Document, options: CodecOptions[Fields]) -> Document:
    """Return a stored document in the newest version, as a read would return it once it is stored so.

    The given document is not changed. It is returned itself where no step is needed. Raises `Rejected`, or what a step
    raises.
    """
    version = read_version(chain, document)
    if version >= chain.newest:
        return document
    made: Fields = {name: deepcopy(value) for name, value in document.items() if name not in OWN_FIELDS}
    made = {"_id": document["_id"], **made}
    while version < chain.newest:
        made = _step(chain, version, made, document["_id"])
        version += 1
        made[chain.field] = version
    _check_names(document, made)
    made |= {name: document[name] for name in (REVISION_FIELD, PART_FIELD, META_FIELD) if name in document}
    if isinstance(document, Damaged):
        return Damaged(made)  # BSON cannot hold the stand-ins in it
    # The class must get what it will get once this is stored: lists for tuples, dates in milliseconds.
    return bson.decode(bson.encode(made), options)


def _step(chain: Upcasters, version: int, document: Fields, id: object) -> Fields:
    made = chain.steps[version](document)
    if not isinstance(made, Mapping):
        raise Rejected(f"the upcaster of version {version} returned {type(made).__name__}; return the document")
    # Compared before it is put back: an upcaster may build a new document without it.
    if made.get("_id", id) != id:
        raise Rejected(f"the upcaster of version {version} changed the id; keep it", "_id")
    return {"_id": id, **{name: value for name, value in made.items() if name != "_id"}}


def _check_names(before: Document, after: Document) -> None:
    """Raise `Rejected` where a name at the top changed that no update can address, or that is lazymig's own."""
    for name in {**before, **after}:
        if name in OWN_FIELDS and name in before and name not in after:
            continue  # lazymig keeps them
        if name == "_id" or (isinstance(name, str) and is_free(name)):
            continue
        if before.get(name, _MISSING) != after.get(name, _MISSING):
            raise Rejected(
                "an upcaster sets or removes a field at the top whose name is reserved or not plain (empty, a dot, a "
                "leading dollar, NUL)"
            )


def stamp(chain: Upcasters, document: Fields) -> None:
    """Set the newest version in a document that an entity was encoded to.

    An entity that was passed on from a newer document, and whose class declares the field, keeps its version.
    """
    held = document.get(chain.field)
    if not (chain.newer == "pass" and isinstance(held, int) and held > chain.newest):
        document[chain.field] = chain.newest


def check_upcasters(chain: object, v1: type, id_field: str) -> None:
    """Raise `ConfigurationError` unless this is a chain that leads to this class."""
    if not isinstance(chain, Upcasters):
        raise ConfigurationError("upcasters: pass what lazymig.upcasters(...) returns")
    if chain.field == id_field:
        raise ConfigurationError(f"upcasters: {id_field!r} is the id; pass the field that holds the version")
    defaults = {one.declared_name or one.name: one.default for one in fields(v1)}
    stated = defaults.get(chain.field)
    if isinstance(stated, int) and stated != chain.newest:
        raise ConfigurationError(
            f"v1: {v1.__name__} gives {chain.field!r} the default {stated}, and the upcasters lead to version "
            f"{chain.newest}; set the default to that"
        )
