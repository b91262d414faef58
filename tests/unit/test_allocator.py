"""The arena's allocator: no two blocks overlap, and all comes back."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raykernel.runtime.allocator import PAGE, Allocator

PAGES = 64


def test_blocks_are_pages_from_the_start():
    allocator = Allocator(PAGES * PAGE, 0)
    assert [allocator.allocate(n) for n in (1, PAGE, PAGE + 1, 0)] == [
        0, PAGE, 2 * PAGE, 4 * PAGE,
    ]  # fmt: skip
    assert allocator.used == 5 * PAGE


def test_there_is_no_more_than_there_is():
    allocator = Allocator(2 * PAGE + 100, 0)
    assert allocator.capacity == 2 * PAGE
    assert allocator.allocate(2 * PAGE + 1) is None
    assert allocator.allocate(2 * PAGE) == 0
    assert allocator.allocate(1) is None


def test_neighbours_are_merged():
    allocator = Allocator(4 * PAGE, 0)
    blocks = [allocator.allocate(PAGE) for _ in range(4)]
    for block in (blocks[0], blocks[2], blocks[1], blocks[3]):
        assert block is not None
        allocator.free(block)
    assert allocator.allocate(4 * PAGE) == 0


def test_a_warm_block_of_about_the_size_is_used_again():
    allocator = Allocator(PAGES * PAGE, PAGES * PAGE)
    first, _ = allocator.allocate(10 * PAGE), allocator.allocate(PAGE)
    assert first is not None
    assert allocator.free(first) == []
    assert allocator.allocate(9 * PAGE) == first
    assert allocator.allocate(PAGE) == first + 9 * PAGE


def test_a_small_request_does_not_break_a_large_warm_block():
    allocator = Allocator(PAGES * PAGE, PAGES * PAGE)
    first = allocator.allocate(10 * PAGE)
    assert first is not None
    allocator.free(first)
    assert allocator.allocate(PAGE) == 10 * PAGE


def test_warm_blocks_are_memory_too():
    allocator = Allocator(4 * PAGE, 4 * PAGE)
    blocks = [allocator.allocate(2 * PAGE), allocator.allocate(2 * PAGE)]
    for block in blocks:
        assert block is not None
        allocator.free(block)
    assert allocator.allocate(4 * PAGE) == 0


def test_a_block_may_be_warm_in_parts():
    allocator = Allocator(4 * PAGE, 4 * PAGE)
    block = allocator.allocate(2 * PAGE)
    assert block is not None
    allocator.free(block)
    assert allocator.allocate(3 * PAGE) == 0
    assert allocator.warm == 0


def test_the_oldest_goes_cold_first():
    allocator = Allocator(PAGES * PAGE, 2 * PAGE)
    blocks = [allocator.allocate(PAGE) for _ in range(6)]
    apart = [blocks[4], blocks[0], blocks[2]]
    assert [allocator.free(b) for b in apart if b is not None] == [[], [], [(4 * PAGE, PAGE)]]


def test_memory_that_was_full_once_is_given_back_however_it_merged():
    allocator = Allocator(PAGES * PAGE, 4 * PAGE)
    blocks = [allocator.allocate(PAGE) for _ in range(PAGES)]
    cold = [r for b in blocks[::2] + blocks[1::2] if b is not None for r in allocator.free(b)]
    assert allocator.warm == 4 * PAGE
    assert sum(size for _, size in cold) == (PAGES - 4) * PAGE
    everything = allocator.allocate(PAGES * PAGE)
    assert everything == 0
    assert sum(size for _, size in allocator.free(0)) == (PAGES - 4) * PAGE
    assert allocator.warm == 4 * PAGE


def test_freeing_what_is_free_is_an_error():
    allocator = Allocator(PAGES * PAGE, 0)
    with pytest.raises(KeyError):
        allocator.free(0)


@settings(deadline=None)  # the machine may be busy
@given(
    keep_warm=st.integers(0, PAGES),
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("allocate"), st.integers(0, 20 * PAGE)),
            st.tuples(st.just("free"), st.integers(0, PAGES)),
        ),
        max_size=80,
    ),
)
def test_any_use(keep_warm: int, steps: list[tuple[str, int]]):
    allocator = Allocator(PAGES * PAGE, keep_warm * PAGE)
    owner: list[int | None] = [None] * PAGES  # of each page
    blocks: dict[int, int] = {}

    def give_back(offset: int) -> None:
        size = blocks.pop(offset)
        for page in range(offset // PAGE, (offset + size) // PAGE):
            owner[page] = None
        for start, length in allocator.free(offset):
            pages = range(start // PAGE, (start + length) // PAGE)
            assert start % PAGE == length % PAGE == 0
            assert all(owner[page] is None for page in pages), "pages in use are dropped"

    for action, n in steps:
        if action == "free":
            if blocks:
                give_back(list(blocks)[n % len(blocks)])
        else:
            offset = allocator.allocate(n)
            need = max(PAGE, -(-n // PAGE) * PAGE)
            if offset is None:
                free = "".join(" " if o is None else "x" for o in owner)
                assert max(map(len, free.split("x"))) < need // PAGE, "there was room"
                continue
            for page in range(offset // PAGE, (offset + need) // PAGE):
                assert owner[page] is None, "two blocks overlap"
                owner[page] = offset
            blocks[offset] = need
        assert allocator.used == sum(blocks.values())
        assert allocator.warm <= keep_warm * PAGE
    for offset in list(blocks):
        give_back(offset)
    assert allocator.used == 0
    assert allocator.allocate(PAGES * PAGE) == 0
