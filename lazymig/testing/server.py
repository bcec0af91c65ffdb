"""A real MongoDB for tests and demonstrations, started in about a second.

    with Server() as server:
        client = AsyncMongoClient(server.uri)

The servers listen on the loopback interface only, keep their data in a temporary folder, and end with this process.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Self

from attrs import frozen

from lazymig.testing import electing
from lazymig.testing.mongod import Mongod

__all__ = ["External", "ReplicaSet", "Server"]

_SET_NAME = "lazymig"
#: MongoDB's own time without a primary before an election. No stall of a busy machine comes near it.
_CALM_S = 10.0


@frozen
class External:
    """A server that this process did not start, with its connection string."""

    uri: str


class _Fleet(ABC):
    """One or more processes with one address."""

    def __init__(self, election_s: float = _CALM_S) -> None:
        self._members: tuple[Mongod, ...] = ()
        self._election_s = election_s

    @abstractmethod
    def start(self) -> Self:
        """Start, and return when a primary accepts writes."""

    @property
    def members(self) -> Sequence[Mongod]:
        """The processes, each of which can be killed and started separately.

        Raises:
            RuntimeError: The server was not started.
        """
        if not self._members:
            raise RuntimeError("the server is not running; call start() or use it in a with statement")
        return self._members

    @property
    def uri(self) -> str:
        """The connection string. `restart()` keeps it, and `stop()` followed by `start()` changes it."""
        return "mongodb://" + ",".join(member.address for member in self.members) + self._options

    @property
    def _options(self) -> str:
        return f"/?replicaSet={_SET_NAME}"

    def stop(self) -> None:
        """End all processes and delete their data. Do nothing if no process is running."""
        for member in self._members:
            # Killed: a clean end would first write down what is deleted then, which takes seconds after many tests.
            member.remove()
        self._members = ()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _launch(self, members: tuple[Mongod, ...]) -> None:
        self._members = members
        try:
            for member in members:
                member.start()
            self._initiate()
        except BaseException:
            self.stop()
            raise

    def _initiate(self) -> None:
        electing.start_set(_SET_NAME, self._members, self.uri, election_s=self._election_s)


class Server(_Fleet):
    """One mongod, either standalone or as a replica set with sessions, transactions and change streams.

    Use it as a context manager, or call `start` and `stop`. A stopped server can be started again, and is then empty.

    Args:
        replica_set: False for a standalone server.
        cache_gb: The size of WiredTiger's cache in GB.
    """

    def __init__(self, *, replica_set: bool = True, cache_gb: float = 0.5) -> None:
        super().__init__()
        self._replica_set = replica_set
        self._cache_gb = cache_gb

    @property
    def port(self) -> int:
        """The loopback port.

        Raises:
            RuntimeError: The server was not started.
        """
        return self.members[0].port

    @property
    def _options(self) -> str:
        return super()._options if self._replica_set else "/"

    def start(self) -> Self:
        """Start with an empty folder, and return when the server accepts writes, in about a second.

        Returns:
            The server itself.

        Raises:
            ServerMissing: If there is no mongod to start.
            ServerFailed: If it does not start.
        """
        if not self._members:
            self._launch((Mongod(set_name=_SET_NAME if self._replica_set else None, cache_gb=self._cache_gb),))
        return self

    def kill(self) -> None:
        """End the process as `kill -9` does. The data remain on disk; `restart()` recovers what the journal holds."""
        self.members[0].kill()

    def restart(self) -> None:
        """Restart with the same data and port, and return when the server accepts writes. Stop it first if it runs."""
        self.members[0].stop()
        self.members[0].start()
        with electing.follow(self.uri) as client:
            client.admin.command("ping")

    def failpoint(self, data: Mapping[str, Any], *, times: int | None = None) -> AbstractContextManager[None]:
        """Make commands fail inside a with statement.

        Args:
            data: MongoDB's `failCommand` data, such as `{"failCommands": ["update"], "closeConnection": True}`.
            times: The number of commands that fail; None for all.

        Returns:
            The context manager.
        """
        return self.members[0].failpoint(data, times=times)

    def _initiate(self) -> None:
        if self._replica_set:
            super()._initiate()


class ReplicaSet(_Fleet):
    """A replica set of several mongods on the loopback interface. Each can be elected.

    Use it as a context manager, or call `start` and `stop`.

    Args:
        members: The number of mongods.
        cache_gb: The size of each mongod's WiredTiger cache in GB.
        election_s: The time without a primary after which the others elect one. Pass 10, MongoDB's default, where no
            primary is killed: a machine that stalls for a second then causes no election.
    """

    def __init__(self, members: int = 3, *, cache_gb: float = 0.25, election_s: float = 1.0) -> None:
        super().__init__(election_s)
        self._size = members
        self._cache_gb = cache_gb

    def start(self) -> Self:
        """Start with empty folders, and return when a primary accepts writes and every member follows it.

        Returns:
            The replica set itself.

        Raises:
            ServerMissing: If there is no mongod to start.
            ServerFailed: If one does not start.
        """
        if not self._members:
            size = range(self._size)
            self._launch(tuple(Mongod(set_name=_SET_NAME, cache_gb=self._cache_gb) for _ in size))
        return self

    @property
    def primary(self) -> Mongod:
        """The present primary. If there is none, reading this waits for one."""
        return self._at(electing.reign(self.uri).address)

    def step_down(self) -> Mongod:
        """Make the primary step down, and wait a second or two until another member is elected.

        Writes that the majority has acknowledged remain. Others may be rolled back.

        Returns:
            The member that was elected.
        """
        return self._at(electing.step_down(self.uri, self.members))

    def kill_primary(self) -> Mongod:
        """End the primary as `kill -9` does. The others elect a new one.

        Returns:
            The killed member, whose `start()` brings it back.
        """
        primary = self.primary
        primary.kill()
        return primary

    def _at(self, address: str) -> Mongod:
        return next(member for member in self.members if member.address == address)
