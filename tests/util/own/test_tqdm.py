"""`ray.util.tqdm`: what the driver hears of bars that tasks and actors move."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import ModuleType

import pytest

from raykernel.runtime import context
from raykernel.runtime.events import BarInfo

Bars = list[BarInfo]


class Heard:
    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.last: dict[str, BarInfo] = {}
        context.engine.on_bars(self.hear)

    def hear(self, bars: Bars) -> None:
        with self.changed:
            self.last.update({bar.id: bar for bar in bars})
            self.changed.notify_all()

    def wait(self, fulfilled: Callable[[Bars], bool]) -> bool:
        with self.changed:
            return self.changed.wait_for(lambda: fulfilled(list(self.last.values())), 30)


@pytest.fixture
def bars(ray: ModuleType) -> Heard:
    return Heard()


def test_a_bars_last_state_comes_before_its_tasks_result(ray: ModuleType, bars: Heard) -> None:
    @ray.remote
    def work(n: int) -> int:
        for _ in ray.util.tqdm(range(n), desc=f"to {n}"):
            pass
        return n

    assert ray.get([work.remote(n) for n in (3, 1000)]) == [3, 1000]
    last = {bar.desc: (bar.n, bar.total, bar.closed) for bar in bars.last.values()}
    assert last == {"to 3": (3, 3, True), "to 1000": (1000, 1000, True)}


def test_an_actors_bar_outlives_the_calls_that_move_it_and_ends_with_the_actor(
    ray: ModuleType, bars: Heard
) -> None:
    @ray.remote
    class Trainer:
        def __init__(self) -> None:
            self.bar = ray.util.tqdm(total=10)

        def step(self) -> None:
            self.bar.update()

    trainer = Trainer.remote()
    ray.get([trainer.step.remote(), trainer.step.remote()])
    assert bars.wait(lambda all: [(bar.n, bar.closed) for bar in all] == [(2, False)])
    ray.kill(trainer)
    assert bars.wait(lambda all: [(bar.n, bar.closed) for bar in all] == [(2, True)])


def test_a_bar_that_a_task_prints_is_heard_of_too(ray: ModuleType, bars: Heard) -> None:
    @ray.remote
    def work() -> None:
        import sys

        for n in range(3):
            sys.stderr.write(f"\rrows: {50 * n:3}%|#| {n}/2 [00:01<00:01, 1.00row/s]")
            sys.stderr.flush()

    ray.get(work.remote())
    assert bars.last
    assert all(bar.closed and bar.drawn for bar in bars.last.values())
