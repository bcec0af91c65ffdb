"""The coexistence protocol: the only code that orders steps.

Invariant: **a clean V2 document is V1's current revision.** V1 moves to revision m only after V2's intent is at least m
(the ticket comes first), and a clean document has `revision == intent`: so V1 cannot be past it, and since the body
came from V1 at that revision, V1 cannot be before it either. So one read of V2 is as good as a read of V1; and V2
saying nothing (absent, dirty, gone) is always safe: ask V1.

A body is a cache of `upgrade(V1)`: one that an older conversion made may be clean and still does not answer, and
neither does one that today's class cannot read.

Every order below was explored exhaustively (`tests/interleaving/`), with a crash before every step. Do not change one
without exploring it again; the mutants there show what each guard is for.
"""

from lazymig.protocol.inserting import insert
from lazymig.protocol.reading import exists, read
from lazymig.protocol.writing import heal, purge, write

__all__ = ["exists", "heal", "insert", "purge", "read", "write"]
