"""Whether to look again or to sleep, by how long the last waits took."""

from typing import Any

import pytest

from raykernel.runtime import spinning
from raykernel.runtime.spinning import MOMENT, ROW, Spinner


class Clock:
    """Time that passes by polling only."""

    def __init__(self) -> None:
        self.now = 0.0
        self.comes = 0.0  # when there will be something to read
        self.looks: list[float | None] = []

    def poll(self, timeout: float | None) -> list[Any]:
        self.looks.append(timeout)
        if timeout == 0:
            self.now += MOMENT / 10
            return ["event"] if self.now >= self.comes else []
        self.now = max(self.now, self.comes)
        return ["event"]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(spinning.time, "perf_counter", lambda: clock.now)
    monkeypatch.setattr(spinning, "_cores", lambda: 2)
    return clock


def wait(spinner: Spinner, clock: Clock, seconds: float) -> list[float | None]:
    """One wait that would take so long; the looks it took."""
    clock.looks.clear()
    clock.comes = clock.now + seconds
    assert spinner.wait(None) == ["event"]
    return list(clock.looks)


def test_who_is_answered_at_once_looks_again_before_it_sleeps(clock: Clock) -> None:
    spinner = Spinner(clock.poll)
    for _ in range(ROW):
        assert wait(spinner, clock, MOMENT) == [None]
    assert None not in wait(spinner, clock, MOMENT / 2)


def test_one_long_wait_ends_the_looking(clock: Clock) -> None:
    spinner = Spinner(clock.poll)
    for _ in range(ROW):
        wait(spinner, clock, MOMENT / 2)
    looks = wait(spinner, clock, 100 * MOMENT)
    assert looks[-1] is None
    assert 2 < len(looks) < 20, "for a moment, not for as long as it takes"
    for _ in range(ROW):
        assert wait(spinner, clock, MOMENT) == [None]
    assert None not in wait(spinner, clock, MOMENT / 2)


def test_long_waits_are_never_looked_through(clock: Clock) -> None:
    spinner = Spinner(clock.poll)
    for _ in range(3 * ROW):
        assert wait(spinner, clock, MOMENT) == [None]
        if wait(spinner, clock, 10 * MOMENT) != [None]:
            pytest.fail("it looked again although every other wait is long")


def test_one_core_is_left_to_who_works(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spinning, "_cores", lambda: 1)
    spinner = Spinner(clock.poll)
    for _ in range(2 * ROW):
        assert wait(spinner, clock, 0.0) == [None]


def test_who_loses_the_core_by_an_offer_keeps_calm(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def taken() -> None:
        clock.now += 20 * MOMENT

    spinner = Spinner(clock.poll)
    for _ in range(ROW):
        wait(spinner, clock, MOMENT)
    with monkeypatch.context() as busy:
        busy.setattr(spinning.os, "sched_yield", taken)
        wait(spinner, clock, MOMENT / 2)
    for _ in range(spinning.CALM + ROW):
        assert wait(spinner, clock, MOMENT) == [None]
    assert None not in wait(spinner, clock, MOMENT / 2)


def test_a_look_without_waiting_is_one(clock: Clock) -> None:
    spinner = Spinner(clock.poll)
    for _ in range(ROW):
        wait(spinner, clock, 0.0)
    clock.looks.clear()
    clock.comes = clock.now + 1
    spinner.wait(0)
    assert clock.looks == [0]
