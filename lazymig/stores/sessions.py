"""What lazymig asks of the user's sessions."""

from __future__ import annotations

from collections.abc import Hashable

from lazymig.stores.given import Session


def transaction_of(session: Session) -> Hashable | None:
    """Return what identifies the transaction that is open in a session; None where none is open.

    Drivers number a session's transactions and show the number nowhere in their public interface. Where it cannot be
    found, transactions that follow each other without a pause look like one.
    """
    if not getattr(session, "in_transaction", False):
        return None
    own = getattr(session, "delegate", session)  # Motor wraps PyMongo's
    number: Hashable = getattr(own, "_transaction_id", None)
    return ("transaction", number)
