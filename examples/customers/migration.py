"""The migration of the customers, ready for `lazymig.Repository`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import evolve
from cattrs import Converter

from lazymig import Migration, make_converter

from .conversions import downgrade, upgrade
from .v1 import USUAL_KEY_ORDER, CustomerV1, TierDetails
from .v2 import CustomerV2


def make_v1_converter(
    customer: type[Any] = CustomerV1, tier: type[Any] = TierDetails, change: Callable[..., Any] = evolve
) -> Converter:
    """lazymig's own converter, which also omits an absent `active` and keeps the key order of each tier.

    It wraps the hooks that lazymig makes for the two classes, so that these may be of any library; `change` is how the
    library makes a changed copy.
    """
    converter = make_converter()
    _keep_key_order(converter, tier, change)
    _omit_absent_active(converter, customer)
    return converter


def _omit_absent_active(converter: Converter, cls: type[Any]) -> None:
    # cattrs' own `omit_if_default` would move the key to the end where it is present.
    write = converter.get_unstructure_hook(cls)

    def unstructure(customer: Any) -> dict[str, Any]:
        document: dict[str, Any] = write(customer)
        if customer.active is None:
            del document["active"]
        return document

    converter.register_unstructure_hook(cls, unstructure)


def _keep_key_order(converter: Converter, cls: type[Any], change: Callable[..., Any]) -> None:
    read, write = converter.get_structure_hook(cls), converter.get_unstructure_hook(cls)

    def structure(document: dict[str, Any], kind: type[Any]) -> Any:
        # A fifth key would be lost on the way back, so a tier that has one is refused.
        if len(document) > len(USUAL_KEY_ORDER):
            raise ValueError("a tier has other keys than the four")
        return change(read(document, kind), key_order=tuple(document))

    def unstructure(details: Any) -> dict[str, Any]:
        document = write(details)
        return {key: document[key] for key in details.key_order}

    converter.register_structure_hook(cls, structure)
    converter.register_unstructure_hook(cls, unstructure)


migration = Migration(
    name="customers",
    v1=CustomerV1,
    v2=CustomerV2,
    upgrade=upgrade,
    downgrade=downgrade,
    v1_converter=make_v1_converter(),
)
