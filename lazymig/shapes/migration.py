"""`Migration`: two classes and the conversions between them, checked when it is built."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Generic, TypeAlias, TypeVar, cast

from attrs import field, frozen
from bson import ObjectId
from cattrs import Converter

from lazymig.errors import ConfigurationError
from lazymig.shapes.declared import check_entity_class, check_revision
from lazymig.shapes.entities import fields
from lazymig.shapes.id_types import check_sendable, find_id_types
from lazymig.shapes.leaving import Leave
from lazymig.shapes.parts import check_part
from lazymig.shapes.signatures import Conversion, check_annotations, recognised
from lazymig.shapes.type_checks import check_class
from lazymig.shapes.upcasting import Upcasters, check_upcasters
from lazymig.shapes.upgrade_pipelines import PipelineStage, check_pipeline_fits, freeze_pipeline

V1 = TypeVar("V1")
V2 = TypeVar("V2")
E = TypeVar("E")

Given = TypeVar("Given")
Other = TypeVar("Other")
#: `f(entity) -> other`, or `f(entity, other_or_None) -> other`; either may be async. All four are written out, so that
#: type checkers accept lambdas.
Function: TypeAlias = (
    Callable[[Given], Other]
    | Callable[[Given], Awaitable[Other]]
    | Callable[[Given, Other | None], Other]
    | Callable[[Given, Other | None], Awaitable[Other]]
)

#: An `upgrade`, which may also leave an entity.
Upgrade: TypeAlias = (
    Function[Given, Other]
    | Callable[[Given], Other | Leave]
    | Callable[[Given], Awaitable[Other | Leave]]
    | Callable[[Given, Other | None], Other | Leave]
    | Callable[[Given, Other | None], Awaitable[Other | Leave]]
)


@frozen(kw_only=True)
class Migration(Generic[V1, V2]):
    """The old entity, the new entity, and the two conversions between them.

    A migration is frozen, and checked when it is built. The conversions must be deterministic and free of side effects,
    since they may run more than once for one write, and they must keep the id. Both may be async.
    `lazymig.testing.assert_laws` checks them.

    Args:
        name: The name of the migration, which its control row and its metrics use.
        v1: The old entity class: an attrs class, a dataclass or a pydantic model (see docs/entities.md).
        v2: The new entity class.
        upgrade: `f(v1) -> v2`, or `f(v1, previous_v2_or_None) -> v2` to keep values that V1 cannot express. It raises
            `NotYet` for an entity that needs input of its user, and returns `LEAVE` for one that V2 does not take over.
        downgrade: `f(v2) -> v1`, or `f(v2, current_v1_or_None) -> v1`. The second form costs an update one more round
            trip, because it must read V1.
        id_field: The attribute of both classes that is stored as `_id`.
        revision: The revision of the conversions and of V2's class. Raise it by one whenever either changes. V2's
            bodies of an older revision are no longer used: each is made again from V1 when it is first accessed, or by
            the next sweep.
        reshape: Functions `f(body) -> v2` by older revision, for an `upgrade` that takes the previous V2 entity and
            for older bodies that do not decode as today's class. `body` is the stored document without lazymig's own
            field. With `None` in place of a function, a body that does not decode is dropped. Without an entry, its
            entity is not converted but reported, and the V1 view continues to serve it.
        v1_converter: A cattrs converter for V1's documents, in place of `make_converter()`.
        v2_converter: A cattrs converter for V2's documents, in place of `make_converter()`.
        upcasters: What brings V1's documents of older versions up to the V1 class; see `lazymig.upcasters`.
        v2_within: The name of a sub-document that holds V2's part, for `Repository.in_place` where a name means two
            things. Retirement lifts its fields out.
        part: V1's class declares some fields of documents that have others as well. Only these move; the entity exists
            in V1 while its document has one of them.
        upgrade_pipeline: Aggregation stages that make V2's body of a V1 document as `upgrade` does, so that a sweep may
            let the server convert (see docs/how-to/server-side.md). A document that they leave out is converted by
            `upgrade`. Not where `upgrade` takes the previous V2 entity.

    Raises:
        ConfigurationError: The message says what to change. A class is not an entity class, or its declaration cannot
            be stored; the id attribute is missing, or its type cannot be an id; a conversion takes another number of
            arguments, or its annotations do not fit; BSON cannot hold a type exactly, or a converter has no hook for
            it; or no document can hold a stored name.
    """

    name: str
    v1: type[V1]
    v2: type[V2]
    upgrade: Upgrade[V1, V2]
    downgrade: Function[V2, V1]
    id_field: str = "id"
    revision: int = 1
    reshape: Mapping[int, Callable[[dict[str, Any]], V2] | None] = field(factory=dict)
    v1_converter: Converter | None = None
    v2_converter: Converter | None = None
    upcasters: Upcasters | None = None
    v2_within: str | None = None
    part: bool = False
    upgrade_pipeline: Sequence[PipelineStage] = ()
    _upgrading: Conversion = field(init=False, eq=False, repr=False)
    _downgrading: Conversion = field(init=False, eq=False, repr=False)
    #: The Python types that an id may have.
    _id_types: tuple[type, ...] = field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise ConfigurationError("name: give the migration a non-empty name; it names its control row and metrics")
        check_revision(self.revision, self.reshape)
        for side, cls, own in (("v1", self.v1, self.v1_converter), ("v2", self.v2, self.v2_converter)):
            check_entity_class(side, cls, self.id_field)
            check_class(side, cls, self.id_field, own)
        if self.upcasters is not None:
            check_upcasters(self.upcasters, self.v1, self.id_field)
        if self.part:
            check_part(self.part, self.name, self.v1, self.id_field, self.v1_converter, self.upcasters)
        if find_id_types(self.v1, self.id_field) != find_id_types(self.v2, self.id_field):
            raise ConfigurationError(f"{self.id_field}: declare the same id type in both classes; one id names both")
        object.__setattr__(self, "_upgrading", recognised("upgrade", self.upgrade))
        object.__setattr__(self, "_downgrading", recognised("downgrade", self.downgrade))
        check_annotations("upgrade", self.upgrade, self.v1, self.v2)
        check_annotations("downgrade", self.downgrade, self.v2, self.v1)
        object.__setattr__(self, "_id_types", find_id_types(self.v2, self.id_field))
        object.__setattr__(self, "upgrade_pipeline", freeze_pipeline(self.upgrade_pipeline))
        if self.upgrade_pipeline:
            check_pipeline_fits(
                takes_previous=self._upgrading.takes_other, has_upcasters=self.upcasters is not None, part=self.part
            )

    @staticmethod
    def upcasting(
        name: str, cls: type[E], upcasters: Upcasters, *, id_field: str = "id", converter: Converter | None = None
    ) -> Migration[E, E]:
        """Return a migration for one collection alone: older documents are brought up on read, and there is no V2.

        Its repository needs no `v2` and runs in `Phase.V1_ONLY`.

        Args:
            name: The name of the migration, which its control row and its metrics use.
            cls: The entity class, which describes documents of the newest version.
            upcasters: The chain that `lazymig.upcasters` returns.
            id_field: The attribute of the class that is stored as `_id`.
            converter: A cattrs converter for the documents, in place of `make_converter()`.

        Returns:
            The migration.

        Raises:
            ConfigurationError: As `Migration` raises it.
        """
        return Migration(
            name=name, v1=cls, v2=cls, upgrade=_unchanged, downgrade=_unchanged, id_field=id_field,
            v1_converter=converter, v2_converter=converter, upcasters=upcasters,
        )  # fmt: skip

    @staticmethod
    def finished(
        name: str, *, v2: type[E], id_field: str = "id", converter: Converter | None = None
    ) -> Migration[E, E]:
        """Return a migration whose V1 is gone: for a release that no longer has V1's class and the conversions.

        Its repository needs no `v1` and runs in `Phase.V2_ONLY` alone. Deploy it once V1 is dropped.

        Args:
            name: The name that the migration always had.
            v2: The entity class.
            id_field: The attribute of the class that is stored as `_id`.
            converter: A cattrs converter for the documents, in place of `make_converter()`.

        Returns:
            The migration.

        Raises:
            ConfigurationError: As `Migration` raises it.
        """
        return Migration(
            name=name, v1=v2, v2=v2, upgrade=_kept, downgrade=_kept, id_field=id_field,
            v1_converter=converter, v2_converter=converter,
        )  # fmt: skip

    def reversed(self, name: str) -> Migration[V2, V1]:
        """Return the migration that leads back from V2, once this one has ended: the classes and conversions exchanged.

        V2's collection is its V1, and an empty collection its V2. `upgrade` is this migration's `downgrade`. Its
        conversions are at revision 1: its bodies are new. Raise that by `attrs.evolve(..., revision=2)`.

        Args:
            name: Another name. The control collection keeps the two apart by it.

        Returns:
            The migration.

        Raises:
            ConfigurationError: There are no two classes; the name is the same; or V1's class does not declare the
                version that its documents carry, so that those of the way back would be taken for the oldest.
        """
        _check_reversible(self, name)
        # On the way back it is a `downgrade`, which leaves no entity: one that it would leave is a `ConversionError`.
        back = cast(Function[V1, V2], self.upgrade)
        return Migration(
            name=name, v1=self.v2, v2=self.v1, upgrade=self.downgrade, downgrade=back, id_field=self.id_field,
            v1_converter=self.v2_converter, v2_converter=self.v1_converter,
        )  # fmt: skip

    def check_id(self, id: Any) -> None:
        """Raise an error unless a value can be an id of this migration, before it reaches a driver.

        Args:
            id: The value.

        Raises:
            TypeError: It is not an instance of the id attribute's type, or it is too large to be stored or not valid
                text.
        """
        if id.__class__ is ObjectId and ObjectId in self._id_types:
            return  # most ids by far, and each can be sent
        fits = isinstance(id, self._id_types) and (bool in self._id_types or not isinstance(id, bool))
        if not fits or type(id).__hash__ is None:  # a `Code` is a `str`, and no key of a dict
            expected = " or ".join(kind.__name__ for kind in self._id_types)
            raise TypeError(f"an id of {self.name} is {expected}, not {type(id).__name__}; pass the id's own value")
        check_sendable(id, self.name)


def _unchanged(entity: E) -> E:
    return entity


def _kept(entity: E) -> E:
    return entity


def is_upcasting_only(migration: Migration[V1, V2]) -> bool:
    """Return whether `Migration.upcasting` made it: there is one class, and no V2."""
    return migration.upgrade is _unchanged


def is_finished(migration: Migration[V1, V2]) -> bool:
    """Return whether `Migration.finished` made it: there is one class, and no V1."""
    return migration.upgrade is _kept


def get_upgrading(migration: Migration[V1, V2]) -> Conversion:
    """Return `upgrade` with its recognised signature."""
    return migration._upgrading


def get_downgrading(migration: Migration[V1, V2]) -> Conversion:
    """Return `downgrade` with its recognised signature."""
    return migration._downgrading


def get_id_types(migration: Migration[V1, V2]) -> tuple[type, ...]:
    """Return the Python types that an id of this migration may have."""
    return migration._id_types


def _check_reversible(migration: Migration[V1, V2], name: str) -> None:
    if is_finished(migration) or is_upcasting_only(migration):
        raise ConfigurationError("reversed: the migration has one class only, so there is no shape to go back to")
    if name == migration.name:
        raise ConfigurationError("reversed: give the way back a name of its own; the control collection still has this")
    if migration.part:
        raise ConfigurationError(
            "reversed: the way back would store entities in parts of documents, which no migration's V2 can; roll back "
            "before v2_only, or write the fields back by the application"
        )
    chain = migration.upcasters
    if chain is None:
        return
    declared = {one.declared_name or one.name: one.default for one in fields(migration.v1)}
    if declared.get(chain.field) != chain.newest:
        raise ConfigurationError(
            f"reversed: V1's documents carry their version in {chain.field!r}, which {migration.v1.__name__} does not "
            f"declare; declare it with the default {chain.newest}, or what the way back stores counts as the oldest"
        )
