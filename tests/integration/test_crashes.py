"""What dies must not take anything with it: results stay right, and nothing is left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import psutil
import pytest

from raykernel import api

GONE_WITHIN = 5.0

DRIVER = """
import subprocess, sys, time
import numpy as np
import raykernel as ray

ray.init(num_cpus=2)

@ray.remote
def burn():
    while True:
        pass

@ray.remote
class Parent:
    def start(self):
        self.child = subprocess.Popen(["sleep", "600"])
        return self.child.pid

large = ray.put(np.ones(1_000_000))
parent = Parent.remote()
child = ray.get(parent.start.remote())
burning = burn.remote()
engine = ray.api.engine()
print(engine._process.pid, child, engine.folder, engine.client.welcome.arena, flush=True)
time.sleep(600)
"""


def engine_pids(state: str = "RUNNING") -> list[int]:
    engine = api.engine()
    assert engine is not None
    return [w["pid"] for w in engine.query("workers") if w["state"] == state]


@pytest.mark.parametrize("seconds", [0.0, 0.002], ids=["tiny tasks", "2 ms tasks"])
def test_killing_workers_during_a_thousand_tasks_leaves_all_results_right(
    ray_session: ModuleType, seconds: float
) -> None:
    ray = ray_session

    @ray.remote
    def double(i: int) -> int:
        time.sleep(seconds)
        return 2 * i

    ray.get([double.remote(i) for i in range(50)])
    refs = [double.remote(i) for i in range(1000)]
    for part in range(5):
        ray.wait(refs, num_returns=150 * (part + 1))
        for pid in engine_pids()[:1]:
            with contextlib.suppress(ProcessLookupError):  # the head may not know of the last one
                os.kill(pid, signal.SIGKILL)
    assert ray.get(refs) == [2 * i for i in range(1000)]


def test_a_task_that_kills_its_worker_raises_when_its_retries_are_used_up(
    ray_session: ModuleType, tmp_path: Path
) -> None:
    ray = ray_session
    tries = tmp_path / "tries"

    @ray.remote(max_retries=2)
    def segfault() -> None:
        with tries.open("a") as file:
            file.write("x")
        os.kill(os.getpid(), signal.SIGSEGV)

    with pytest.raises(ray.exceptions.WorkerCrashedError, match=r"segfault.*SIGSEGV"):
        ray.get(segfault.remote())
    assert tries.read_text() == "xxx"


def test_tasks_beside_a_crashing_one_are_not_blamed_for_it(ray_session: ModuleType) -> None:
    ray = ray_session

    @ray.remote
    def work(i: int) -> int:
        if i == 77:
            os._exit(1)
        return i

    ray.get([work.remote(0) for _ in range(50)])  # known to be quick: tasks are queued deep
    refs = [work.remote(i) for i in range(200)]
    for i, ref in enumerate(refs):
        if i == 77:
            with pytest.raises(ray.exceptions.WorkerCrashedError):
                ray.get(ref)
        else:
            assert ray.get(ref) == i


@pytest.mark.parametrize("last", [2, 50, 500])
def test_what_an_actors_calls_came_to_outlives_its_process(
    ray_session: ModuleType, last: int
) -> None:
    ray = ray_session

    @ray.remote(num_cpus=0)
    class Counter:
        def __init__(self) -> None:
            self.n = 0

        def count(self) -> int:
            self.n += 1
            if self.n == last:
                os.kill(os.getpid(), signal.SIGKILL)
            return self.n

    counter = Counter.remote()
    refs = [counter.count.remote() for _ in range(600)]
    assert ray.get(refs[: last - 1]) == list(range(1, last))
    for ref in (refs[last - 1], refs[-1]):
        with pytest.raises(ray.exceptions.ActorDiedError):
            ray.get(ref)


def test_what_came_before_an_actors_long_call_is_not_held_up(
    ray_session: ModuleType, tmp_path: Path
) -> None:
    ray = ray_session
    os.mkfifo(tmp_path / "gate")

    @ray.remote(num_cpus=0)
    class Worker:
        def work(self, gate: str) -> int:
            if gate:
                with open(gate) as file:
                    file.read()
            return 1

    worker = Worker.remote()
    ray.get([worker.work.remote("") for _ in range(50)])  # known to be quick
    refs = [worker.work.remote("") for _ in range(50)]
    long = worker.work.remote(str(tmp_path / "gate"))
    assert ray.get(refs, timeout=20) == [1] * 50
    (tmp_path / "gate").write_text("go on")
    assert ray.get(long) == 1


def processes_of(zygote: int) -> list[psutil.Process]:
    root = psutil.Process(zygote)
    return [root, *root.children(recursive=True)]


def expect_all_gone(processes: list[psutil.Process], paths: list[Path]) -> None:
    deadline = time.monotonic() + GONE_WITHIN
    _, alive = psutil.wait_procs(processes, timeout=GONE_WITHIN)
    alive = [p for p in alive if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
    assert alive == []
    while any(p.exists() for p in paths) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [p for p in paths if p.exists()] == []


@pytest.mark.parametrize("victim", ["driver", "head", "zygote"])
def test_killing_a_process_of_the_session_ends_all_of_it(victim: str) -> None:
    driver = subprocess.Popen([sys.executable, "-c", DRIVER], stdout=subprocess.PIPE, text=True)
    try:
        assert driver.stdout is not None
        zygote, child, folder, arena = driver.stdout.readline().split()
        processes = [*processes_of(int(zygote)), psutil.Process(int(child))]
        head = next(p for p in processes[0].children() if p.pid == head_pid(Path(folder)))
        {"driver": psutil.Process(driver.pid), "head": head, "zygote": processes[0]}[victim].kill()
        expect_all_gone(processes, [Path(folder), Path(arena)])
    finally:
        driver.kill()
        driver.communicate()


def head_pid(folder: Path) -> int:
    import json

    pid: int = json.loads((folder / "session.json").read_text())["pid"]
    return pid


def test_a_driver_whose_head_died_is_told_so_and_can_start_again(ray_session: ModuleType) -> None:
    ray = ray_session

    @ray.remote
    def wait_for_ever() -> None:
        signal.pause()

    ref = wait_for_ever.remote()
    engine = api.engine()
    assert engine is not None
    os.kill(head_pid(Path(engine.folder)), signal.SIGKILL)  # type: ignore[attr-defined]
    with pytest.raises(ray.exceptions.RaySystemError, match="head is gone"):
        ray.get(ref)
    ray.init(num_cpus=1)

    @ray.remote
    def one() -> int:
        return 1

    assert ray.get(one.remote()) == 1
    with pytest.raises(ValueError, match="from a different cluster"):
        ray.get(ref)


def test_leaving_the_interpreter_ends_the_session() -> None:
    code = DRIVER.replace("time.sleep(600)\n", "")
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert done.returncode == 0
    zygote, child, folder, arena = done.stdout.split()
    assert not psutil.pid_exists(int(zygote))
    assert not psutil.pid_exists(int(child)) or psutil.Process(int(child)).status() == "zombie"
    assert not Path(folder).exists()
    assert not Path(arena).exists()


def test_a_forked_child_of_the_driver_gets_an_error_and_not_a_hang(
    ray_session: ModuleType,
) -> None:
    ray = ray_session
    ref = ray.put(1)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            ray.get(ref, timeout=5)
            answer = "no error"
        except BaseException as error:
            answer = f"{type(error).__name__}: {error}"
        os.write(writer, answer.encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(pid, 0)
    with os.fdopen(reader) as file:
        answer = file.read()
    assert answer.startswith("RuntimeError: this process was forked")
    assert ray.get(ref) == 1
