"""An interruption that came in a finalizer strikes when that is left."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from raykernel.runtime.swallowed import strike_again


class Interrupted:
    """Its finalizer is where the interruption comes."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


class Faulty:
    def __del__(self) -> None:
        raise ValueError("what finalizers do")


@pytest.fixture
def told() -> Iterator[list[Any]]:
    """What reached the hook that was there before."""
    seen: list[Any] = []
    before, sys.unraisablehook = sys.unraisablehook, lambda u: seen.append(u.exc_type)
    undo = strike_again(signal.SIGINT)
    ignores, _ = sys.unraisablehook, undo()
    assert ignores is not sys.unraisablehook, "undone, the hook is the one from before"
    undo = strike_again(signal.SIGINT)
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield seen
    signal.signal(signal.SIGINT, handler)
    undo()
    sys.unraisablehook = before


def await_interruption() -> None:
    for _ in range(1000):
        time.sleep(0.01)


def test_it_strikes_after_the_finalizer(told: list[Any]):
    def goes_on() -> None:
        Interrupted()
        await_interruption()

    with pytest.raises(KeyboardInterrupt):
        goes_on()
    assert told == []


def test_as_often_as_it_is_swallowed(told: list[Any]):
    class Nested:
        def __del__(self) -> None:
            Interrupted()
            await_interruption()

    def goes_on() -> None:
        Nested()
        await_interruption()

    with pytest.raises(KeyboardInterrupt):
        goes_on()
    assert told == []


def test_other_exceptions_are_told_as_ever(told: list[Any]):
    Faulty()
    assert told == [ValueError]


def test_only_the_main_thread_is_interrupted(told: list[Any]):
    class Raises:
        def __del__(self) -> None:
            raise KeyboardInterrupt

    thread = threading.Thread(target=Raises)
    thread.start()
    thread.join()
    assert told == [KeyboardInterrupt]
