"""Ids: lengths as Ray's, and nothing twice."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from raykernel.runtime import ids
from raykernel.runtime.ids import IdFactory, handle_id, is_handle, item_id, return_id

task_ids = st.binary(min_size=ids.TASK_BYTES, max_size=ids.TASK_BYTES)


def test_lengths():
    factory = IdFactory()
    assert len(factory.task()) == ids.TASK_BYTES == 24
    assert len(factory.put()) == ids.OBJECT_BYTES == 28
    assert len(factory.actor()) == ids.ACTOR_BYTES == 16
    assert len(handle_id(factory.actor())) == ids.OBJECT_BYTES


def test_nothing_comes_twice_from_one_factory_nor_from_two():
    made = [
        make()
        for factory in (IdFactory(), IdFactory())
        for _ in range(500)
        for make in (factory.task, factory.put, factory.actor)
    ]
    assert len(set(made)) == len(made)


def test_the_users_seed_has_no_say():
    made = []
    for _ in range(2):
        random.seed(1)
        made.append(IdFactory().task())
    assert made[0] != made[1]


@settings(deadline=None)  # the machine may be busy
@given(task_ids, st.integers(1, 2**32 - 1))
def test_returns_belong_to_their_task(task: bytes, index: int):
    object_id = return_id(task, index)
    assert object_id[:24] == task
    assert int.from_bytes(object_id[24:], "little") == index


@settings(deadline=None)  # the machine may be busy
@given(task_ids, st.integers(0, 2**31), st.integers(0, 2**31))
def test_items_differ_from_each_other_and_from_the_streams_end(task: bytes, one: int, two: int):
    assert (item_id(task, one) == item_id(task, two)) == (one == two)
    assert item_id(task, one) != return_id(task, 1)


@settings(deadline=None)  # the machine may be busy
@given(st.binary(min_size=16, max_size=16), task_ids)
def test_handles_are_told_from_values(actor: bytes, task: bytes):
    assert is_handle(handle_id(actor))
    assert handle_id(actor)[:16] == actor
    assert not is_handle(return_id(task, 1))
    assert not is_handle(IdFactory().put())


def test_the_quick_ways_agree_with_the_plain_ones():
    task = IdFactory().task()
    assert task + ids.FIRST_RETURN == return_id(task, 1)
    assert [return_id(task, i)[24:] for i in (255, 256)] == [b"\xff\0\0\0", b"\0\1\0\0"]
    assert IdFactory().put().endswith(ids.PUT_INDEX)
