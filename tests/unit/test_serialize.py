"""Values to bytes and back, with buffers that are not copied."""

from __future__ import annotations

import collections
import dataclasses
import enum
import math
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from raykernel.runtime import serialize as s
from raykernel.runtime.serialize import deserialize, note_ref, serialize

leaves = st.one_of(
    st.none(), st.booleans(), st.integers(), st.text(), st.binary(), st.complex_numbers(),
    st.floats(), st.dates(), st.uuids(), st.fractions(),
)  # fmt: skip
nested = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.tuples(inner, inner),
        st.dictionaries(st.text(max_size=5), inner, max_size=5),
    ),
    max_leaves=40,
)
dtypes = st.one_of(hnp.scalar_dtypes(), hnp.unicode_string_dtypes(), hnp.array_dtypes(max_size=3))
arrays = hnp.arrays(dtypes, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5))


@dataclasses.dataclass
class Point:
    x: float
    y: Any = None


class Colour(enum.Enum):
    RED = 1


Pair = collections.namedtuple("Pair", "left right")


class FakeRef:
    """Pickles as a ref does."""

    def __init__(self, object_id: bytes) -> None:
        self.id = object_id

    def __reduce__(self) -> Any:
        note_ref(self.id)
        return FakeRef, (self.id,)


def round_trip(value: Any) -> Any:
    return deserialize(serialize(value).to_bytes())


def same(one: Any, two: Any) -> bool:
    """Equal in type and value, NaN to NaN."""
    if type(one) is not type(two):
        return False
    if isinstance(one, float):
        return one == two or (math.isnan(one) and math.isnan(two))
    if isinstance(one, complex):
        return same(one.real, two.real) and same(one.imag, two.imag)
    if isinstance(one, (list, tuple)):
        return len(one) == len(two) and all(map(same, one, two))
    if isinstance(one, dict):
        return list(one) == list(two) and all(map(same, one.values(), two.values()))
    return bool(one == two)


def same_array(one: np.ndarray, two: np.ndarray) -> bool:
    """Equal to the bit, but for the byte order: NumPy's own pickles may make it the native one."""

    def native(array: np.ndarray) -> np.ndarray:
        return array.astype(array.dtype.newbyteorder("="), order="C")

    one, two = native(one), native(two)
    return one.dtype == two.dtype and one.shape == two.shape and one.tobytes() == two.tobytes()


@settings(deadline=None)  # the machine may be busy
@given(nested)
def test_plain_values_and_containers(value: Any):
    assert same(round_trip(value), value)


@settings(deadline=None)  # the machine may be busy
@given(arrays)
def test_arrays(array: np.ndarray):
    assert same_array(round_trip(array), array)


@settings(deadline=None)  # the machine may be busy
@given(arrays, st.sampled_from(["F", "step", "reversed", "transposed", "readonly"]))
def test_arrays_however_they_lie_in_memory(array: np.ndarray, how: str):
    if how == "F":
        array = np.asfortranarray(array)
    elif how == "transposed":
        array = array.T
    elif how == "readonly":
        array.flags.writeable = False
    elif array.ndim:
        array = array[::2] if how == "step" else array[::-1]
    assert same_array(round_trip(array), array)


def test_object_arrays():
    array = np.array([1, "two", {"three": 3}, None], dtype=object)
    assert round_trip(array).tolist() == array.tolist()


def test_what_arrays_are_nested_in_is_kept_with_them():
    value = {"a": [np.arange(5), (np.ones((2, 3)),)], "b": Point(1.0, np.arange(3))}
    back = round_trip(value)
    assert same_array(back["a"][0], value["a"][0])
    assert same_array(back["a"][1][0], value["a"][1][0])
    assert same_array(back["b"].y, value["b"].y)


@pytest.mark.parametrize(
    "value",
    [
        Point(1.5, [Point(2.0)]), Colour.RED, Pair(1, (2, 3)), {1, 2}, frozenset("ab"), range(9),
        slice(1, 2), bytearray(b"abc"), collections.OrderedDict(a=1), collections.deque([1, 2], 3),
        Point, len, int, Ellipsis, NotImplemented,
    ],
)  # fmt: skip
def test_other_values(value: Any):
    assert same(round_trip(value), value)


