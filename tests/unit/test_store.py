"""References and memory: what keeps an object, and when its bytes are free."""

from __future__ import annotations

import msgspec
import pytest

from raykernel.runtime import messages as m
from raykernel.runtime.allocator import PAGE
from raykernel.runtime.instructions import Discard

from .kit import (
    LARGE,
    MIB,
    Process,
    Session,
    done,
    errors,
    ref,
    result,
    runs,
    sent,
    value,
    values,
)


def inline(session: Session, *inner: bytes) -> m.Value:
    return value(session.ids.put(), contained=inner)


def allocated(process: Process, size: int = LARGE) -> int:
    """Ask for memory; its offset."""
    (reply,) = sent(process(m.Allocate(1, size)), process)
    assert reply.error == ""
    return msgspec.msgpack.decode(reply.data)


def large(session: Session, process: Process, size: int = LARGE) -> m.Value:
    """Put an object into the arena."""
    offset = allocated(process, size)
    written = m.Value(session.ids.put(), offset=offset, size=size)
    assert process(m.PutObject(written)) == []
    return written


# -- references -----------------------------------------------------------------------------------


def test_an_object_lives_as_long_as_somebody_refers_to_it():
    session = Session()
    other = session.connect(b"other")
    put = inline(session)
    session.driver(m.PutObject(put))
    other(m.AddRef([put.id, put.id]))
    session.driver(m.Release([put.id]))
    other(m.Release([put.id]))
    assert values(other(m.Want([put.id])), other) == [put]
    other(m.Release([put.id]))
    assert session.objects == 0


def test_releasing_what_one_does_not_hold_changes_nothing():
    session = Session()
    other = session.connect(b"other")
    put = inline(session)
    session.driver(m.PutObject(put))
    other(m.Release([put.id, session.ids.put()]))
    assert session.objects == 1


def test_a_process_takes_its_references_with_it():
    session = Session()
    other = session.connect(b"other")
    mine, shared = inline(session), inline(session)
    other(m.PutObject(mine), m.PutObject(shared))
    session.driver(m.AddRef([shared.id]))
    session.leave(other)
    assert list(session.scheduler.store.objects) == [shared.id]


def test_arguments_count_until_the_task_ends():
    session = Session(workers=1)
    (worker,) = session.workers
    top, nested = inline(session), inline(session)
    task = session.spec(deps=(top.id,), slots=(0,), contained=(nested.id,))
    session.driver(m.PutObject(top), m.PutObject(nested), task, m.Release([top.id, nested.id]))
    assert session.objects == 3
    worker(done(task))
    assert list(session.scheduler.store.objects) == [ref(task)]


def test_arguments_of_a_cancelled_task_are_let_go():
    session = Session()
    put = inline(session)
    task = session.spec(deps=(put.id,), slots=(0,), contained=(put.id,))
    session.driver(m.PutObject(put), task, m.Release([put.id]), m.Cancel(ref(task)))
    assert list(session.scheduler.store.objects) == [ref(task)]


def test_what_an_object_contains_lives_with_it_to_any_depth():
    session = Session()
    box = inline(session)
    session.driver(m.PutObject(box))
    for _ in range(5000):
        outer = inline(session, box.id)
        session.scheduler.handle(session.driver.id, [m.PutObject(outer), m.Release([box.id])])
        box = outer
    assert session.objects == 5001
    session.driver(m.Release([box.id]))
    assert session.objects == 0


def test_what_is_contained_twice_counts_twice():
    session = Session()
    inner = inline(session)
    one, two = inline(session, inner.id, inner.id), inline(session, inner.id)
    session.driver(*map(m.PutObject, (inner, one, two)), m.Release([inner.id, one.id]))
    assert set(session.scheduler.store.objects) == {inner.id, two.id}
    session.driver(m.Release([two.id]))
    assert session.objects == 0


