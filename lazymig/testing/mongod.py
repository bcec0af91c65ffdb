"""One mongod process on the loopback interface, which ends with this Python process.

`lazymig.testing.server` builds replica sets from such processes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from queue import Empty, Queue
from typing import IO, Any

from pymongo import MongoClient

from lazymig.errors import ConfigurationError, LazymigError
from lazymig.testing.ports import ReservedPort

Client = MongoClient[dict[str, Any]]

#: Long enough for a busy machine; an idle one needs a second.
PATIENCE_S = 60.0
_STOP_S = 15.0
#: The log id of "Waiting for connections", after which mongod answers.
_LISTENING = '"id":23016'
_OPTIONS = (
    *("--bind_ip", "127.0.0.1", "--nounixsocket", "--quiet", "--slowms", "60000"),
    *("--setParameter", "enableTestCommands=1"),
    *("--setParameter", "diagnosticDataCollectionEnabled=false"),
    # Without this, a primary that is terminated waits 15 s for its clients to notice.
    *("--setParameter", "shutdownTimeoutMillisForSignaledShutdown=0"),
    # A drop waits for the journal's next turn, which by default comes only after 100 ms.
    *("--journalCommitInterval", "10"),
    # A journal of 50 MB instead of three files of 100 MB each, which would be memory where the folder is.
    *("--wiredTigerEngineConfigString", "log=(enabled,path=journal,compressor=snappy,prealloc=false,file_max=50MB)"),
)
# The watchdog outlives this process by a moment. When this process's end of the pipe closes, for any reason, it kills
# the server and removes the folder. Each line that it reads is the process id to kill; an empty line means none.
_WATCHDOG = 'last=; while read -r pid; do last=$pid; done; [ -z "$last" ] || kill -9 "$last"; rm -rf "$1"'


class ServerMissing(ConfigurationError, RuntimeError):
    """No mongod found: pip install 'lazymig[server]', or put mongod on PATH, or name one in LAZYMIG_MONGOD."""


class ServerFailed(LazymigError, RuntimeError):
    """mongod did not start; the message ends with the last lines of its log."""


def find_mongod() -> Path:
    """Return the mongod to use: `LAZYMIG_MONGOD` if set, else the one on PATH, else the one of `lazymig[server]`.

    Raises `ServerMissing` if there is none, or if `LAZYMIG_MONGOD` does not name an executable file.
    """
    named = os.environ.get("LAZYMIG_MONGOD")
    if named:
        if not _runs(Path(named)):
            raise ServerMissing("LAZYMIG_MONGOD does not name an executable file; correct it or unset it")
        return Path(named)
    on_path = shutil.which("mongod")
    if on_path:
        return Path(on_path)
    return _bundled()


def _bundled() -> Path:
    # Found on disk and never imported: the full package of that name does much more than contain a server.
    spec = find_spec("fiftyone")
    folders = (spec.submodule_search_locations if spec else None) or ()
    for folder in folders:
        mongod = Path(folder, "db", "bin", "mongod")
        if _runs(mongod):
            return mongod
    raise ServerMissing


def _runs(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def _first(answers: Queue[bool]) -> bool:
    try:
        return answers.get(timeout=PATIENCE_S)
    except Empty:
        return False


class Mongod:
    """One mongod with a temporary folder and a port of its own, which it keeps until `remove()`, also while it is down.

    You can start, stop and kill it repeatedly, and the data remain. When this Python process ends, for any reason, the
    server and the folder are removed. The folder is made in `LAZYMIG_TEST_FOLDER` if that is set.

    Args:
        set_name: The name of its replica set; None for a standalone server.
        cache_gb: The size of WiredTiger's cache in GB.
        options: Further options for mongod's command line.
    """

    def __init__(self, *, set_name: str | None = None, cache_gb: float = 0.5, options: Sequence[str] = ()) -> None:
        self._program = find_mongod()
        self._set_name = set_name
        self._cache_gb = cache_gb
        self._options = tuple(options)
        self._process: subprocess.Popen[str] | None = None
        self._log: deque[str] = deque(maxlen=20)
        self._folder = tempfile.mkdtemp(prefix="lazymig-mongod-", dir=os.environ.get("LAZYMIG_TEST_FOLDER"))
        self._reserved = ReservedPort()
        self._watchdog = subprocess.Popen(
            ["/bin/sh", "-c", _WATCHDOG, "lazymig-watchdog", self._folder],
            stdin=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={"PATH": os.defpath},
        )

    @property
    def port(self) -> int:
        """The port's number."""
        return self._reserved.number

    @property
    def address(self) -> str:
        """The address as `host:port`."""
        return f"127.0.0.1:{self.port}"

    @property
    def alive(self) -> bool:
        """Whether the process is running."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the process, and return when it answers.

        Raises:
            ServerFailed: If it does not answer.
        """
        if self.alive:
            return
        answers: Queue[bool] = Queue()
        # In its own session, so that Ctrl-C reaches the tests and not the server, which they still need.
        process = subprocess.Popen(
            self._command(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )
        self._process = process
        self._inform_watchdog(str(process.pid))
        assert process.stdout is not None
        threading.Thread(target=self._drain, args=(process.stdout, answers), daemon=True).start()
        if not _first(answers):
            self.kill()
            raise ServerFailed(
                "mongod did not start; look for the reason in its log, which ends:\n" + "".join(self._log)
            )

    def terminate(self) -> None:
        """Request a clean end of the process, without waiting for it."""
        if self._process is not None and self.alive:
            self._process.terminate()

    def stop(self) -> None:
        """End the process cleanly. Kill it if that takes longer than 15 s."""
        self.terminate()
        self._wait(_STOP_S)

    def kill(self) -> None:
        """End the process immediately, as `kill -9` does. The data remain on disk."""
        self._wait(0)

    def remove(self) -> None:
        """Kill the process if it is running, and delete its folder. It cannot be started again."""
        self.kill()
        if self._watchdog.stdin and not self._watchdog.stdin.closed:
            self._watchdog.stdin.close()
        self._watchdog.wait()
        self._reserved.release()

    @contextmanager
    def client(self) -> Iterator[Client]:
        """Connect to this process only, in any state of the replica set.

        Yields:
            A synchronous client, which closes at the end of the with statement.
        """
        patience_ms = PATIENCE_S * 1000
        client: Client = MongoClient(self.address, directConnection=True, serverSelectionTimeoutMS=patience_ms)
        with client:
            yield client

    @contextmanager
    def failpoint(
        self, data: Mapping[str, Any], *, times: int | None = None, name: str = "failCommand"
    ) -> Iterator[None]:
        """Enable a failpoint inside a with statement.

        Args:
            data: The failpoint's data, such as `{"failCommands": ["update"], "errorCode": 11602}`.
            times: The number of times that it fires; None for always.
            name: The failpoint's name.

        Yields:
            Nothing.
        """
        mode: Any = "alwaysOn" if times is None else {"times": times}
        with self.client() as client:
            client.admin.command("configureFailPoint", name, mode=mode, data=dict(data))
            try:
                yield
            finally:
                if self.alive:  # a killed server loses its failpoints
                    client.admin.command("configureFailPoint", name, mode="off")

    def _command(self) -> list[str]:
        command = [str(self._program), "--dbpath", self._folder, "--port", str(self.port), *_OPTIONS]
        command += ["--wiredTigerCacheSizeGB", str(self._cache_gb)]
        if self._set_name:
            command += ["--replSet", self._set_name, "--oplogSize", "256"]
        return [*command, *self._options]

    def _drain(self, output: IO[str], answers: Queue[bool]) -> None:
        with output:
            for line in output:
                self._log.append(line)
                if _LISTENING in line:
                    answers.put(True)
        answers.put(False)  # the process ended

    def _wait(self, timeout_s: float) -> None:
        process = self._process
        if process is None:
            return
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._process = None
        self._inform_watchdog("")

    def _inform_watchdog(self, process_id: str) -> None:
        if self._watchdog.stdin and not self._watchdog.stdin.closed:
            self._watchdog.stdin.write(process_id + "\n")
            self._watchdog.stdin.flush()