def test_functions_and_classes_that_no_other_process_could_import():
    offset = 5

    class Local:
        def __init__(self, n: int) -> None:
            self.n = n + offset

    def double(n: int) -> int:
        return Local(2 * n).n

    assert round_trip(double)(4) == 13
    assert round_trip(lambda x: x + offset)(1) == 6
    assert round_trip(Local(1)).n == 6


def test_what_contains_itself():
    ring: list[Any] = [1]
    ring.append(ring)
    back = round_trip(ring)
    assert back[1] is back
    table: dict[str, Any] = {}
    table["self"] = [table]
    back = round_trip(table)
    assert back["self"][0] is back


def test_what_is_shared_stays_shared():
    shared = [np.arange(3)]
    back = round_trip({"one": shared, "two": shared})
    assert back["one"] is back["two"]


def test_deep_nesting_fails_by_name():
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises((RecursionError, Exception), match="recursion"):
        serialize(deep)


# -- buffers --------------------------------------------------------------------------------------


@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.integers(0, 300), min_size=1, max_size=6), st.text(max_size=100))
def test_buffers_are_aligned_and_read_only_slices_of_what_was_given(sizes: list[int], text: str):
    value = [text, *(np.full(n, n % 256, dtype=np.uint8) for n in sizes)]
    serialized = serialize(value)
    data = serialized.to_bytes()
    assert len(data) == serialized.size == sum(memoryview(c).nbytes for c in serialized.chunks())
    memory = np.zeros(len(data) + 64, dtype=np.uint8)
    start = -memory.ctypes.data % 64
    memory[start : start + len(data)] = np.frombuffer(data, np.uint8)
    back = deserialize(memoryview(memory)[start : start + len(data)])
    for array, n in zip(back[1:], sizes, strict=True):
        assert array.tolist() == [n % 256] * n
        if n:
            assert array.ctypes.data % 64 == 0
            assert np.shares_memory(array, memory)
            assert not array.flags.writeable


def test_a_small_value_is_a_bare_pickle():
    assert serialize({"a": 1}).to_bytes()[0] == 0x80
    assert serialize({"a": 1}).buffers is None


def test_what_is_not_ours_is_refused():
    with pytest.raises(ValueError, match="not a serialized value"):
        deserialize(b"nonsense and more of it")


# -- refs and serializers of one's own ------------------------------------------------------------


def test_refs_inside_are_reported_in_order_and_as_often_as_they_are_there():
    one, two = FakeRef(b"1"), FakeRef(b"2")
    assert serialize([one, {"x": two}, one]).contained == (b"1", b"2")
    assert serialize([FakeRef(b"1"), FakeRef(b"1")]).contained == (b"1", b"1")
    assert serialize([1]).contained == ()


def test_pickling_inside_pickling_reports_to_its_own_caller():
    class Outer:
        def __reduce__(self) -> Any:
            inner = serialize([FakeRef(b"inner")])
            assert inner.contained == (b"inner",)
            return list, ()

    assert serialize([FakeRef(b"before"), Outer(), FakeRef(b"after")]).contained == (
        b"before",
        b"after",
    )


def test_a_failure_leaves_no_collector_behind():
    with pytest.raises(TypeError):
        serialize([FakeRef(b"1"), threading.Lock()])
    note_ref(b"nobody asks")
    assert serialize([FakeRef(b"2")]).contained == (b"2",)


@pytest.fixture
def locks() -> Iterator[None]:
    kind = type(threading.Lock())
    s.register_custom(kind, lambda lock: lock.locked(), lambda locked: ["lock", locked])
    yield
    s.deregister_custom(kind)


@pytest.mark.usefixtures("locks")
def test_a_serializer_of_ones_own():
    assert round_trip({"lock": threading.Lock()}) == {"lock": ["lock", False]}


def test_a_serializer_that_was_taken_back():
    s.register_custom(Point, lambda p: p.x, lambda x: Point(x + 1))
    assert round_trip(Point(1)) == Point(2)
    s.deregister_custom(Point)
    s.deregister_custom(Point)
    assert round_trip(Point(1)) == Point(1)
