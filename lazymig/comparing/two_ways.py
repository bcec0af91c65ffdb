"""The comparison of V2 bodies that two ways make of one V1 document: `upgrade`, and the server's aggregation."""

from __future__ import annotations

from typing import Generic, TypeVar, cast

from lazymig.comparing.checks import UPGRADE
from lazymig.comparing.failures import CheckFailed, describe, describe_unmoved, encoding
from lazymig.comparing.schema import schema_of
from lazymig.comparing.sides import Rules, has_same_bytes
from lazymig.errors import ConversionError
from lazymig.shapes.codec import Codec
from lazymig.shapes.conversions import Conversions
from lazymig.stores.records import Document, StoredV1, Unmoved
from lazymig.stores.verdicts import Difference

V1 = TypeVar("V1")
V2 = TypeVar("V2")


class TwoWays(Generic[V1, V2]):
    """Compares what another way makes of V1's documents with what `upgrade` makes of them.

    Types and values must be the same to BSON. The order of keys does not count, as in a verification: no class looks at
    it.
    """

    def __init__(self, conversions: Conversions[V1, V2]) -> None:
        self._conversions = conversions
        schema = schema_of(cast(Codec[object], conversions.v2))
        self._rules = Rules(schema, not conversions.v2.names.opaque, (), ordered=False, show_values=False)

    async def find_differences(self, truth: StoredV1, found: Document) -> tuple[str, ...]:
        """Return how the body that was found differs from what `upgrade` makes, in words; empty if it does not."""
        try:
            made = await self._conversions.upgraded(truth, None)
            if isinstance(made, Unmoved):
                return (f"{describe_unmoved(made)}, and the pipeline makes a body",)
            body = self._conversions.v2_body(made)
            with encoding(UPGRADE):
                if has_same_bytes(body, found, ordered=False, known=None):
                    return ()
                judgement = self._rules.judge(body, found)
        except (ConversionError, CheckFailed) as error:
            return (f"{describe(error)}, and the pipeline makes a body",)
        return tuple(map(_describe, judgement.differences))


def _describe(one: Difference) -> str:
    if one.expected == one.found:
        return f"{one.path} has another value ({one.found})"
    return f"{one.path} is {one.expected} by upgrade and {one.found} by the pipeline"
