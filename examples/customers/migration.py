"""The migration of the customers, ready for `lazymig.Repository`."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from cattrs import Converter
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from lazymig import Migration, make_converter

from .conversions import downgrade, upgrade
from .v1 import CustomerV1, TierDetails
from .v2 import CustomerV2


def make_v1_converter() -> Converter:
    """lazymig's own converter, which also omits an absent `active` and keeps the key order of each tier."""
    converter = make_converter()
    _keep_key_order(converter)
    _omit_absent_active(converter)
    return converter


def _omit_absent_active(converter: Converter) -> None:
    # cattrs' own `omit_if_default` would move the key to the end where it is present.
    write = make_dict_unstructure_fn(CustomerV1, converter)

    def unstructure(customer: CustomerV1) -> dict[str, Any]:
        document = write(customer)
        if customer.active is None:
            del document["active"]
        return document

    converter.register_unstructure_hook(CustomerV1, unstructure)


def _keep_key_order(converter: Converter) -> None:
    not_stored = override(omit=True)
    # A fifth key would be lost on the way back, so a tier that has one is refused.
    read = make_dict_structure_fn(TierDetails, converter, _cattrs_forbid_extra_keys=True, key_order=not_stored)
    write = make_dict_unstructure_fn(TierDetails, converter, key_order=not_stored)

    def structure(document: dict[str, Any], kind: type[TierDetails]) -> TierDetails:
        return evolve(read(document, kind), key_order=tuple(document))

    def unstructure(details: TierDetails) -> dict[str, Any]:
        document = write(details)
        return {key: document[key] for key in details.key_order}

    converter.register_structure_hook(TierDetails, structure)
    converter.register_unstructure_hook(TierDetails, unstructure)


migration = Migration(
    name="customers",
    v1=CustomerV1,
    v2=CustomerV2,
    upgrade=upgrade,
    downgrade=downgrade,
    v1_converter=make_v1_converter(),
)
