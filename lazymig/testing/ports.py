"""Ports of the loopback interface that stay one's own between their choice and their use."""

from __future__ import annotations

import socket
import sys
from types import TracebackType


class ReservedPort:
    """A loopback port on which nothing listens until the server for which it is kept, and afterwards nothing again.

    A port that was only found free can be another process's a moment later: its server's, or the near end of one of
    its connections. So a socket stays bound to this one. The system then gives it to nobody, but a server that asks
    for it by number can listen on it, since both allow the address's reuse, as servers do. Only Linux shares a port
    in that way; elsewhere the port is released before its use, and can be lost.
    """

    def __init__(self) -> None:
        self._holder = socket.socket()
        self._holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._holder.bind(("127.0.0.1", 0))
        self.number = int(self._holder.getsockname()[1])
        if sys.platform != "linux":
            self._holder.close()

    def release(self) -> None:
        """Give the port back."""
        self._holder.close()

    def __enter__(self) -> ReservedPort:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
