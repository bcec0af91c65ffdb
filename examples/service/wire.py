"""Entities as JSON: what clients send and get.

The attrs classes of the migration are the schema, so there is no second declaration to keep in step. Like the stored
documents, JSON is taken literally: "5" is no number, and a field that the class does not have is refused.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

import attrs
from attrs import frozen
from bson import ObjectId
from cattrs import BaseValidationError, Converter, transform_error
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override
from cattrs.preconf.json import make_converter
from cattrs.v import format_exception

from examples.customers import CustomerV1, CustomerV2, TierDetails

E = TypeVar("E", bound=attrs.AttrsInstance)


class BadInput(Exception):
    """What a client sent is not what this version of the service speaks. `reasons` name the fields."""

    def __init__(self, reasons: list[str]) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons


@frozen
class Wire(Generic[E]):
    """One entity class as JSON."""

    cls: type[E]
    converter: Converter

    def write(self, entity: E) -> dict[str, Any]:
        """The entity as JSON."""
        written: dict[str, Any] = self.converter.unstructure(entity, self.cls)
        return written

    def read(self, fields: Mapping[str, Any]) -> E:
        """A new entity, with an id of its own if the client chose none. Raises `BadInput`."""
        entity: E = self._structured({"id": str(ObjectId()), **fields}, self.cls)
        return entity

    def patched(self, entity: E, fields: Mapping[str, Any]) -> E:
        """The entity with these fields replaced as a whole, and the others left exactly as they are.

        Raises `BadInput` for an unknown field or value, and for the id, which an entity keeps.
        """
        kinds = {attribute.name: attribute.type for attribute in attrs.fields(self.cls) if attribute.name != "id"}
        if strangers := sorted(fields.keys() - kinds.keys()):
            raise BadInput([f"{name}: cannot be changed" for name in strangers])
        values = {name: self._structured(value, kinds[name], name) for name, value in fields.items()}
        try:
            return attrs.evolve(entity, **values)  # type: ignore[misc] # mypy wants one concrete class
        except ValueError as refusal:  # a validator of the class
            raise BadInput([str(refusal)]) from None

    def _structured(self, value: Any, kind: Any, path: str = "$") -> Any:
        try:
            return self.converter.structure(value, kind)
        except BaseValidationError as refusal:
            raise BadInput(transform_error(refusal, path, _reason)) from None
        except (ValueError, TypeError) as refusal:
            raise BadInput([f"{_reason(refusal, kind)} @ {path}"]) from None


def wire_of(cls: type[E]) -> Wire[E]:
    """The JSON form of an entity class."""
    return Wire(cls, _CONVERTER)


def _reason(refusal: BaseException, kind: type | None) -> str:
    # The classes' own validators and the hooks below say what they expect; cattrs' words serve for the rest.
    return str(refusal) if type(refusal) in (ValueError, TypeError) else format_exception(refusal, kind)


def _exactly(kind: type) -> Any:
    def structure(value: Any, _: Any) -> Any:
        if type(value) is kind:
            return value
        raise TypeError(f"expected {kind.__name__}, found {type(value).__name__}")

    return structure


def _object_id(value: Any, _: Any) -> ObjectId:
    if isinstance(value, str) and ObjectId.is_valid(value):
        return ObjectId(value)
    raise ValueError("expected an id of 24 hexadecimal digits")


def _moment(value: Any, _: Any) -> dt.datetime:
    try:
        moment = dt.datetime.fromisoformat(value)
        in_utc = moment.astimezone(dt.UTC)
    except (TypeError, ValueError, OverflowError):
        raise ValueError("expected a moment like 1977-03-02T02:20:31Z") from None
    if moment.tzinfo is None:
        raise ValueError("expected a moment with its offset from UTC")
    if moment.microsecond % 1000:
        raise ValueError("expected a moment in whole milliseconds")
    return in_utc.replace(tzinfo=None)  # as V1 has it


def _day(value: Any, _: Any) -> dt.date:
    try:
        return dt.date.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValueError("expected a day like 1977-03-02") from None


def _json() -> Converter:
    converter = make_converter(forbid_extra_keys=True)
    for kind in (str, int, bool):
        converter.register_structure_hook(kind, _exactly(kind))
    converter.register_structure_hook(ObjectId, _object_id)
    converter.register_unstructure_hook(ObjectId, str)
    converter.register_structure_hook(dt.date, _day)
    converter.register_structure_hook(dt.datetime, _moment)
    converter.register_unstructure_hook(dt.datetime, lambda moment: moment.isoformat(timespec="milliseconds") + "Z")
    # How a stored document orders the keys of a tier is no business of its clients.
    inside = override(omit=True)
    converter.register_structure_hook(
        TierDetails, make_dict_structure_fn(TierDetails, converter, _cattrs_forbid_extra_keys=True, key_order=inside)
    )
    converter.register_unstructure_hook(TierDetails, make_dict_unstructure_fn(TierDetails, converter, key_order=inside))
    return converter


_CONVERTER = _json()

V1_WIRE = wire_of(CustomerV1)
V2_WIRE = wire_of(CustomerV2)
