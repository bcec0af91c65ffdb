"""A primary that another member takes over from: what the majority does not have by then is gone.

A statement that waits for the majority leaves nothing that it has not, since members take over what is written in its
order. Others do, until the next one that waits. Reads of the majority's state may be as late as that.
"""

from contextlib import ExitStack, contextmanager
from unittest import mock

from lazymig.stores import ledger, mongo_v1, mongo_wholes, v2_alone
from lazymig.testing.exploration.bulk import write_in_bulk
from lazymig.testing.exploration.statement import Statement
from lazymig.testing.explore import Call
from lazymig.testing.memory_collection import MemoryCollection


class Primary(MemoryCollection):
    """A collection as its primary has it, with `majority`, as the majority does."""

    def __init__(self, name, documents=()):
        self.majority = MemoryCollection(name, documents)
        self._waits = self._stays = False
        super().__init__(name, documents)
        #: The same for statements that wait for nobody else.
        self.quick = _Quick(self)
        self._waits = True

    def quickly(self, effect, *arguments):
        """The outcome of a statement that waits for nobody else."""
        waits, self._waits = self._waits, False
        try:
            return effect(*arguments)
        finally:
            self._waits = waits

    def replicate(self):
        """Let the majority have everything."""
        self.majority.restore(self.snapshot())

    def stay(self):
        """Let every statement wait until the run is set back: nobody takes over any more."""
        self.replicate()
        self._stays = True

    def restore(self, snapshot):
        """Restore the contents, and what may happen to them."""
        self._stays = False
        super().restore(snapshot)

    def fall_back(self):
        """Let another member take over."""
        self.restore(self.majority.snapshot())

    def _update_one(self, *arguments):
        return self._awaited(super()._update_one(*arguments))

    def _delete_one(self, *arguments):
        return self._awaited(super()._delete_one(*arguments))

    def _insert_one(self, *arguments):
        return self._awaited(super()._insert_one(*arguments))

    def _replace_one(self, *arguments):
        return self._awaited(super()._replace_one(*arguments))

    def _awaited(self, outcome):
        if self._waits or self._stays:
            self.replicate()
        return outcome


class _Quick:
    def __init__(self, primary):
        self._primary = primary

    def update_one(self, where, update, upsert=False, *, session=None):
        """Change a document."""
        primary = self._primary
        effect = (primary.quickly, primary._update_one)
        return Statement(primary.gate, primary.name, "update_one", *effect, where, update, upsert)

    async def bulk_write(self, requests, ordered=True):
        """Do these writes."""
        assert not ordered
        return await write_in_bulk(self, requests)


FAIL_OVER = "fail over"


def fail_over(primary_of):
    """The call by which another member takes over from the primary of what calls are made on."""

    async def run(s):
        primary = primary_of(s)
        await Statement(primary.gate, primary.name, "fail_over", primary.fall_back)

    return Call(FAIL_OVER, run)


def tuned(collection, *, write=None, read=None, **_options):
    """The collection for these concerns, as a server knows them."""
    if not isinstance(collection, Primary):
        return collection
    if read is not None and read.level == "majority":
        return collection.majority
    return collection.quick if write is not None and write.document.get("w") == 1 else collection


@contextmanager
def concerned():
    """Stores that are opened meanwhile read and write a primary by their concerns."""
    with ExitStack() as stack:
        for module in (ledger, mongo_v1, mongo_wholes, v2_alone):
            stack.enter_context(mock.patch.object(module, "tune", tuned))
        yield
