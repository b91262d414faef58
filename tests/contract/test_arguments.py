"""Semantics 1: arguments."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest


def test_a_ref_at_top_level_arrives_as_its_value(ray: ModuleType) -> None:
    @ray.remote
    def show(value: Any, *, named: Any) -> tuple[Any, Any]:
        return value, named

    assert ray.get(show.remote(ray.put(1), named=ray.put(2))) == (1, 2)


def test_a_ref_in_a_container_arrives_as_a_ref(ray: ModuleType) -> None:
    @ray.remote
    def show(box: list[Any]) -> tuple[bool, int]:
        return isinstance(box[0], ray.ObjectRef), ray.get(box[0])

    assert ray.get(show.remote([ray.put(5)])) == (True, 5)


def test_the_same_ref_twice_arrives_twice(ray: ModuleType) -> None:
    @ray.remote
    def show(a: Any, b: Any) -> Any:
        return a, b

    ref = ray.put([1, 2])
    assert ray.get(show.remote(ref, ref)) == ([1, 2], [1, 2])


def test_arguments_are_snapshots_of_the_call_time(ray: ModuleType) -> None:
    @ray.remote
    def show(value: Any) -> Any:
        return value

    box = [1]
    ref = show.remote(box)
    box.append(2)
    assert ray.get(ref) == [1]


def test_a_wrong_call_is_a_type_error_at_remote_that_names_the_parameter(ray: ModuleType) -> None:
    @ray.remote
    def needs(a: int, b: int) -> int:
        return a + b

    with pytest.raises(TypeError, match="b"):
        needs.remote(1)
    with pytest.raises(TypeError, match="many"):
        needs.remote(1, 2, 3)
    with pytest.raises(TypeError, match="other"):
        needs.remote(1, 2, other=3)


def test_a_wrong_call_of_an_actor_is_a_type_error_at_remote(ray: ModuleType) -> None:
    @ray.remote
    class Adder:
        def __init__(self, start: int) -> None:
            self.n = start

        def add(self, n: int) -> int:
            return self.n + n

    with pytest.raises(TypeError, match="start"):
        Adder.remote()
    adder = Adder.remote(1)
    with pytest.raises(TypeError, match="'n'"):
        adder.add.remote()
    with pytest.raises(TypeError, match="m"):
        adder.add.remote(m=1)
    assert ray.get(adder.add.remote(n=2)) == 3


def test_defaults_varargs_and_keywords_work(ray: ModuleType) -> None:
    @ray.remote
    def show(a: int, b: int = 2, *rest: int, c: int = 3, **more: int) -> Any:
        return a, b, rest, c, more

    assert ray.get(show.remote(1)) == (1, 2, (), 3, {})
    assert ray.get(show.remote(1, 5, 6, 7, c=8, d=9)) == (1, 5, (6, 7), 8, {"d": 9})
    assert ray.get(show.remote(b=1, a=0)) == (0, 1, (), 3, {})


def test_keyword_only_parameters_work(ray: ModuleType) -> None:
    @ray.remote
    def show(*, a: int, b: int = 1) -> tuple[int, int]:
        return a, b

    assert ray.get(show.remote(a=4)) == (4, 1)
    with pytest.raises(TypeError):
        show.remote(4)


def test_arguments_of_any_size_arrive(ray: ModuleType) -> None:
    @ray.remote
    def size(data: bytes, *, more: bytes) -> tuple[int, int]:
        return len(data), len(more)

    assert ray.get(size.remote(b"x" * 3_000_000, more=b"y" * 200_000)) == (3_000_000, 200_000)


def test_a_task_takes_a_hundred_refs(ray: ModuleType) -> None:
    @ray.remote
    def total(*numbers: int) -> int:
        return sum(numbers)

    assert ray.get(total.remote(*[ray.put(i) for i in range(100)])) == 4950


def test_an_unserializable_argument_is_a_type_error_and_nothing_is_submitted(
    ray: ModuleType,
) -> None:
    import threading

    @ray.remote
    def take(value: Any) -> None:
        pass

    with pytest.raises(TypeError, match=r"[Cc]ould not serialize|[Cc]annot pickle"):
        take.remote(threading.Lock())
