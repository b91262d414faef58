"""More objects than there is memory for: they go to files and come back, and lost ones are made
again."""

from __future__ import annotations

import gc
import itertools
import os
import pickle
import signal
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import raykernel
from raykernel import api
from tests.integration.test_memory import lies_in_arena, soon, store

MIB = 2**20
CAP = 24 * MIB
SIZE = 5 * MIB


@pytest.fixture(scope="module")
def ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """A session that has memory for four arrays of `array`."""
    folder = tmp_path_factory.mktemp("spill")
    raykernel.init(
        num_cpus=2, object_store_memory=CAP, object_spilling_directory=str(folder / "objects")
    )
    yield raykernel
    raykernel.shutdown()
    assert list((folder / "objects").iterdir()) == [], "files outlive their session"


@pytest.fixture(autouse=True)
def _clean(ray: ModuleType) -> Iterator[None]:
    yield
    gc.collect()
    assert soon(lambda: not files() and store()["used"] == 0), api.engine().query("memory")  # type: ignore[union-attr]


def array(number: int) -> Any:
    return np.full(SIZE // 8, float(number))


@raykernel.remote
def make(number: int) -> Any:
    return np.full(SIZE // 8, float(number))


@raykernel.remote
def add(one: Any, other: Any) -> Any:
    return one + other


@raykernel.remote
def first(array: Any) -> float:
    return float(array[0])


def folder() -> Path:
    return Path(api.engine().client.welcome.spill)  # type: ignore[union-attr]


def files() -> list[Path]:
    return list(folder().iterdir())


def lose_files() -> None:
    for file in files():
        file.unlink()


def test_objects_go_to_files_and_come_back(ray: ModuleType) -> None:
    refs = [ray.put(array(i)) for i in range(10)]
    figures = store()
    assert figures["on_disk_objects"] >= 6
    assert figures["used"] <= CAP
    assert sum(f.stat().st_size for f in files()) == figures["on_disk"]
    for i, ref in enumerate(refs):
        value = ray.get(ref)
        assert (value == i).all()
        with pytest.raises(ValueError, match="read-only"):
            value[0] = 1
    assert ray.get([first.remote(ref) for ref in refs]) == list(range(10))


def test_more_may_be_looked_at_at_once_than_fits(ray: ModuleType) -> None:
    refs = [make.remote(i) for i in range(8)]
    values = ray.get(refs)
    for i, value in enumerate(values):
        assert (value == i).all()


def test_the_least_recently_used_goes_first(ray: ModuleType) -> None:
    refs = [ray.put(array(i)) for i in range(4)]
    ray.get(first.remote(refs[0]))
    refs.append(ray.put(array(4)))
    where = {o["object_id"]: o["where"] for o in api.engine().query("objects")}  # type: ignore[union-attr]
    assert [where[ref.hex()] for ref in refs] == ["memory", "disk", "memory", "memory", "memory"]


def test_what_somebody_looks_at_stays_where_it_is(ray: ModuleType) -> None:
    refs = [ray.put(array(i)) for i in range(2)]
    views = ray.get(refs)
    assert all(lies_in_arena(view) for view in views)
    refs += [ray.put(array(i)) for i in range(2, 10)]
    assert [float(view[-1]) for view in views] == [0.0, 1.0]
    assert all(lies_in_arena(view) for view in ray.get(refs[:2]))


def test_one_object_may_be_larger_than_the_store(ray: ModuleType) -> None:
    ref = ray.put(np.arange(2 * CAP // 8))
    value = ray.get(ref)
    assert value.nbytes == 2 * CAP
    assert int(value[-1]) == 2 * CAP // 8 - 1
    assert ray.get(first.remote(ref)) == 0.0


def test_a_file_says_in_its_name_what_it_is(ray: ModuleType) -> None:
    ref = ray.put(b"x" * 2 * CAP)
    (file,) = files()
    assert file.suffix == ".pickle"
    with file.open("rb") as stream:
        assert pickle.load(stream) == b"x" * 2 * CAP
    del ref


def test_lost_results_are_computed_again_with_their_inputs(ray: ModuleType) -> None:
    ones = [make.remote(i) for i in range(8)]
    sums = [add.remote(a, b) for a, b in itertools.pairwise(ones)]
    ray.wait(sums, num_returns=len(sums))
    ones.clear()  # freed, but a part of the sums' lineage
    assert soon(lambda: len(files()) == store()["on_disk_objects"] > 0)
    lose_files()
    assert [float(ray.get(ref)[7]) for ref in sums] == [2.0 * i + 1 for i in range(7)]
    assert store()["remade"] > 0


def test_a_task_waits_for_a_lost_argument(ray: ModuleType) -> None:
    refs = [make.remote(i) for i in range(8)]
    ray.wait(refs, num_returns=8)
    lose_files()
    assert ray.get([first.remote(ref) for ref in refs]) == list(range(8))


def test_a_lost_result_is_made_again_as_often_as_its_task_may_be_retried(
    ray: ModuleType, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"

    @ray.remote(max_retries=2)
    def large() -> Any:
        with runs.open("a") as file:
            file.write("x")
        return np.full(CAP // 8 + 1, 7.0)  # does not fit: lies in a file from the start

    ref = large.remote()
    for expected in ("x", "xx", "xxx"):
        assert ray.get(first.remote(ref)) == 7.0
        assert runs.read_text() == expected
        lose_files()
    with pytest.raises(ray.exceptions.ObjectLostError, match=f"{ref.hex()}.* large .*max_retries"):
        ray.get(ref)
    assert runs.read_text() == "xxx"


def test_a_block_that_is_lost_with_its_writer_is_written_again(
    ray: ModuleType, tmp_path: Path
) -> None:
    @ray.remote(max_retries=1)
    def make_and_die(array: Any, mark: Any) -> Any:
        from raykernel.runtime.shm import Arena

        write = Arena.write

        def write_and_die(*args: Any) -> None:
            Arena.write = write  # type: ignore[method-assign]
            write(*args)
            if not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)

        Arena.write = write_and_die  # type: ignore[method-assign,assignment]
        return array + 1

    ref = make_and_die.remote(make.remote(6), tmp_path / "died")
    assert (ray.get(ref) == 7.0).all()
    assert (tmp_path / "died").exists()


def test_what_was_put_or_has_no_retries_is_lost_for_good(ray: ModuleType) -> None:
    fill = [ray.put(array(i)) for i in range(3)]
    refs = [ray.put(array(0)), make.options(max_retries=0).remote(1)]
    ray.wait(refs, num_returns=2)
    fill += [ray.put(array(i)) for i in range(3, 7)]
    lose_files()
    for ref, why in zip(refs, ("ray.put", "max_retries"), strict=True):
        with pytest.raises(ray.exceptions.ObjectLostError, match=why):
            ray.get(ref)
        with pytest.raises(ray.exceptions.ObjectLostError, match="could not be computed"):
            ray.get(first.remote(ref))
    assert ray.get(fill[6])[0] == 6


def test_a_put_that_finds_all_memory_looked_at_says_who_looks(ray: ModuleType) -> None:
    refs = [make.remote(i) for i in range(3)]
    views = ray.get(refs)
    mine_ref = ray.put(array(3))
    mine = ray.get(mine_ref)
    with pytest.raises(ray.exceptions.ObjectStoreFullError) as caught:
        ray.put(array(4))
    text = str(caught.value)
    assert f"(make), looked at by the driver (pid {os.getpid()})" in text
    assert "object_store_memory" in text
    # but what a task has computed is not lost
    assert float(ray.get(make.remote(5))[0]) == 5.0
    assert [float(v[0]) for v in (*views, mine)] == [0.0, 1.0, 2.0, 3.0]
    del mine, mine_ref
    assert ray.get(ray.put(array(6)))[0] == 6.0
