"""Interruptions of an actor's running calls on Ray: without Ray, in this process's own threads."""

from __future__ import annotations

import _thread
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from raykernel.runtime.engines.ray_strikes import Calls

TASK = b"t" * 24


@pytest.fixture
def calls() -> Iterator[Calls]:
    before = signal.getsignal(signal.SIGINT)
    made = Calls(lambda tasks, then: None)
    made.listen()
    made._wake.set()  # as if the thread that asks were awake: the tests strike by themselves
    yield made
    signal.signal(signal.SIGINT, before)


class Stream:
    """A generator that notes how it ended."""

    def __init__(self, body: Any) -> None:
        self.ended = ""
        self._body = body

    def run(self) -> Iterator[Any]:
        try:
            yield from self._body()
            self.ended = "well"
        except BaseException as error:
            self.ended = type(error).__name__
            raise


def count() -> Iterator[int]:
    yield from range(3)


def test_a_stream_that_nobody_strikes_gives_all_its_items(calls: Calls) -> None:
    assert list(calls.steps(TASK, count())) == [0, 1, 2]
    assert list(calls.steps(TASK, iter([3, 4]))) == [3, 4]


def test_a_stream_between_two_items_is_interrupted_where_it_yielded(calls: Calls) -> None:
    stream = Stream(count)
    steps = calls.steps(TASK, stream.run())
    assert next(steps) == 0
    calls._strike([TASK])
    assert stream.ended == ""  # its thread is not its own just now
    with pytest.raises(KeyboardInterrupt):
        next(steps)
    assert stream.ended == "KeyboardInterrupt"
    assert list(calls.steps(TASK, count())) == [0, 1, 2]  # its next attempt, or so


def test_what_can_be_thrown_nothing_is_interrupted_too(calls: Calls) -> None:
    steps = calls.steps(TASK, iter([1, 2]))
    next(steps)
    calls._strike([TASK])
    with pytest.raises(KeyboardInterrupt):
        next(steps)


def test_a_stream_that_goes_on_after_it_is_interrupted_at_each_item(calls: Calls) -> None:
    def stubborn() -> Iterator[str]:
        for n in range(3):
            try:
                yield f"item {n}"
            except KeyboardInterrupt:
                yield f"interrupted {n}"

    steps = calls.steps(TASK, stubborn())
    assert next(steps) == "item 0"
    calls._strike([TASK])
    assert next(steps) == "interrupted 0"
    with pytest.raises(KeyboardInterrupt):
        next(steps)


def test_one_that_was_struck_before_it_began_never_does(calls: Calls) -> None:
    calls._strike([TASK])
    stream = Stream(count)
    with pytest.raises(KeyboardInterrupt):
        next(calls.steps(TASK, stream.run()))
    assert stream.ended == ""


@pytest.mark.timeout(60)
def test_one_that_waits_on_the_main_thread_is_interrupted_there(calls: Calls) -> None:
    waits = threading.Event()

    def body() -> Iterator[int]:
        yield 1
        waits.set()
        threading.Event().wait(50)
        yield 2

    def strike() -> None:
        waits.wait(50)
        calls._strike([TASK])

    striker = threading.Thread(target=strike)
    striker.start()
    stream = Stream(body)
    with pytest.raises(KeyboardInterrupt):
        list(calls.steps(TASK, stream.run()))
    striker.join()
    assert stream.ended == "KeyboardInterrupt"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("items", [True, False], ids=["yields all the time", "yields no more"])
def test_one_on_another_thread_is_interrupted_at_its_next_line(calls: Calls, items: bool) -> None:
    runs, over = threading.Event(), threading.Event()

    def body() -> Iterator[int]:
        yield 0
        while not over.wait(0.001):
            runs.set()
            if items:
                yield 1

    stream = Stream(body)

    def take() -> None:
        try:
            for _ in calls.steps(TASK, stream.run()):
                pass
        except KeyboardInterrupt:
            pass

    taker = threading.Thread(target=take)
    taker.start()
    assert runs.wait(50)
    calls._strike([TASK])
    taker.join(20)
    over.set()
    assert stream.ended == "KeyboardInterrupt"
    assert calls._running == {}


def test_a_task_is_woken_to_hear_what_has_come_for_it() -> None:
    """As Ray interrupts a task: Python is told, and the wait in the system knows nothing of it."""
    kinds = (signal.SIGURG, signal.SIGINT)
    before = {kind: signal.getsignal(kind) for kind in kinds}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    made = Calls(lambda tasks, then: None)
    made.wake()
    made._wake.set()
    main, over = threading.get_ident(), threading.Event()

    def interrupt() -> None:
        while sys._current_frames()[main].f_code is not asleep.__code__:
            over.wait(0.01)
        _thread.interrupt_main()
        while not over.wait(0.05):
            made._strike([TASK])

    def asleep() -> None:
        time.sleep(30)

    other = threading.Thread(target=interrupt)
    try:
        made.enter(TASK)
        other.start()
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            asleep()
        assert time.monotonic() - began < 20, "it was heard at the end of the sleep"
        made.leave(TASK)
        made._strike([TASK])  # too late: nobody is woken
    finally:
        over.set()
        other.join()
        for kind, handler in before.items():
            signal.signal(kind, handler)
