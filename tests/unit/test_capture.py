"""What functions drag along: found, named, stored apart once, and noticed when it is redefined."""

from __future__ import annotations

import gc
import types
import warnings
import weakref
from typing import Any

import numpy as np
import pytest

from raykernel import capture, redefinition
from raykernel.captured import MISSING, walk
from raykernel.runtime import context
from raykernel.runtime.ids import IdFactory
from raykernel.runtime.messages import Value
from raykernel.runtime.serialize import Serialized, deserialize, serialize


class FakeClient:
    """Keeps what is put."""

    def __init__(self) -> None:
        self.ids = IdFactory()
        self.stored: dict[bytes, bytes] = {}

    def put(self, data: Serialized, object_id: bytes) -> None:
        self.stored[object_id] = data.to_bytes()

    def get(self, ids: list[bytes], _timeout: None) -> list[Value]:
        return [Value(i, self.stored[i]) for i in ids]

    def load(self, value: Value) -> Any:
        return deserialize(value.data)

    def add_ref(self, _id: bytes) -> None: ...

    def drop_ref(self, _id: bytes) -> None: ...


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> FakeClient:
    made = FakeClient()
    monkeypatch.setattr(context, "engine", types.SimpleNamespace(client=made))
    monkeypatch.setattr(capture, "_warned", set())
    return made


@pytest.fixture
def cells(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs code in a namespace as a notebook's cell, and returns the namespace."""
    names: dict[str, Any] = {"__name__": "__main__", "np": np}
    monkeypatch.setattr(redefinition, "names", names)

    def run(text: str) -> dict[str, Any]:
        monkeypatch.setattr(redefinition, "epoch", redefinition.epoch + 1)
        exec(text, names)
        return names

    return run


def lighten(client: FakeClient, thing: Any) -> Serialized:
    data = serialize((thing, {}))
    return capture.lighten(client, thing, (thing, {}), data, f"The function {thing.__name__}")  # type: ignore[arg-type]


def test_globals_closures_defaults_and_what_they_use_are_found(cells: Any) -> None:
    names = cells(
        """
far, near, shade = [1], [2], [3]
class Base:
    def base(self): return far
class Model(Base):
    table = near
    @property
    def look(self): return shade
def helper(): return Model
def outer():
    inside = [4]
    def f(x, given=(5,), *, named=(6,)):
        return [helper() for _ in inside] + nowhere
    return f
f = outer()
"""
    )
    found = {c.name: c.value for c in walk(names["f"])}
    assert found["helper"] is names["helper"]
    assert (found["inside"], found["given"], found["named"]) == ([4], (5,), (6,))
    assert found["far"] is names["far"]
    assert found["shade"] is names["shade"]
    assert found["Model.table"] is names["near"]
    assert found["nowhere"] is MISSING


def test_large_things_are_named_and_put_once(cells: Any, client: FakeClient) -> None:
    names = cells(
        """
weights = np.ones(200_000)
words = ["word %d" % i for i in range(200_000)]
def f(): return weights.sum() + len(words)
def g(): return weights.max()
"""
    )
    said = r"f captures words \([\d.]+ MiB, list\), weights \(1.5 MiB, numpy.ndarray\):"
    with pytest.warns(UserWarning, match=said):
        light = lighten(client, names["f"])
    assert light.size < 10_000
    assert len(client.stored) == 2
    with pytest.warns(UserWarning, match="g captures weights"):
        lighten(client, names["g"])
    assert len(client.stored) == 2  # the same array
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lighten(client, names["g"])
    assert len(light.contained) == 2
    loaded, _ = deserialize(light.to_bytes())
    assert loaded() == 400_000
    assert not loaded.__globals__["weights"].flags.writeable


def test_an_array_that_was_changed_is_put_again_and_one_that_is_gone_is_let_go(
    cells: Any, client: FakeClient
) -> None:
    array = np.ones(200_000)
    before = capture.put_once(client, array, serialize(array))  # type: ignore[arg-type]
    assert capture.put_once(client, array, serialize(array)) == before  # type: ignore[arg-type]
    array[0] = 2
    after = capture.put_once(client, array, serialize(array))  # type: ignore[arg-type]
    assert after != before
    place = id(array)
    assert capture._kept[place].ref == after
    del array
    gc.collect()
    assert place not in capture._kept


def test_too_much_is_an_error_that_names_it(
    cells: Any, client: FakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture, "most", 1 << 20)
    names = cells("weights = np.ones(200_000)\ndef f(): return weights\n")
    with pytest.raises(ValueError, match=r"is too large \(1.5 MiB, .*weights \(1.5 MiB, numpy"):
        lighten(client, names["f"])
    assert not client.stored


def test_many_small_things_are_named_too(cells: Any, client: FakeClient) -> None:
    text = "\n".join(f"a{i} = np.zeros(8000)" for i in range(20))
    names = cells(f"{text}\ndef f(): return {' + '.join(f'a{i}' for i in range(20))}\n")
    with pytest.warns(UserWarning, match=r"captures a0 \(0.1 MiB, numpy.ndarray\), a1 .*, \.\.\.:"):
        lighten(client, names["f"])
    assert not client.stored


@pytest.mark.parametrize(
    ("cell", "changes"),
    [
        ("x = 1", False),
        ("x = 2", True),
        ("items = items", False),
        ("items = [1, 2]", True),
        ("items.append(3)", False),
        ("def helper(): return 2", True),
        ("late = 1", True),
        ("other = 1", False),
        ("del x", True),
    ],
)
def test_a_name_that_means_something_else_is_noticed(cells: Any, cell: str, changes: bool) -> None:
    names = cells(
        """
x, items = 1, [1]
def helper(): return x
def f(): return helper(), items, late
"""
    )
    watch = redefinition.Watch(names["f"])
    assert not watch.changed()
    assert not watch.moved()
    cells(cell)
    assert watch.moved() or not changes
    assert watch.changed() is changes
    assert watch.moved() is changes  # what is the same all the same is not looked at again


def test_a_watch_keeps_nothing_alive(cells: Any) -> None:
    names = cells("array = np.ones(3)\ndef f(): return array\n")
    watch = redefinition.Watch(names["f"])
    alive = weakref.ref(names["array"])
    cells("array = None")
    assert alive() is None
    assert watch.changed()


def test_a_class_of_the_same_text_is_the_same_definition(cells: Any) -> None:
    text = "class A:\n    limit = {}\n    def m(self): return [x for x in range({})]\n"
    first = redefinition.digest(cells(text.format(1, 1))["A"])
    assert not redefinition.is_older("A", "__main__", first)
    cells(text.format(1, 1))
    assert not redefinition.is_older("A", "__main__", first)
    cells(text.format(2, 1))
    assert redefinition.is_older("A", "__main__", first)
    cells(text.format(1, 2))
    assert redefinition.is_older("A", "__main__", first)
    assert not redefinition.is_older("A", "elsewhere", first)


def test_a_class_at_home_keeps_its_own_methods(cells: Any) -> None:
    names = cells("y = 1\nclass A:\n    def m(self): return y\n")
    again = deserialize(serialize(names["A"]()).to_bytes())
    assert type(again) is names["A"]
    cells("y = 2")
    assert again.m() == 2
