"""Semantics 10: serialization."""

from __future__ import annotations

import collections
import dataclasses
import enum
from types import ModuleType
from typing import Any

import numpy as np
import pytest


@dataclasses.dataclass
class Point:
    x: int
    y: int


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


Pair = collections.namedtuple("Pair", "left right")


class Tagged(np.ndarray):  # type: ignore[type-arg]
    pass


def make_echo(ray: ModuleType) -> Any:
    @ray.remote
    def echo(value: Any) -> Any:
        return value

    return echo


@pytest.mark.parametrize(
    "value",
    [
        0, -1, 2**70, 1.5, True, None, "", "ünïcode", b"bytes", (), [], {}, {1, 2},
        frozenset({3}), (1, [2, {"three": (4,)}]), range(3), complex(1, 2), ..., slice(1, 2),
    ],
    ids=repr,
)  # fmt: skip
def test_plain_values_come_back_equal(ray: ModuleType, value: Any) -> None:
    back = ray.get(make_echo(ray).remote(value))
    assert back == value
    assert type(back) is type(value)
    assert ray.get(ray.put(value)) == value


@pytest.mark.parametrize(
    "dtype",
    ["int8", "uint16", "int64", "float16", "float32", "float64", "complex128", "bool", "U5"],
)
def test_arrays_come_back_equal(ray: ModuleType, dtype: str) -> None:
    array = np.ones((3, 4)).astype(dtype)
    back = ray.get(make_echo(ray).remote(array))
    np.testing.assert_array_equal(back, array)
    assert back.dtype == array.dtype


def test_large_arrays_are_read_only_views(ray: ModuleType) -> None:
    array = np.arange(1_000_000)
    back = ray.get(ray.put(array))
    np.testing.assert_array_equal(back, array)
    assert not back.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        back[0] = 1


def test_the_same_array_got_twice_is_the_same_memory(ray: ModuleType) -> None:
    ref = ray.put(np.arange(1_000_000))
    one, two = ray.get(ref), ray.get(ref)
    assert np.shares_memory(one, two) or one.ctypes.data == two.ctypes.data


def test_arrays_of_objects_work(ray: ModuleType) -> None:
    array = np.array([{"a": 1}, None, "text"], dtype=object)
    back = ray.get(make_echo(ray).remote(array))
    assert list(back) == list(array)


def test_subclasses_of_arrays_keep_their_class(ray: ModuleType) -> None:
    array = np.arange(100_000).view(Tagged)
    assert type(ray.get(ray.put(array))) is Tagged


def test_noncontiguous_arrays_work(ray: ModuleType) -> None:
    array = np.arange(1_000_000).reshape(1000, 1000)[::2, ::3]
    np.testing.assert_array_equal(ray.get(ray.put(array)), array)


def test_dataclasses_enums_and_named_tuples_keep_their_identity(ray: ModuleType) -> None:
    echo = make_echo(ray)
    assert ray.get(echo.remote(Point(1, 2))) == Point(1, 2)
    assert ray.get(echo.remote(Colour.RED)) is Colour.RED
    back = ray.get(echo.remote(Pair(1, 2)))
    assert type(back) is Pair
    assert back == Pair(1, 2)


def test_local_classes_keep_their_identity_with_the_drivers(ray: ModuleType) -> None:
    @dataclasses.dataclass
    class Local:
        n: int

    class Mood(enum.Enum):
        GOOD = 1

    @ray.remote
    def make() -> Any:
        return Local(3), Mood.GOOD

    local, mood = ray.get(make.remote())
    assert isinstance(local, Local)
    assert local == Local(3)
    assert mood is Mood.GOOD


def test_circular_structures_work(ray: ModuleType) -> None:
    loop: list[Any] = [1]
    loop.append(loop)
    back = ray.get(ray.put(loop))
    assert back[1] is back


def test_functions_and_classes_are_values(ray: ModuleType) -> None:
    echo = make_echo(ray)
    assert ray.get(echo.remote(lambda n: n + 1))(1) == 2
    assert ray.get(echo.remote(int)) is int


def test_arrow_tables_come_back_equal(ray: ModuleType) -> None:
    import pyarrow

    table = pyarrow.table({"a": list(range(100_000))})
    assert ray.get(ray.put(table)).equals(table)


def test_big_dicts_of_arrays_work(ray: ModuleType) -> None:
    value = {f"k{i}": np.full(10_000, i) for i in range(20)}
    back = ray.get(make_echo(ray).remote(value))
    assert all(int(back[f"k{i}"][0]) == i for i in range(20))


def test_bytes_and_bytearrays_of_any_size_work(ray: ModuleType) -> None:
    for size in (0, 1, 100_000, 5_000_000):
        assert ray.get(ray.put(b"x" * size)) == b"x" * size
    assert ray.get(ray.put(bytearray(200_000))) == bytearray(200_000)
