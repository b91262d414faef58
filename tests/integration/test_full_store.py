"""Where objects have no room at all: a clear error, and nothing lost."""

from __future__ import annotations

import errno
import gc
import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import raykernel
from raykernel import api
from raykernel.runtime import session
from raykernel.runtime.shm import Arena
from tests.integration.test_memory import soon, store

MIB = 2**17  # in float64s


def large(size: int) -> Any:
    return np.ones(size * MIB)


@raykernel.remote
def make(size: int) -> Any:
    return np.ones(size * MIB)


@pytest.fixture
def ray(ray_session: ModuleType) -> ModuleType:
    return ray_session


def test_without_spilling_a_full_store_says_so_and_loses_nothing() -> None:
    ray = raykernel
    ray.init(
        num_cpus=1, object_store_memory=20 * 2**20,
        _system_config={"automatic_object_spilling_enabled": False},
    )  # fmt: skip
    try:
        kept = ray.put(large(10))
        with pytest.raises(ray.exceptions.ObjectStoreFullError, match=r"no room.*switched off"):
            ray.put(large(15))
        with pytest.raises(ray.exceptions.ObjectStoreFullError, match=r"(?i)no room"):
            ray.get(make.remote(15))
        assert ray.get(kept).sum() == 10 * MIB
        del kept
        gc.collect()
        assert soon(lambda: store()["used"] == 0)
        assert ray.get(ray.put(large(15))).sum() == 15 * MIB
    finally:
        ray.shutdown()


@pytest.fixture
def full_disk() -> Iterator[Path]:
    """A session whose disk has no space left for the first files of its spill folder."""
    raykernel.init(num_cpus=1, object_store_memory=20 * 2**20)
    folder = Path(api.engine().client.welcome.spill)  # type: ignore[union-attr]
    for i in range(1, 30):
        (folder / f"object-{i:06d}.pickle5").symlink_to("/dev/full")
    yield folder
    raykernel.shutdown()


def test_a_full_disk_is_an_error_and_loses_nothing(full_disk: Path) -> None:
    ray = raykernel
    kept = [ray.put(large(9)), ray.put(large(9))]
    with pytest.raises(ray.exceptions.OutOfDiskError, match=r"spill.*No space left"):
        ray.put(large(9))
    with pytest.raises(ray.exceptions.OutOfDiskError, match="No space left"):
        ray.put(large(30))
    with pytest.raises(ray.exceptions.OutOfDiskError, match="No space left"):
        ray.get(make.remote(9))
    assert [ray.get(ref).sum() for ref in kept] == [9 * MIB, 9 * MIB]
    for link in full_disk.iterdir():
        link.unlink()
    kept.append(ray.put(large(9)))  # now there is space
    assert [ray.get(ref).sum() for ref in kept] == [9 * MIB] * 3


def test_small_shared_memory_is_told_of_once_and_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ray = raykernel
    monkeypatch.setattr(session, "_SHM", tmp_path)
    small = SimpleNamespace(f_bavail=16_000, f_frsize=4096)
    monkeypatch.setattr(session.os, "statvfs", lambda path: small)
    ray.init(num_cpus=1, object_store_memory=200 * 2**20)
    try:
        arena = Path(api.engine().client.welcome.arena)  # type: ignore[union-attr]
        assert arena.parent == Path(api.engine().client.welcome.folder)  # type: ignore[union-attr]
        ref = ray.put(large(1))
        assert ray.get(ref).sum() == MIB
        assert ray.get(make.remote(1)).sum() == MIB
        (record,) = caplog.records
        assert "62 MiB available" in record.getMessage()
        assert "--shm-size" in record.getMessage()
    finally:
        ray.shutdown()


def test_what_shared_memory_can_not_take_goes_to_disk_and_that_is_told_once(
    ray: ModuleType, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def write(self: Arena, *args: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Arena, "write", write)
    refs = [ray.put(large(1)) for _ in range(3)]
    assert store()["on_disk_objects"] == 3
    assert [ray.get(ref).sum() for ref in refs] == [MIB] * 3
    assert soon(lambda: bool(caplog.records))
    store()  # whatever else the head had to say came before this answer
    (record,) = caplog.records
    assert "is full before the store is: large objects go to mapped files" in record.getMessage()
