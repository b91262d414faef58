"""ActorGroup: several actors started, called and ended together."""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any

import pytest

from tests.util.conftest import Util

pytestmark = pytest.mark.filterwarnings("ignore::Warning")  # Ray says that it is deprecated


class Adder:
    def __init__(self, base: int = 0, step: int = 1) -> None:
        self.base = base
        self.step = step

    def add(self, value: int) -> int:
        return self.base + self.step * value

    def pid(self) -> int:
        return os.getpid()

    def fail(self) -> None:
        raise ValueError("on purpose")


@pytest.fixture
def group_class(util: Util) -> Any:
    return util("actor_group").ActorGroup


def test_a_call_reaches_every_actor(ray: ModuleType, group_class: Any) -> None:
    group = group_class(Adder, num_actors=2, init_args=[10], init_kwargs={"step": 2})
    assert ray.get(group.add.remote(3)) == [16, 16]
    assert len(set(ray.get(group.pid.remote()))) == 2
    group.shutdown()


def test_one_actor_can_be_called_alone(ray: ModuleType, group_class: Any) -> None:
    group = group_class(Adder, num_actors=2)
    assert len(group) == 2
    assert ray.get(group[0].actor.add.remote(1)) == 1
    assert group.actor_metadata == [None, None]
    group.shutdown(patience_s=0)


def test_methods_are_not_called_directly(group_class: Any) -> None:
    group = group_class(Adder)
    with pytest.raises(TypeError, match=r"try 'object.add.remote\(\)'"):
        group.add(1)
    with pytest.raises(AttributeError):
        group.no_such_method.remote()
    group.shutdown()


def test_an_actors_error_comes_with_get(ray: ModuleType, group_class: Any) -> None:
    group = group_class(Adder, num_actors=2)
    for ref in group.fail.remote():
        with pytest.raises(ValueError, match="on purpose"):
            ray.get(ref)
    group.shutdown()


def test_a_group_can_be_started_again(ray: ModuleType, group_class: Any) -> None:
    group = group_class(Adder, num_actors=2)
    with pytest.raises(RuntimeError, match="already been started"):
        group.start()
    first = set(ray.get(group.pid.remote()))
    actor = group[0].actor
    group.shutdown()
    assert len(group) == 0
    with pytest.raises(RuntimeError, match="has been shutdown"):
        group.add.remote(1)
    with pytest.raises(ray.exceptions.RayActorError):
        ray.get(actor.add.remote(1))
    group.start()
    assert not first & set(ray.get(group.pid.remote()))
    group.shutdown()


def test_actors_come_and_go_by_place(ray: ModuleType, group_class: Any) -> None:
    group = group_class(Adder, num_actors=1)
    group.add_actors(1)
    first, second = ray.get(group.pid.remote())
    group.remove_actors([0])
    assert ray.get(group.pid.remote()) == [second]
    assert first != second
    group.shutdown()


def test_actors_hold_the_cpus_they_ask_for(ray: ModuleType, group_class: Any) -> None:
    group = group_class(Adder, num_actors=2, num_cpus_per_actor=1)
    ray.get(group.pid.remote())
    assert ray.available_resources().get("CPU", 0) == 0
    group.shutdown()


@pytest.mark.parametrize(
    "wrong", [{"num_actors": 0}, {"num_cpus_per_actor": -1}, {"num_gpus_per_actor": -1}]
)
def test_numbers_that_make_no_sense_are_refused(group_class: Any, wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        group_class(Adder, **wrong)


def test_it_is_deprecated_as_in_ray(group_class: Any) -> None:
    with (
        pytest.warns(DeprecationWarning, match=r"use ray\.util\.multiprocessing"),
        pytest.raises(ValueError, match="greater than 0"),
    ):
        group_class(Adder, num_actors=0)
