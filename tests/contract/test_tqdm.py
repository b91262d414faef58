"""`ray.experimental.tqdm_ray`: progress bars that tasks and actors move."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture
def tqdm_ray(ray: ModuleType) -> ModuleType:
    return importlib.import_module(f"{ray.__name__}.experimental.tqdm_ray")


def test_a_bar_runs_in_a_task_over_an_iterable_or_by_hand(
    ray: ModuleType, tqdm_ray: ModuleType
) -> None:
    name = tqdm_ray.__name__

    @ray.remote
    def work() -> tuple[Any, ...]:
        module = importlib.import_module(name)
        bar = module.tqdm(range(5), desc="items", position=0, unit="item", flush_interval_s=0.1)
        seen = list(bar)
        by_hand = module.tqdm(total=10)
        by_hand.update(4)
        by_hand.update()
        by_hand.set_description("by hand")
        by_hand.refresh()
        module.safe_print("beside the bars")
        by_hand.close()
        return seen, bar.n, bar.total, by_hand.n, by_hand.total

    assert ray.get(work.remote()) == ([0, 1, 2, 3, 4], 5, 5, 5, 10)


def test_a_bar_needs_something_to_iterate_over(tqdm_ray: ModuleType) -> None:
    with pytest.raises(ValueError, match="No iterable provided"):
        next(iter(tqdm_ray.tqdm(total=3)))
