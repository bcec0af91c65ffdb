"""An empty seventh route: all that a new phase or layout takes is one such file, and one line in the table."""

from __future__ import annotations

from typing import ClassVar

from attrs import frozen

from lazymig.protocol.pair import Pair
from lazymig.routes.route import Route


@frozen
class Seventh(Route[object, object]):
    """Answers nothing yet."""

    pair: Pair[object, object]
    uses_v2: ClassVar[bool] = False
    fills_v2: ClassVar[bool] = False
    serves_v2: ClassVar[bool] = False
    lists_v2: ClassVar[bool] = False
    keeps_v1: ClassVar[bool] = True
