"""The thread that views act on."""

from __future__ import annotations

import threading
import time
from contextvars import ContextVar

from raykernel.widgets.pump import RATE, ThreadPump

place: ContextVar[str] = ContextVar("place", default="nowhere")


def test_steps_run_in_the_context_of_the_maker() -> None:
    seen: list[str] = []
    done = threading.Event()

    def step(_now: float) -> None:
        seen.append(place.get())
        done.set()

    token = place.set("a cell")
    pump = ThreadPump(step)
    place.reset(token)
    pump.wake()
    assert done.wait(10)
    pump.stop()
    assert seen == ["a cell"]


def test_many_wakes_make_few_steps() -> None:
    times: list[float] = []
    thrice = threading.Event()

    def step(now: float) -> None:
        times.append(now)
        if len(times) == 3:
            thrice.set()

    pump = ThreadPump(step)
    while not thrice.is_set():
        pump.wake()
        time.sleep(0.001)  # leaves the step a turn at the interpreter
    pump.stop()
    assert times[2] - times[0] >= 2 / RATE * 0.95


def test_it_comes_again_when_asked_to_and_never_after_stop() -> None:
    steps: list[float] = []
    twice = threading.Event()

    def step(now: float) -> float:
        steps.append(now)
        if len(steps) == 2:
            twice.set()
        return 0.01

    pump = ThreadPump(step)
    pump.wake()
    assert twice.wait(10)
    pump.stop()
    count = len(steps)
    pump.wake()
    pump.stop()
    assert len(steps) == count


def test_a_step_may_stop_its_own_pump() -> None:
    stopped = threading.Event()

    def step(_now: float) -> None:
        pump.stop()
        stopped.set()

    pump = ThreadPump(step)
    pump.wake()
    assert stopped.wait(10)
