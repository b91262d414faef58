"""Where raykernel promises more than Ray does: on raykernel only."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import pytest

import raykernel as ray

pytestmark = pytest.mark.parametrize("engine_name", ["raykernel"], scope="module", indirect=False)


@pytest.fixture(scope="module", autouse=True)
def _session(_module_leaves_nothing: list[str]) -> Iterator[None]:
    ray.init(num_cpus=2)
    yield
    ray.shutdown()


def test_the_same_ref_twice_arrives_as_the_same_object() -> None:
    @ray.remote
    def same(a: Any, b: Any) -> bool:
        return a is b

    ref = ray.put([1, 2])
    assert ray.get(same.remote(ref, ref))


def test_ready_are_the_first_in_the_inputs_order() -> None:
    refs = [ray.put(i) for i in range(5)]
    assert ray.wait(refs, num_returns=2) == (refs[:2], refs[2:])


def test_a_failure_can_be_pickled_plainly() -> None:
    @ray.remote
    def fail() -> None:
        raise KeyError("lost")

    with pytest.raises(KeyError) as caught:
        ray.get(fail.remote())
    again = pickle.loads(pickle.dumps(caught.value))
    assert isinstance(again, KeyError)
    assert isinstance(again, ray.exceptions.RayTaskError)


def test_a_remote_function_keeps_its_docstring() -> None:
    @ray.remote
    def documented() -> None:
        """What it does."""

    assert documented.__doc__ == "What it does."
