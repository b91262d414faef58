"""Sessions that outlive their drivers: a notebook's over restarts, and one that several use."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from raykernel import cli
from raykernel.runtime import session
from tests.integration.kernels import kernel

LOAD = "%load_ext raykernel\nimport raykernel as ray"

BEFORE = """
import numpy as np, time, os
@ray.remote
class Counter:
    def __init__(self):
        self.n = 0
    def add(self):
        self.n += 1
        return self.n
@ray.remote
def slow_result(gate):
    while not os.path.exists(gate):
        time.sleep(0.01)
    return "late"
@ray.remote
def for_ever():
    time.sleep(1000)
counter = Counter.options(name="counter").remote()
ray.get([counter.add.remote() for _ in range(3)])
ray.put(np.arange(100_000), name="data")
ray.put(slow_result.options(num_cpus=0).remote({gate!r}), name="late")
ref = for_ever.remote()
"""

AFTER = """
print(ray.get(ray.get_actor("counter").add.remote()))
print(ray.get(ray.get_object("data")).sum(), sorted(ray.util.list_named_objects()))
"""


def test_a_restarted_kernel_comes_back_to_its_notebooks_session(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with kernel(session_ttl=100) as k:
        k.run(LOAD)
        started = k.text(k.run("%ray start -n 1"))
        name = started.split()[1].rstrip(":")
        try:
            k.run(BEFORE.format(gate=str(gate)))
            k.restart()
            assert session.read(name).drivers == 0
            k.run(LOAD)
            back = k.text(k.run("%ray start"))
            assert back.startswith(f"Session {name}: 1 CPU")
            assert "back in it" in back
            assert "Named actors: counter." in back
            assert "Named objects: data, late." in back
            assert k.text(k.run(AFTER)) == "4\n4999950000 ['data', 'late']\n"
            gate.touch()  # what is to make a named result has gone on
            assert k.value(k.run("ray.get(ray.get_object('late'))")) == "'late'"
            # the CPU is free: what nobody could ask for any more was cancelled
            fresh = k.run("@ray.remote\ndef f():\n    return os.getpid()\nimport os\nf.remote()")
            assert k.finish(fresh) is None
            k.restart(crash=True)
            k.run(LOAD)
            first = k.run(AFTER)  # whatever is used first goes back to the session
            assert f"Back in this notebook's session {name}." in k.text(first)
            assert "5\n4999950000" in k.text(first)
            assert "ended" in k.text(k.run("%ray stop"))
            assert name not in [s.name for s in session.list_sessions()]
        finally:
            end(name)


def test_a_notebook_closed_and_opened_again_finds_its_session_which_then_ends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = {"JPY_SESSION_NAME": str(tmp_path / "lab.ipynb")}
    with kernel(session_ttl=60, **path) as k:
        k.run(LOAD)
        k.run("%ray start -n 1\nref = ray.put([1, 2], name='x')")
        name = k.text(k.run("print(ray.api.engine().session)")).strip()
    try:
        assert cli.main(["sessions"]) == 0
        (row,) = [r.split() for r in capsys.readouterr().out.splitlines() if r.startswith(name)]
        assert row[4] == "0"
        assert row[-5:] == ["60", "s", "lab.ipynb", "alive"][-5:] or row[-4:] == [
            "60", "s", "lab.ipynb", "alive",
        ]  # fmt: skip
        with kernel(session_ttl=60, **path) as k:
            k.run(LOAD)
            value = k.run("print(ray.get(ray.get_object('x')), ray.api.engine().session)")
            assert f"[1, 2] {name}\n" in k.text(value)
            k.run("%config RayKernelConfig.session_ttl = 0.3")
        assert session.await_end(Path(session.root() / name), 30)
    finally:
        end(name)


DRIVER = """
import os, sys, raykernel as ray
options = {options}
ray.init(**options)

@ray.remote
class Box:
    def __init__(self):
        self.items = []
    def put(self, item):
        self.items.append(item)
        return self.items

