"""What is promised of the API wherever the head is: one program for every way to it."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest


def use(ray: ModuleType, data: Any) -> None:
    """Objects by reference and as large arguments, nested tasks, an actor and its name, a stream
    of arrays, an error. The task that fails prints "about to fail"."""

    @ray.remote
    def double(x: Any) -> Any:
        return x * 2

    @ray.remote
    def total(n: int) -> int:
        return sum(ray.get([double.remote(i) for i in range(n)]))

    @ray.remote
    class Counter:
        def __init__(self) -> None:
            self.n = 0

        def add(self, by: Any) -> int:
            self.n += int(np.sum(by))
            return self.n

    @ray.remote(num_returns="streaming")
    def items() -> Iterator[Any]:
        for n in range(3):
            yield np.full(30_000, n)

    @ray.remote
    def fail() -> None:
        culprit = "the variable"
        print("about to fail")
        raise ValueError(culprit)

    assert ray.get(total.remote(10)) == 90
    ref = ray.put(data)
    assert (ray.get(double.remote(ref)) == 2 * data).all()
    assert (ray.get(double.remote(data)) == 2 * data).all()
    assert (ray.get(ref) == data).all()
    counter = Counter.options(name="counter").remote()
    assert ray.get([counter.add.remote(by) for by in (1, data[:3], 1)]) == [1, 4, 5]
    assert ray.get(ray.get_actor("counter").add.remote(0)) == 5
    assert [int(ray.get(item)[-1]) for item in items.remote()] == [0, 1, 2]
    with pytest.raises(ValueError, match="the variable"):
        ray.get(fail.remote())
