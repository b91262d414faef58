"""Serializers of one's own, and the search for what can't be serialized."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import raykernel as ray
from raykernel.util import deregister_serializer, inspect_serializability, register_serializer

pytestmark = pytest.mark.usefixtures("session")

lock = threading.Lock()


class Guarded:
    def __init__(self, value: int) -> None:
        self.value = value
        self.lock = threading.Lock()


@pytest.fixture
def registered() -> Iterator[None]:
    register_serializer(
        Guarded, serializer=lambda guarded: guarded.value, deserializer=lambda value: Guarded(value)
    )
    yield
    deregister_serializer(Guarded)


@pytest.mark.usefixtures("registered")
def test_a_registered_type_travels_by_its_serializer() -> None:
    @ray.remote
    def value_of(guarded: Any) -> int:
        return int(guarded.value)

    assert ray.get(value_of.remote(Guarded(3))) == 3
    assert ray.get(ray.put([Guarded(4)]))[0].value == 4


def test_an_unregistered_type_does_not() -> None:
    with pytest.raises(TypeError, match="lock"):
        ray.put(Guarded(1))
    deregister_serializer(Guarded)


def search(thing: Any, **how: Any) -> tuple[bool, list[tuple[str, ...]], str]:
    out = io.StringIO()
    fits, failures = inspect_serializability(thing, print_file=out, **how)
    return fits, sorted(failure.path for failure in failures), out.getvalue()


def test_what_can_be_serialized_has_no_culprits() -> None:
    fits, paths, _ = search({"a": [1, 2]})
    assert (fits, paths) == (True, [])


def test_culprits_are_found_in_globals_and_closures() -> None:
    inner = threading.Lock()

    def uses() -> Any:
        return lock, inner

    fits, paths, text = search(uses)
    assert (fits, paths) == (False, [("inner",), ("lock",)])
    assert "FailTuple(lock" in text


def test_culprits_are_found_in_attributes_and_containers() -> None:
    assert search(Guarded(1), name="guarded")[1] == [("guarded", "lock")]
    assert search({"a": [0, lock]})[1] == [("a", "1")]


def test_the_search_stops_at_its_depth() -> None:
    assert search({"a": [lock]}, depth=1)[1] == [("a",)]
    assert search({"a": [lock]}, depth=0)[1] == [()]


def test_one_culprit_in_two_places_is_named_once() -> None:
    assert search({"a": lock, "b": [lock]})[1] == [("a",)]


def test_a_remote_function_is_searched_as_the_function_it_is() -> None:
    @ray.remote
    def uses() -> Any:
        return lock

    assert [path[-1] for path in search(uses)[1]] == ["lock"]
