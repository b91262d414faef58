"""Ctrl-C and Stop: whatever they hit, the session stays healthy and nothing leaks."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from types import ModuleType

import numpy as np

from raykernel import api

INTERRUPTS = 300


def test_interrupts_at_any_moment_leave_a_healthy_session(ray_session: ModuleType) -> None:
    ray = ray_session

    @ray.remote
    def echo(i: int) -> int:
        return i

    @ray.remote
    def nap() -> None:
        time.sleep(0.01)

    ray.get([echo.remote(0) for _ in range(100)])
    armed = threading.Event()
    fired = threading.Event()

    def interrupt() -> None:
        chance = random.Random(7)
        for _ in range(INTERRUPTS):
            armed.wait()
            armed.clear()
            # a moment somewhere within the block below, which takes about 10 ms
            threading.Event().wait(chance.random() * 0.012)
            os.kill(os.getpid(), signal.SIGINT)
            fired.set()

    thread = threading.Thread(target=interrupt)
    thread.start()
    caught = 0
    for _ in range(INTERRUPTS):
        try:
            fired.clear()
            armed.set()
            while True:
                refs = [echo.remote(i) for i in range(5)] + [nap.remote()]
                ray.put(np.zeros(50_000))
                ray.wait(refs)
                ray.get(refs)
        except KeyboardInterrupt:
            caught += 1
            fired.wait()
    thread.join()
    assert caught == INTERRUPTS
    assert ray.get([echo.remote(i) for i in range(10)]) == list(range(10))
    del refs
    expect_empty_store()


def expect_empty_store() -> None:
    """Nothing refers to anything any more: the head must have forgotten all."""
    engine = api.engine()
    assert engine is not None
    deadline = time.monotonic() + 10
    store = engine.query("store")
    while (store["objects"] or store["used"]) and time.monotonic() < deadline:
        time.sleep(0.02)
        store = engine.query("store")
    assert store["objects"] == 0
    assert store["used"] == 0


def test_cancelling_interrupts_a_running_task_and_spares_the_next(ray_session: ModuleType) -> None:
    ray = ray_session

    @ray.remote
    class Log:
        def __init__(self) -> None:
            self.lines: list[str] = []

        def add(self, line: str) -> None:
            self.lines.append(line)

        def read(self) -> list[str]:
            return self.lines

    log = Log.options(num_cpus=0).remote()

    @ray.remote
    def long(log: object) -> None:
        try:
            ray.get(log.add.remote("began"))  # type: ignore[attr-defined]
            while True:
                time.sleep(1)
        except KeyboardInterrupt:
            ray.get(log.add.remote("interrupted"))  # type: ignore[attr-defined]
            raise

    for round in range(5):
        ref = long.remote(log)
        while len(ray.get(log.read.remote())) < 2 * round + 1:
            pass
        ray.cancel(ref)
        try:
            ray.get(ref, timeout=10)
        except ray.exceptions.TaskCancelledError:
            pass
        else:
            raise AssertionError("the task was not cancelled")
    assert ray.get(log.read.remote()) == ["began", "interrupted"] * 5


def test_a_task_blocked_in_get_is_cancelled_with_its_children(ray_session: ModuleType) -> None:
    ray = ray_session

    @ray.remote
    def child() -> None:
        signal.pause()

    @ray.remote
    def parent() -> None:
        ray.get(child.remote())

    engine = api.engine()
    assert engine is not None
    ref = parent.remote()
    deadline = time.monotonic() + 20
    while not any(t.name == "child" and t.state == "RUNNING" for t in engine.query("tasks")):
        assert time.monotonic() < deadline
    ray.cancel(ref, recursive=True)
    try:
        ray.get(ref, timeout=10)
    except ray.exceptions.TaskCancelledError:
        pass
    else:
        raise AssertionError("the task was not cancelled")
    while any(t.state == "RUNNING" for t in engine.query("tasks")):
        assert time.monotonic() < deadline


def test_a_cell_that_ignores_its_interruption_is_killed(ray_session: ModuleType) -> None:
    ray = ray_session

    @ray.remote
    def stubborn() -> None:
        while True:
            try:
                signal.pause()
            except KeyboardInterrupt:
                continue

    engine = api.engine()
    assert engine is not None
    ref = stubborn.remote()
    deadline = time.monotonic() + 20
    while not any(t.state == "RUNNING" for t in engine.query("tasks")):
        assert time.monotonic() < deadline
    assert engine.cancel_cell("") == 1
    try:
        ray.get(ref, timeout=10)
    except ray.exceptions.TaskCancelledError:
        pass
    else:
        raise AssertionError("the task was not cancelled")


def test_a_cancellation_counts_that_meets_its_task_on_its_way_in(ray_session: ModuleType) -> None:
    ray = ray_session

    @ray.remote
    def endless() -> None:
        while True:
            time.sleep(0.001)

    chance = random.Random(1)
    for _ in range(1500):
        ref = endless.remote()
        then = time.perf_counter() + chance.random() * 0.002
        while time.perf_counter() < then:  # no sleep is as short
            pass
        ray.cancel(ref)
        try:
            ray.get(ref, timeout=20)
        except ray.exceptions.TaskCancelledError:
            continue
        raise AssertionError("the task was not cancelled")