box = Box.options(name="box", get_if_exists=True).remote()
print(ray.get(box.put.remote({item!r})), flush=True)
for line in sys.stdin:
    print(eval(line), flush=True)
"""


class Driver:
    """A program in a session; `ask` has it evaluate an expression."""

    def __init__(self, item: str, options: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", DRIVER.format(item=item, options=options)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.first = self._read()

    def _read(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def ask(self, expression: str) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(expression + "\n")
        self.process.stdin.flush()
        return self._read()

    def end(self) -> None:
        self.process.communicate(timeout=30)


@contextmanager
def drivers(*made: Driver) -> Iterator[None]:
    try:
        yield
    finally:
        for one in made:
            one.process.kill()
            one.process.communicate()


def end(name: str) -> None:
    if name in [info.name for info in session.list_sessions()]:
        assert cli.main(["stop", name]) == 0


def test_two_programs_share_a_session_and_neithers_end_is_the_others() -> None:
    name = f"shared-{os.getpid()}"
    first = Driver("a", f"dict(num_cpus=1, name={name!r}, namespace='lab', session_ttl=60)")
    second = Driver("b", f"dict(address={name!r})")
    try:
        with drivers(first, second):
            assert (first.first, second.first) == ("['a']", "['a', 'b']")
            assert first.ask("ray.get(ray.get_actor('box').put.remote('c'))") == "['a', 'b', 'c']"
            assert session.read(name).drivers == 2
            second.end()
            assert first.ask("ray.get(ray.get_actor('box').put.remote('d'))[-1]") == "d"
            third = Driver("e", f"dict(address='unix:{session.root() / name}/head.sock')")
            with drivers(third):
                assert first.ask("ray.shutdown()") == "None"  # another uses it: it goes on
                assert third.ask("ray.get(ray.get_actor('box').put.remote('f'))[-1]") == "f"
                assert third.ask("ray.shutdown()") == "None"  # not its own to end
            assert session.read(name).alive
    finally:
        end(name)


def test_a_sessions_time_to_live_begins_when_its_driver_is_killed() -> None:
    name = f"killed-{os.getpid()}"
    first = Driver("a", f"dict(num_cpus=1, name={name!r}, session_ttl=0.5)")
    with drivers(first):
        first.process.send_signal(signal.SIGKILL)
        assert session.await_end(session.root() / name, 20)


def test_what_cannot_be_connected_to_is_refused_with_advice() -> None:
    import raykernel as ray

    with pytest.raises(ConnectionError, match="no session named 'nowhere'"):
        ray.init(address="nowhere")
    with pytest.raises(ConnectionError, match="no session of yours at /etc/"):
        ray.init(address="unix:/etc/head.sock")
    with pytest.raises(ConnectionError, match="no Ray cluster at ray://host:10001"):
        ray.init(address="ray://host:10001")
    with pytest.raises(ValueError, match="num_cpus must not be provided"):
        ray.init(address="nowhere", num_cpus=2)
    assert not ray.is_initialized()


def test_a_session_of_another_version_is_refused_and_its_notebook_gets_a_fresh_one() -> None:
    name = f"older-{os.getpid()}"
    file = session.root() / name / "session.json"
    try:
        with kernel(session_ttl=100) as k:
            k.run(LOAD)
            k.run(f"%ray start -n 1 --name {name}")
            k.restart()
            about = json.loads(file.read_text())
            file.write_text(json.dumps({**about, "python": "3.99"}))
            k.run(LOAD)
            started = k.run("%ray start -n 1")
            assert "Started in" in k.text(started)
            assert f"Session {name} runs Python 3.99" in k.text(started, "stderr")
            assert f"raykernel stop {name}" in k.text(started, "stderr")
            k.run("%ray stop")
            refused = k.run(f"%ray start --address {name}")
            assert "They can't read each other's functions" in k.text(refused, "stderr")
    finally:
        end(name)
