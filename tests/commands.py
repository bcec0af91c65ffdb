"""`lazymig` as tests start it: a script that has a warm process run the command, see `command_server.py`.

`SCRIPT` is the script that pip installed, for tests that send signals or look at a terminal. `quick_script()` does the
same for a part of the processor's time: most of a short command is the start of an interpreter and imports.
"""

from __future__ import annotations

import atexit
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

SCRIPT = Path(sys.executable).with_name("lazymig")
_SERVER = Path(__file__).with_name("command_server.py")
#: What an interpreter takes from the environment when it starts; there is a server for each of these. The seed of
#: hashes is left out: nothing printed may depend on it, and Dask sets one for all processes to come.
_WARNINGS = ("", "always::ResourceWarning")
#: Sockets have paths of 107 bytes at most.
_PATH_MAX = 100
#: No imports but of what is compiled into the interpreter: this is started for each command.
_QUICK = """#!/bin/sh
'''exec' '{python}' -IS "$0" "$@"
' '''
import os, sys, _socket
started = {{name: value for name, value in os.environ.items() if name.startswith("PYTHON")}}
started.pop("PYTHONHASHSEED", None)
path = {sockets!r}.get(started.pop("PYTHONWARNINGS", ""))
if path is None or started != {started!r}:
    os.execv({script!r}, [{script!r}, *sys.argv[1:]])
server = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
server.connect(path)
streams = b"".join(number.to_bytes(4, sys.byteorder) for number in range(3))
text = ascii((sys.argv[1:], os.getcwd(), dict(os.environ))).encode() + b"\\n"
sent = server.sendmsg([text], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, streams)])
server.sendall(text[sent:])
code = int(server.recv(100))
if code < 0:
    os.kill(os.getpid(), -code)
sys.exit(code)
"""


@cache
def quick_script() -> Path:
    """The path of a `lazymig` that is quickly there; the one that pip installed where the system has no such means."""
    folder = Path(tempfile.mkdtemp(prefix="lazymig-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    if len(str(folder)) > _PATH_MAX or not has_handles():
        return SCRIPT
    started = {name: value for name, value in os.environ.items() if name.startswith("PYTHON")}
    for name in ("PYTHONWARNINGS", "PYTHONHASHSEED"):
        started.pop(name, None)
    sockets = {warnings: str(folder / str(number)) for number, warnings in enumerate(_WARNINGS)}
    for warnings, path in sockets.items():
        _start(path, {**os.environ, "PYTHONWARNINGS": warnings})
    script = folder / "lazymig"
    script.write_text(_QUICK.format(python=sys.executable, script=str(SCRIPT), sockets=sockets, started=started))
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return script


def has_handles() -> bool:
    """Whether the system has handles of processes: not outside Linux, and not in every container."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return False
    return True


def _start(path: str, environment: dict[str, str]) -> None:
    """Start a server behind this socket; it ends with this process, which then shows what went wrong inside it."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(64)
        server = subprocess.Popen(
            [sys.executable, _SERVER, str(listener.fileno()), SCRIPT], pass_fds=[listener.fileno()], env=environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
    atexit.register(lambda: print(server.communicate()[0], end="", file=sys.stderr))
