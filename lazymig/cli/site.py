"""Where `lazymig serve` serves, who may act there, and what steps demand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from lazymig.web import Authorize


@frozen
class Site:
    """One address of the page.

    Attributes:
        host: The address at which it listens.
        port: The port; 0 takes any that is free.
        authorize: Says who may act; None where nobody may.
        soak_s: Seconds for which verifications must have found nothing before V2 is trusted.
        max_age_s: Seconds that the last full verification may be old then.
    """

    host: str
    port: int
    authorize: Authorize | None
    soak_s: float
    max_age_s: float