def test_a_result_keeps_what_it_contains_before_its_maker_lets_go():
    session = Session(workers=1)
    (worker,) = session.workers
    task = session.spec()
    session.driver(task)
    inner = inline(session)
    worker(
        m.PutObject(inner), done(task, result(task, contained=(inner.id,))), m.Release([inner.id])
    )
    assert set(session.scheduler.store.objects) == {ref(task), inner.id}


def test_a_result_nobody_waits_for_holds_on_to_nothing():
    session = Session(workers=1)
    (worker,) = session.workers
    task = session.spec()
    session.driver(task, m.Release([ref(task)]))
    inner = inline(session)
    worker(
        m.PutObject(inner), done(task, result(task, contained=(inner.id,))), m.Release([inner.id])
    )
    assert session.objects == 0


def test_a_reference_to_what_is_gone_is_a_reference_to_a_lost_object():
    session = Session()
    put = inline(session)
    session.driver(m.PutObject(put), m.Release([put.id]), m.AddRef([put.id]))
    (error,) = errors(session.driver(m.Want([put.id])), session.driver)
    assert error.kind == "lost"
    session.driver(m.Release([put.id]))
    assert session.objects == 0


def test_who_drops_a_reference_is_sent_no_value():
    session = Session(workers=1)
    (worker,) = session.workers
    first = session.spec()
    then = session.spec(deps=(ref(first),), slots=(0,))
    session.driver(first, then, m.Release([ref(first)]))
    out = worker(done(first))
    assert values(out, session.driver) == []
    assert runs(out, worker) == [then]


# -- memory ---------------------------------------------------------------------------------------


def test_memory_is_free_when_its_object_is():
    session = Session()
    put = large(session, session.driver)
    assert session.used == LARGE
    session.driver(m.Release([put.id]))
    assert session.used == 0


def test_memory_that_is_looked_at_outlives_its_object():
    session = Session()
    put = large(session, session.driver)
    other = session.connect(b"other")
    other(m.AddRef([put.id]))
    assert values(other(m.Want([put.id])), other) == [put]
    session.driver(m.Release([put.id]))
    other(m.Release([put.id]))
    assert (session.objects, session.used) == (0, LARGE)
    other(m.Unpin([put.offset]))
    assert session.used == 0


def test_each_delivery_is_looked_at_for_itself():
    session = Session()
    put = large(session, session.driver)
    readers = [session.connect(b"one"), session.connect(b"two")]
    for reader in readers:
        reader(m.AddRef([put.id]), m.Want([put.id]), m.Want([put.id]), m.Release([put.id]))
    session.driver(m.Release([put.id]))
    for unpin in (readers[0], readers[1], readers[0]):
        unpin(m.Unpin([put.offset]))
        assert session.used == LARGE
    readers[1](m.Unpin([put.offset]))
    assert session.used == 0


def test_looking_away_from_what_one_does_not_look_at_changes_nothing():
    session = Session()
    put = large(session, session.driver)
    session.driver(m.Unpin([put.offset, 12345]))
    assert session.used == LARGE


def test_an_argument_is_looked_at_by_its_worker_until_that_says_so():
    session = Session(workers=1)
    (worker,) = session.workers
    put = large(session, session.driver)
    task = session.spec(deps=(put.id,), slots=(0,))
    out = session.driver(task, m.Release([put.id]))
    (message,) = sent(out, worker)
    assert message.values == [put]
    worker(done(task))
    assert session.used == LARGE
    worker(m.Unpin([put.offset]))
    assert session.used == 0


def test_an_argument_that_comes_back_unseen_is_not_looked_at():
    session = Session(cpus=1, workers=1)
    (worker,) = session.workers
    session.scheduler.dispatcher.mean[b"function"] = 0.0001
    put = large(session, session.driver)
    first = session.spec(retries=3)
    second = session.spec(retries=3, deps=(put.id,), slots=(0,))
    session.driver(first, second, m.Release([put.id]))
    worker(m.Blocked([second.id]))
    session.driver(m.Cancel(ref(second)))
    assert session.used == 0


