"""The coexistence protocol: the only code that orders steps.

Invariant: **a clean V2 document is V1's current revision.** V1 gets revision m only after V2's intent is at least m
(the ticket comes first), and a clean document has `revision == intent`, so V1 cannot be past it. The body was made from
V1 at that revision, so V1 cannot be before it either. One read of V2 is therefore as good as a read of V1. Where V2 has
no answer (absent, dirty, gone), asking V1 is always safe.

A body is a cache of `upgrade(V1)`. A body that an older conversion made, or that the present class cannot read, does
not answer, even if it is clean.

All orders of steps were explored exhaustively (`tests/interleaving/`), with a crash before every step. Explore again
before you change one; the mutants there show what each guard prevents.
"""

from lazymig.protocol.inserting import insert
from lazymig.protocol.reading import exists, read
from lazymig.protocol.repairing import repair
from lazymig.protocol.writing import heal, purge, write

__all__ = ["exists", "heal", "insert", "purge", "read", "repair", "write"]
