"""multiprocessing.Pool: a drop-in for the standard library's."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import threading
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from tests.contract.signals import make_gate
from tests.util.conftest import Util


@pytest.fixture(scope="module")
def pool(util: Util) -> Iterator[Any]:
    made = util("multiprocessing").Pool(2)
    yield made
    made.terminate()
    made.join()


class Box:
    """Takes what a callback is given."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self.value: Any = None

    def put(self, value: Any) -> None:
        self.value = value
        self.event.set()

    def get(self) -> Any:
        assert self.event.wait(30), "the callback was not called"
        return self.value


def square(x: int) -> int:
    return x * x


def fail_at_three(x: int) -> int:
    if x == 3:
        raise ValueError("three")
    return x


def test_apply_takes_arguments_and_keywords(pool: Any) -> None:
    assert pool.apply(lambda a, b, c=0: (a, b, c), (1, 2), {"c": 3}) == (1, 2, 3)
    assert pool.apply(os.getpid) != os.getpid()


def test_map_keeps_the_order(pool: Any) -> None:
    assert pool.map(square, range(50)) == [x * x for x in range(50)]
    assert pool.map(square, range(10), chunksize=3) == [x * x for x in range(10)]
    assert pool.map(square, []) == []


def test_map_uses_every_process(pool: Any) -> None:
    assert len(set(pool.map(lambda _: os.getpid(), range(20)))) == 2


def test_starmap_spreads_the_arguments(pool: Any) -> None:
    assert pool.starmap(pow, [(2, 3), (3, 2), (1, 9)]) == [8, 9, 1]
    assert pool.starmap_async(pow, [(2, 5)]).get() == [32]


def test_imap_gives_results_in_order(pool: Any) -> None:
    results = pool.imap(square, range(20), chunksize=3)
    assert iter(results) is results
    assert list(results) == [x * x for x in range(20)]


def test_imap_unordered_gives_every_result_once(pool: Any) -> None:
    assert sorted(pool.imap_unordered(square, range(20), chunksize=3)) == [x * x for x in range(20)]


def test_imap_reads_endless_input_as_it_goes(pool: Any) -> None:
    results = pool.imap(square, itertools.count())
    assert [next(results) for _ in range(5)] == [0, 1, 4, 9, 16]


def test_an_error_keeps_its_type_and_message(pool: Any) -> None:
    with pytest.raises(ValueError, match=r"^three$"):
        pool.map(fail_at_three, range(5))
    with pytest.raises(ValueError, match=r"^three$"):
        pool.apply(fail_at_three, (3,))


@pytest.mark.parametrize("how", ["imap", "imap_unordered"])
def test_an_iterator_has_errors_among_its_values(util: Util, pool: Any, how: str) -> None:
    found = list(getattr(pool, how)(fail_at_three, range(6), chunksize=2))
    failed = [one for one in found if isinstance(one, util("multiprocessing.pool").PoolTaskError)]
    assert sorted(one for one in found if one not in failed) == [0, 1, 2, 4, 5]
    assert [repr(one.underlying) for one in failed] == ["ValueError('three')"]
    if how == "imap":
        assert found[3] is failed[0]


def test_results_not_there_yet_time_out(ray: ModuleType, pool: Any) -> None:
    gate = make_gate(ray)
    result = pool.apply_async(lambda gate: ray.get(gate.wait.remote()), (gate,))
    result.wait(timeout=0.05)
    assert not result.ready()
    with pytest.raises(multiprocessing.TimeoutError):
        result.get(timeout=0.05)
    with pytest.raises(ValueError, match="not ready"):
        result.successful()
    ray.get(gate.open.remote())
    assert result.get(timeout=30) == "open"
    assert result.ready()
    assert result.successful()


@pytest.mark.parametrize("how", ["imap", "imap_unordered"])
def test_iterators_time_out_and_go_on(ray: ModuleType, pool: Any, how: str) -> None:
    gate = make_gate(ray)
    results = getattr(pool, how)(lambda gate: ray.get(gate.wait.remote()), [gate, gate])
    with pytest.raises(multiprocessing.TimeoutError):
        results.next(timeout=0.05)
    ray.get(gate.open.remote())
    assert [results.next(timeout=30), results.next()] == ["open", "open"]


def test_a_failed_result_was_not_successful(pool: Any) -> None:
    result = pool.map_async(fail_at_three, range(5))
    result.wait()
    assert result.ready()
    assert not result.successful()


def test_callbacks_get_the_value_once(pool: Any) -> None:
    single, whole = Box(), Box()
    pool.apply_async(square, (3,), callback=single.put)
    pool.map_async(square, [1, 2, 3], chunksize=1, callback=whole.put)
    assert (single.get(), sorted(whole.get())) == (9, [1, 4, 9])  # Ray keeps no order here


def test_each_process_is_initialized(util: Util) -> None:
    def remember(name: str, value: str) -> None:
        os.environ[name] = value

    with util("multiprocessing").Pool(
        2, initializer=remember, initargs=("RAYKERNEL_TEST_POOL", "ready")
    ) as pool:
        found = pool.map(lambda _: os.environ["RAYKERNEL_TEST_POOL"], range(4), chunksize=1)
    assert found == ["ready"] * 4
    assert "RAYKERNEL_TEST_POOL" not in os.environ


def test_processes_are_replaced_after_so_many_tasks(util: Util) -> None:
    pool = util("multiprocessing").Pool(2, maxtasksperchild=2)
    assert len(set(pool.map(lambda _: os.getpid(), range(8), chunksize=1))) == 4
    pool.close()
    pool.join()


def test_a_closed_pool_takes_nothing_and_finishes_its_work(util: Util) -> None:
    pool = util("multiprocessing").Pool(2)
    with pytest.raises(ValueError, match="still running"):
        pool.join()
    results = pool.map_async(square, range(4))
    pool.close()
    with pytest.raises(ValueError, match="not running"):
        pool.map(square, [1])
    pool.join()
    assert results.get() == [0, 1, 4, 9]


def test_leaving_the_with_block_ends_the_pool(util: Util) -> None:
    with util("multiprocessing").Pool(1) as pool:
        assert pool.apply(square, (2,)) == 4
    with pytest.raises(ValueError, match="not running"):
        pool.apply(square, (2,))


def test_terminate_stops_what_runs(ray: ModuleType, util: Util) -> None:
    gate = make_gate(ray)
    pool = util("multiprocessing").Pool(1)
    result = pool.apply_async(lambda gate: ray.get(gate.wait.remote()), (gate,))
    pool.terminate()
    pool.join()
    with pytest.raises(ray.exceptions.RayActorError):
        result.get(timeout=30)


def test_more_processes_than_cpus_are_refused(util: Util) -> None:
    with pytest.raises(ValueError, match="only 2"):
        util("multiprocessing").Pool(3)
    with pytest.raises(ValueError, match="must be >0"):
        util("multiprocessing").Pool(0)


def test_processes_can_have_resources_of_their_own(ray: ModuleType, util: Util) -> None:
    with util("multiprocessing").Pool(1, ray_remote_args={"num_cpus": 1}) as pool:
        assert pool.apply(square, (2,)) == 4
        assert ray.available_resources()["CPU"] == 1
