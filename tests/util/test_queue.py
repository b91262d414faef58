"""Queue: first in, first out, for tasks, actors and drivers alike."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from tests.util.conftest import Util


@pytest.fixture
def make(util: Util) -> Iterator[Any]:
    made = []

    def make(*args: Any, **kwargs: Any) -> Any:
        made.append(util("queue").Queue(*args, **kwargs))
        return made[-1]

    yield make
    for one in made:
        one.shutdown(force=True)


def test_first_in_is_first_out(make: Any) -> None:
    one = make()
    for item in range(5):
        one.put(item)
    assert [one.get() for _ in range(5)] == [0, 1, 2, 3, 4]


def test_it_says_how_full_it_is(make: Any) -> None:
    one = make(maxsize=2)
    assert (one.maxsize, one.empty(), one.full(), len(one)) == (2, True, False, 0)
    one.put("a")
    one.put("b")
    assert (one.empty(), one.full(), one.qsize(), one.size()) == (False, True, 2, 2)


def test_full_and_empty_are_the_standard_librarys(util: Util) -> None:
    assert issubclass(util("queue").Full, queue.Full)
    assert issubclass(util("queue").Empty, queue.Empty)


def test_a_full_queue_refuses_or_times_out(make: Any, util: Util) -> None:
    one = make(maxsize=1)
    one.put(1)
    for wait in ({"block": False}, {"timeout": 0.05}):
        with pytest.raises(util("queue").Full):
            one.put(2, **wait)
    with pytest.raises(util("queue").Full):
        one.put_nowait(2)
    assert one.size() == 1


def test_an_empty_queue_refuses_or_times_out(make: Any, util: Util) -> None:
    one = make()
    for wait in ({"block": False}, {"timeout": 0.05}):
        with pytest.raises(util("queue").Empty):
            one.get(**wait)
    with pytest.raises(util("queue").Empty):
        one.get_nowait()


def test_negative_timeouts_are_refused(make: Any) -> None:
    one = make()
    with pytest.raises(ValueError, match="non-negative"):
        one.put(1, timeout=-1)
    with pytest.raises(ValueError, match="non-negative"):
        one.get(timeout=-1)


def test_batches_go_in_and_out_whole_or_not_at_all(make: Any, util: Util) -> None:
    one = make(maxsize=3)
    one.put_nowait_batch([1, 2])
    with pytest.raises(util("queue").Full):
        one.put_nowait_batch([3, 4])
    with pytest.raises(util("queue").Empty):
        one.get_nowait_batch(3)
    assert one.size() == 2
    assert one.get_nowait_batch(2) == [1, 2]
    with pytest.raises(TypeError, match="Iterable"):
        one.put_nowait_batch(3)
    with pytest.raises(TypeError, match="int"):
        one.get_nowait_batch("2")
    with pytest.raises(ValueError, match="nonnegative"):
        one.get_nowait_batch(-1)


def test_a_getter_waits_for_a_putter_elsewhere(ray: ModuleType, make: Any) -> None:
    there, back = make(), make()

    @ray.remote
    def echo(source: Any, target: Any) -> None:
        target.put(source.get() * 2)

    done = echo.remote(there, back)
    there.put(21)
    assert back.get(timeout=30) == 42
    ray.get(done)


def test_a_putter_waits_for_room(ray: ModuleType, make: Any) -> None:
    one = make(maxsize=1)

    @ray.remote
    def fill(target: Any) -> None:
        for item in range(20):
            target.put(item)

    done = fill.remote(one)
    assert [one.get(timeout=30) for _ in range(20)] == list(range(20))
    ray.get(done)


def test_it_can_be_awaited(make: Any, util: Util) -> None:
    one = make(maxsize=1)

    async def talk() -> list[Any]:
        getter = asyncio.ensure_future(one.get_async())
        await one.put_async("first")
        got = [await getter]
        await one.put_async("second")
        with pytest.raises(util("queue").Full):
            await one.put_async("third", timeout=0.05)
        got.append(await one.get_async(block=False))
        with pytest.raises(util("queue").Empty):
            await one.get_async(block=False)
        return got

    assert asyncio.run(talk()) == ["first", "second"]


def test_actor_options_are_the_actors(ray: ModuleType, make: Any) -> None:
    one = make(actor_options={"num_cpus": 1})
    one.put(1)
    assert ray.available_resources()["CPU"] == 1


@pytest.mark.parametrize("force", [False, True])
def test_shutdown_ends_the_actor(ray: ModuleType, make: Any, force: bool) -> None:
    one = make()
    one.put(1)
    actor = one.actor
    one.shutdown(force=force)
    assert one.actor is None
    with pytest.raises(ray.exceptions.RayActorError):
        ray.get(actor.qsize.remote())
