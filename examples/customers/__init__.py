"""A migration of real input: 500 customers of MongoDB's `sample_analytics` data set.

Read `v1.py` and `v2.py` for the two shapes (attrs classes; `examples/customers_in_dataclasses.py` and
`examples/customers_in_pydantic.py` have the same in the other libraries), `conversions.py` and `texts.py` for the way
between them, and `migration.py` for the `Migration`. `data.py` holds the documents and makes up further customers.
"""

from .conversions import downgrade, upgrade
from .data import load_documents, new_customer
from .migration import migration
from .v1 import CustomerV1, TierDetails
from .v2 import CustomerV2, Level, MilitaryAddress, Name, PostOffice, Region, StreetAddress, Tier

__all__ = [
    "CustomerV1",
    "CustomerV2",
    "Level",
    "MilitaryAddress",
    "Name",
    "PostOffice",
    "Region",
    "StreetAddress",
    "Tier",
    "TierDetails",
    "downgrade",
    "load_documents",
    "migration",
    "new_customer",
    "upgrade",
]