def test_a_dead_process_looks_at_nothing():
    session = Session(workers=1)
    (worker,) = session.workers
    put = large(session, session.driver)
    task = session.spec(deps=(put.id, put.id), slots=(0, 1))
    session.driver(task, m.Release([put.id]))
    session.die(worker)
    assert session.used == 0


def test_a_dead_workers_late_reference_does_not_keep_memory():
    session = Session(workers=1)
    (worker,) = session.workers
    creation = session.live_actor(worker)
    put = large(session, session.driver)
    call = session.call(creation, deps=(put.id,), slots=(0,))
    session.driver(call, m.Release([put.id]))
    session.driver(m.KillActor(creation.actor))
    worker(m.AddRef([put.id]))
    session.die(worker)
    assert session.used == 0


def test_unused_memory_can_be_given_back_and_goes_with_its_process():
    session = Session(workers=1)
    (worker,) = session.workers
    first, _ = allocated(worker), allocated(worker)
    worker(m.Abandon(first), m.Abandon(first), m.Abandon(12345))
    assert session.used == LARGE
    session.die(worker)
    assert session.used == 0


def test_nobody_gives_back_what_is_not_theirs():
    session = Session()
    other = session.connect(b"other")
    other(m.Abandon(allocated(session.driver)))
    assert session.used == LARGE


def test_a_large_result_nobody_waits_for_is_freed():
    session = Session(workers=1)
    (worker,) = session.workers
    task = session.spec()
    session.driver(task, m.Release([ref(task)]))
    worker(done(task, m.Value(ref(task), offset=allocated(worker), size=LARGE)))
    assert session.used == 0


def test_a_large_result_of_a_task_that_is_over_is_freed():
    session = Session(workers=1)
    (worker,) = session.workers
    creation = session.live_actor(worker)
    call = session.call(creation)
    session.driver(call, m.KillActor(creation.actor))
    worker(done(call, m.Value(ref(call), offset=allocated(worker), size=LARGE)))
    assert session.used == 0


def test_what_was_written_before_an_exception_to_be_retried_is_freed():
    session = Session(workers=1)
    (worker,) = session.workers
    task = session.spec(retries=1, returns=2)
    session.driver(task)
    error = m.Value(b"", msgspec.msgpack.encode(m.ErrorRecord("task")), error=True)
    written = m.Value(ref(task), offset=allocated(worker), size=LARGE)
    worker(m.TaskFinished(task.id, [error, written], "error", True))
    assert session.used == 0


def test_a_full_store_says_what_to_do():
    session = Session(capacity=2 * MIB)
    large(session, session.driver)
    (reply,) = sent(session.driver(m.Allocate(7, 2 * MIB)), session.driver)
    assert reply.request == 7
    assert reply.error.startswith(
        "no room for an object of 2,097,152 bytes: 1,048,576 of the object store's 2,097,152 "
        "bytes are in use, and moving objects to disk is switched off."
    )
    assert "object_store_memory" in reply.error


@pytest.mark.parametrize(("keep_warm", "discarded"), [(8 * MIB, []), (0, [Discard(0, LARGE)])])
def test_freed_pages_are_given_back_beyond_what_is_kept_warm(
    keep_warm: int, discarded: list[Discard]
):
    session = Session(keep_warm=keep_warm)
    put = large(session, session.driver)
    assert session.driver(m.Release([put.id])) == discarded


def test_memory_is_handed_out_in_pages():
    session = Session()
    large(session, session.driver, 1)
    large(session, session.driver, PAGE + 1)
    assert session.used == 3 * PAGE


def test_the_objects_can_be_listed():
    session = Session()
    put = large(session, session.driver)
    out = session.driver(m.Want([put.id]), m.Query(1, "objects", {}))
    (reply,) = [x for x in sent(out, session.driver) if isinstance(x, m.Reply)]
    assert msgspec.msgpack.decode(reply.data) == [
        {
            "object_id": put.id.hex(),
            "size": LARGE,
            "ready": True,
            "shared": True,
            "references": 1,
            "pins": 1,
            "where": "memory",
        }
    ]
