"""A head that a notebook starts over ssh: with an ssh server of our own on this machine, which
knows one key; and where things go wrong.

`ssh` is the system's. It is told by its own configuration where the server is and which key to use,
as a user's ~/.ssh/config would; that of whoever runs the tests stays out of it.
"""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import raykernel
from raykernel import lifetime
from raykernel.runtime import context, session
from raykernel.runtime.remote import attaching, ssh
from tests.footprint import MARK
from tests.integration.kernels import kernel

pytestmark = pytest.mark.sshd

_SERVER = """
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/user.pub
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
PidFile none
SetEnv {mark} PYTHONPATH={path}
"""
_CLIENT = """
Host big
    HostName 127.0.0.1
    Port {port}
Host *
    User {user}
    IdentityFile {folder}/user
    IdentitiesOnly yes
    UserKnownHostsFile {folder}/known
    StrictHostKeyChecking accept-new
    LogLevel ERROR
"""
HERE = sys.executable


class Server:
    """An ssh server. `port` is where it listens; `config` is for its clients."""

    def __init__(self, folder: Path) -> None:
        sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
        if sshd is None:
            pytest.fail(
                "no ssh server was found (`apt-get install openssh-server`). Or leave these tests "
                "out: `pytest -m 'not sshd'`.",
                pytrace=False,
            )
        for name in ("host", "user", "stranger"):
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
            subprocess.run(command, check=True, timeout=20)
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port: int = probe.getsockname()[1]
        self.config = folder / "client"
        about = {"folder": folder, "port": self.port, "user": getpass.getuser()}
        self.config.write_text(_CLIENT.format(**about))
        root = Path(__file__).parents[2]
        mark = f"{MARK}={os.environ[MARK]}"
        (folder / "server").write_text(_SERVER.format(**about, path=root, mark=mark))
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where it asks for that
        self._log = (folder / "log").open("wb")
        self._process = subprocess.Popen(
            [sshd, "-D", "-e", "-f", str(folder / "server")], stderr=self._log
        )
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                log = (folder / "log").read_text()
                assert self._process.poll() is None, log
                assert time.monotonic() < deadline, log
                time.sleep(0.02)

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(10)
        self._log.close()


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, _module_leaves_nothing: object
) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("sshd"))
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _our_configuration(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = shutil.which("ssh")
    wrapper = tmp_path / "ssh"
    wrapper.write_text(f'#!/bin/sh\nexec {real} -F {server.config} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")


def gone(name: str) -> bool:
    """Whether a session ends soon."""
    deadline = time.monotonic() + 20
    while (session.root() / name).exists():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_a_notebook_starts_a_session_there_and_ends_it(server: Server) -> None:
    with kernel() as k:
        k.run("%load_ext raykernel\nimport raykernel as ray")
        started = k.text(k.run(f"%ray start --ssh 127.0.0.1:{server.port}{HERE}"))
        assert "Connected in" in started
        again = k.text(k.run(f"%ray start --ssh 127.0.0.1:{server.port}{HERE}"))
        assert "A session is running already" in again
        code = "import numpy as np\nx = ray.put(np.arange(500_000))\n"
        code += "print(ray.get(ray.remote(lambda x: int(x[-1])).remote(x)))"
        assert k.text(k.run(code)) == "499999\n"
        name = k.text(k.run("print(ray.api.engine().session)")).strip()
        assert name in started
        assert k.text(k.run("%ray stop")) == f"Session {name} ended.\n"
        assert gone(name)


def test_it_ends_by_itself_when_nobody_came_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attaching, "SSH_TTL", 3.0)
    raykernel.init(address=f"ssh://big{HERE}")
    assert context.engine is not None
    name = context.engine.session
    assert raykernel.get(raykernel.remote(lambda: 6 * 7).remote()) == 42
    lifetime.part(end=False)  # as when the kernel is restarted
    assert gone(name)


def test_what_goes_wrong_is_said_in_time(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh, "_REACH", 1)
    other = tmp_path / "no-raykernel"  # a Python that has none
    other.write_text(f'#!/bin/sh\nunset PYTHONPATH\nexec {HERE} -I -S "$@"\n')
    old = tmp_path / "older"  # one of another version, with a head that answers
    there = '{"kind": "raykernel-head", "python": "3.6", "raykernel": "0.1.0", "session": "x", '
    key = "a" * 40
    there += f'"address": "tcp://127.0.0.1:9", "server_key": "{key}", "public_key": "{key}", '
    there += f'"secret_key": "{key}"}}'
    old.write_text(f"#!/bin/sh\necho \"$@\" >> {tmp_path}/calls\necho '{there}'\n")
    for each in (other, old):
        each.chmod(0o755)
    with socket.create_server(("127.0.0.1", 0)) as silent, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        for place, why in (
            (f"127.0.0.1:{closed.getsockname()[1]}", r"Connection refused.*Does `ssh -p \d+ 127"),
            (f"127.0.0.1:{silent.getsockname()[1]}", r"timed out"),
            ("big", r"raykernel: .*not found.*Install raykernel there, or name the Python"),
            (f"big{other}", r"No module named raykernel.*Install raykernel there"),
            (f"big{old}", r"runs Python 3.6 and raykernel 0.1.0, and this is Python"),
        ):
            begun = time.monotonic()
            with pytest.raises(ConnectionError, match=why):
                raykernel.init(address=f"ssh://{place}")
            assert time.monotonic() - begun < 15, place
    head, stop = (tmp_path / "calls").read_text().splitlines()
    assert head.startswith("-m raykernel head --detach --listen tcp://127.0.0.1:0 --ttl")
    assert stop == "-m raykernel stop x"  # what is of no use doesn't stay there
    (server.config.parent / "user").rename(tmp_path / "kept")
    shutil.copy(server.config.parent / "stranger", server.config.parent / "user")
    try:
        with pytest.raises(ConnectionError, match=r"Permission denied.*without a question"):
            raykernel.init(address=f"ssh://big{HERE}")
    finally:
        (tmp_path / "kept").replace(server.config.parent / "user")
    assert not raykernel.is_initialized()
