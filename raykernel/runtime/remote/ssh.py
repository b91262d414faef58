"""A head that is started over ssh, with the system's `ssh`: keys, agents and ~/.ssh/config count.

    ssh://user@host[:port][/path/to/python]

`start` runs `raykernel head --detach` there, which prints its connection file and goes on by itself
until its time to live is over without a driver, or `stop` ends it; `Forward` is the way to its
port, which listens on that machine alone.
"""

from __future__ import annotations

import contextlib
import re
import shlex
import socket
import subprocess

import msgspec

from .address import Address, AddressError, parse

PREFIX = "ssh://"
#: Seconds for the head's start there; ssh's own limit for reaching the machine is shorter.
_START, _REACH = 60, 10
_STOP = 15
_FORM = re.compile(
    r"ssh://(?P<host>([A-Za-z0-9_.-]+@)?[A-Za-z0-9_][A-Za-z0-9_.-]*)(:(?P<port>\d+))?(?P<python>/.*)?"
)


class Place(msgspec.Struct, frozen=True):
    """Where to go: `python` "" is whatever the `raykernel` command there runs."""

    host: str
    port: str = ""
    python: str = ""

    @property
    def options(self) -> list[str]:
        """No questions: there is nobody to answer them."""
        port = ["-p", self.port] if self.port else []
        return ["-o", "BatchMode=yes", "-o", f"ConnectTimeout={_REACH}", *port]

    @property
    def program(self) -> str:
        """`raykernel` there, for a shell."""
        return f"{shlex.quote(self.python)} -m raykernel" if self.python else "raykernel"


def place(address: str) -> Place:
    """Raises AddressError."""
    found = _FORM.fullmatch(address)
    if found is None:
        raise AddressError(
            f"{address!r} is no ssh address: write ssh://user@host or ssh://user@host:port, and "
            "/path/to/python behind it where `raykernel` is not on the PATH there"
        )
    return Place(found["host"], found["port"] or "", found["python"] or "")


def start(where: Place, ttl: float) -> Address:
    """Start a head there. Blocks, for a minute at most. Raises AddressError."""
    command = f"{where.program} head --detach --listen tcp://127.0.0.1:0 --ttl {ttl:g}"
    try:
        done = _run(where, command, _START)
    except FileNotFoundError:
        raise AddressError("there is no `ssh` command on this machine") from None
    except subprocess.TimeoutExpired:
        raise AddressError(f"no head came up on {where.host} within {_START} s") from None
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-3:]
        hint = ""
        if done.returncode == 255:
            port = f"-p {where.port} " if where.port else ""
            hint = f". Does `ssh {port}{where.host} true` work here, without a question?"
        elif done.returncode == 127 or b"No module named raykernel" in done.stderr:
            hint = (
                ". Install raykernel there, or name the Python that has it: "
                f"ssh://{where.host}/path/to/python"
            )
        raise AddressError(
            f"no head came up on {where.host}: {'; '.join(last) or 'ssh failed'}{hint}"
        )
    # a login's greeting may come before it
    text = done.stdout.decode(errors="replace")
    return parse(text[max(0, text.find("{")) :], f"what {where.host} answered")


def stop(where: Place, session: str) -> None:
    """End the head that `start` started, if it can be reached; its time to live ends it too."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        _run(where, f"{where.program} stop {shlex.quote(session)}", _STOP)


def _run(where: Place, command: str, seconds: float) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["ssh", *where.options, "--", where.host, command],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds, check=False,
    )  # fmt: skip


class Forward:
    """A port of this machine that leads to the head's, for as long as `ssh` runs."""

    def __init__(self, where: Place) -> None:
        self._where = where
        self._process: subprocess.Popen[bytes] | None = None
        self._here = ""

    def ensure(self, target: str) -> str:
        """The address here that leads to `target` there; made anew if ssh has ended. It answers
        once ssh has got through."""
        if self._process is not None:
            if self._process.poll() is None:
                return self._here
            self.close()
        port = target.rpartition(":")[2]
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            here = probe.getsockname()[1]
        # `cat` reads what this process never writes, and ends when it is gone: so does ssh
        self._process = subprocess.Popen(
            [
                "ssh", *self._where.options, "-o", "ExitOnForwardFailure=yes",
                "-o", "ServerAliveInterval=3", "-o", "ServerAliveCountMax=2",
                "-L", f"127.0.0.1:{here}:127.0.0.1:{port}", "--", self._where.host, "cat",
            ],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self._here = f"tcp://127.0.0.1:{here}"
        return self._here

    def close(self) -> None:
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(2)
