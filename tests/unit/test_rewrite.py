"""Copying into memory that was written before: the second time, and only where all of it exists."""

import mmap
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from raykernel.runtime import rewrite
from raykernel.runtime.rewrite import LEAST, Rewriter

PAGE = mmap.PAGESIZE
CAPACITY = 64 << 20

pytestmark = pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no shared memory here")


@pytest.fixture
def fd() -> Iterator[int]:
    name = f"/dev/shm/raykernel-test-{os.getpid()}"
    fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    os.unlink(name)
    os.ftruncate(fd, CAPACITY)
    yield fd
    os.close(fd)


@pytest.fixture
def rewriter(fd: int) -> Iterator[Rewriter]:
    it = Rewriter(fd, CAPACITY)
    yield it
    it.close()


def parts(size: int, seed: int) -> list[memoryview]:
    """A short head, as each value has, and an odd rest."""
    data = np.random.default_rng(seed).bytes(size)
    return [memoryview(data)[:100], memoryview(data)[100:]]


def put(fd: int, offset: int, data: list[memoryview]) -> None:
    os.pwritev(fd, data, offset)


@pytest.mark.parametrize("size", [LEAST, 3 * LEAST + 17, rewrite._SHARED + 4097])
def test_what_this_process_wrote_before_is_copied_over(
    fd: int, rewriter: Rewriter, size: int
) -> None:
    offset = 5 * PAGE
    first, second = parts(size, 1), parts(size, 2)
    assert not rewriter.write(offset, first)
    put(fd, offset, first)
    put(fd, offset + size, [memoryview(b"behind")])
    assert rewriter.write(offset, second)
    assert os.pread(fd, size + 6, offset) == b"".join(second) + b"behind"


def test_without_numpy_the_bytes_are_the_same(
    fd: int, rewriter: Rewriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = parts(2 * LEAST + 3, 3)
    rewriter.write(0, data)
    put(fd, 0, parts(2 * LEAST + 3, 4))
    monkeypatch.delitem(rewrite.sys.modules, "numpy")
    assert rewriter.write(0, data)
    assert os.pread(fd, 2 * LEAST + 3, 0) == b"".join(data)


def test_a_page_that_was_given_back_is_not_touched_through_the_mapping(
    fd: int, rewriter: Rewriter
) -> None:
    data = parts(LEAST, 5)
    rewriter.write(0, data)
    put(fd, 0, data)
    assert rewriter.write(0, data)
    with mmap.mmap(fd, CAPACITY) as hand:
        hand.madvise(mmap.MADV_REMOVE, 7 * PAGE, PAGE)
    assert not rewriter.write(0, data)


def test_fresh_memory_and_small_blocks_go_the_other_way(fd: int, rewriter: Rewriter) -> None:
    assert [rewriter.write(0, parts(LEAST, 6)) for _ in range(2)] == [False, False]
    assert [rewriter.write(0, parts(LEAST - 1, 6)) for _ in range(2)] == [False, False]
    assert not rewriter.write(PAGE, parts(LEAST, 6)), "it wrote elsewhere, not here"
