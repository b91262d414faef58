"""The guard: an interruption inside strikes when the last guard is left, and nowhere else."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

import pytest

from raykernel.runtime.guard import Guard


@pytest.fixture
def struck() -> Iterator[list[int]]:
    """The signals that reached the handler that was there before the guard."""
    signals: list[int] = []

    def handler(number: int, frame: FrameType | None) -> None:
        signals.append(number)

    previous = signal.signal(signal.SIGINT, handler)
    yield signals
    assert signal.getsignal(signal.SIGINT) is handler, "the guard left its own handler behind"
    signal.signal(signal.SIGINT, previous)


@pytest.fixture
def guard() -> Iterator[Guard]:
    made = Guard(swap_sigint=True)
    yield made
    made.close()


def interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


def test_outside_nothing_changes(guard: Guard, struck: list[int]):
    with guard:
        pass
    interrupt()
    assert struck == [signal.SIGINT]


def test_an_interruption_inside_strikes_at_the_end(guard: Guard, struck: list[int]):
    with guard:
        interrupt()
        assert (guard.deferring, guard.noted, struck) == (True, True, [])
    assert (guard.deferring, guard.noted, struck) == (False, False, [signal.SIGINT])


def test_the_outermost_guard_counts(guard: Guard, struck: list[int]):
    with guard:
        with guard:
            interrupt()
        assert struck == []
    assert struck == [signal.SIGINT]


def test_several_interruptions_are_one(guard: Guard, struck: list[int]):
    with guard:
        interrupt()
        interrupt()
    assert struck == [signal.SIGINT]


def test_an_exception_inside_does_not_keep_it_from_striking(guard: Guard, struck: list[int]):
    def interrupted() -> None:
        with guard:
            interrupt()
            raise KeyError

    with pytest.raises(KeyError):
        interrupted()
    assert struck == [signal.SIGINT]
    assert not guard.deferring


def test_it_can_be_delivered_from_inside(guard: Guard, struck: list[int]):
    with guard:
        interrupt()
        guard.deliver()
        assert (struck, guard.noted) == ([signal.SIGINT], False)
    assert struck == [signal.SIGINT]


def test_a_handler_that_raises_does_so_when_the_guard_is_left(guard: Guard):
    reached: list[str] = []

    def interrupted() -> None:
        with guard:
            interrupt()
            reached.append("inside")
        reached.append("after")

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert reached == ["inside"]
    assert not guard.deferring


def test_who_ignores_interruptions_goes_on_doing_so(guard: Guard):
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with guard:
            interrupt()
            assert not guard.noted
    finally:
        signal.signal(signal.SIGINT, previous)


def test_a_poll_is_woken_and_only_once(guard: Guard, struck: list[int]):
    readable = guard.wake_fd()
    assert select.select([readable], [], [], 0)[0] == []
    with guard:
        interrupt()
        assert select.select([readable], [], [], 0)[0] == [readable]
    assert select.select([readable], [], [], 0)[0] == []
    assert struck == [signal.SIGINT]


def test_a_worker_strikes_in_its_own_way(struck: list[int]):
    guard = Guard(swap_sigint=False)
    strikes: list[str] = []
    guard.on_strike = lambda: strikes.append("struck")
    with guard:
        guard.note()
        assert strikes == []
        interrupt()
        assert struck == [signal.SIGINT], "a worker's guard leaves SIGINT alone"
    assert strikes == ["struck"]


def test_other_threads_are_not_guarded(guard: Guard):
    seen: list[bool] = []

    def run() -> None:
        with guard:
            seen.append(guard.deferring)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [False]


def test_one_that_strikes_on_the_way_in_or_out_leaves_the_guard_whole(guard: Guard):
    """At whatever instruction of the guard's own code it comes."""
    own = Guard.__enter__.__code__, Guard.__exit__.__code__
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    struck = 0
    try:
        for moment in range(1000):
            instructions = 0

            def trace(frame: FrameType, event: str, argument: object) -> Any:
                nonlocal instructions
                if frame.f_code not in own:
                    return None
                frame.f_trace_opcodes = True
                if event == "opcode":
                    instructions += 1
                    if instructions == moment + 1:  # noqa: B023
                        interrupt()
                return trace

            sys.settrace(trace)
            try:
                with guard:
                    pass
            except KeyboardInterrupt:
                struck += 1
            finally:
                sys.settrace(None)
            assert not guard.deferring
            assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
            with guard:
                assert guard.deferring
            if instructions <= moment:
                break
        assert struck == moment > 20
    finally:
        signal.signal(signal.SIGINT, previous)


def test_closing_closes_the_pipe():
    guard = Guard(swap_sigint=True)
    readable = guard.wake_fd()
    guard.close()
    guard.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(readable)
