"""Streams: items as they are made, their end, their errors, and consumers who leave."""

from __future__ import annotations

import pickle

import pytest

from raykernel.runtime import messages as m
from raykernel.runtime.dispatch import POKE
from raykernel.runtime.ids import handle_id
from raykernel.runtime.instructions import Send, SignalWorker

from .kit import (
    LARGE,
    Process,
    Session,
    done,
    error,
    errors,
    item,
    raised,
    ref,
    runs,
    sent,
    started,
    value,
    values,
)


def streaming(**fields: object) -> tuple[Session, Process, m.TaskSpec]:
    """A worker that runs a stream; there is a spare worker."""
    session = Session(workers=2)
    task = session.spec(returns=m.STREAMING, **fields)
    out = session.driver(task)
    return session, next(w for w in session.workers if runs(out, w)), task


def made(task: m.TaskSpec, position: int, **fields: object) -> m.Yielded:
    return m.Yielded(task.id, position, value(item(task, position), **fields))


def end(task: m.TaskSpec, count: int) -> m.Value:
    return m.Value(ref(task), pickle.dumps(count, 5))


def test_an_item_is_there_for_the_consumer_before_it_asks():
    session, worker, task = streaming()
    assert worker(made(task, 0)) == []
    out = session.driver(m.Consumed(task.id, 0), m.Want([item(task, 0), ref(task)]))
    assert values(out, session.driver) == [value(item(task, 0))]


def test_an_item_goes_to_the_consumer_that_waits_for_it():
    session, worker, task = streaming()
    session.driver(m.Consumed(task.id, 0), m.Want([item(task, 0), ref(task)]))
    assert values(worker(made(task, 0)), session.driver) == [value(item(task, 0))]


def test_the_end_is_the_number_of_items():
    session, worker, task = streaming()
    worker(made(task, 0), made(task, 1))
    assert values(worker(done(task)), session.driver) == [end(task, 2)]


def test_waiting_for_the_item_after_the_last_leaves_nothing():
    session, worker, task = streaming()
    worker(made(task, 0))
    session.driver(m.Consumed(task.id, 1), m.Want([item(task, 1), ref(task)]))
    assert values(worker(done(task)), session.driver) == [end(task, 1)]
    session.driver(m.Release([item(task, 0), ref(task)]))
    assert session.objects == 0


def test_an_error_is_the_last_item():
    session, worker, task = streaming()
    worker(made(task, 0))
    out = values(worker(raised(task)), session.driver)
    assert out == [end(task, 2)]
    (last,) = values(session.driver(m.Want([item(task, 1)])), session.driver)
    assert error(last).cause_repr == "ValueError: no"


def test_a_stream_that_never_started_has_its_error_as_only_item_and_as_its_end():
    session = Session(cpus=1)
    task = session.spec(returns=m.STREAMING)
    session.driver(task)
    out = values(session.driver(m.Cancel(ref(task))), session.driver)
    (last,) = out
    assert last.id == ref(task)
    assert error(last).kind == "cancelled"
    (only,) = values(session.driver(m.Want([item(task, 0)])), session.driver)
    assert error(only).kind == "cancelled"


def test_a_retry_does_not_repeat_what_is_there():
    session, worker, task = streaming(retries=1)
    worker(made(task, 0), made(task, 1))
    out = session.die(worker)
    (other,) = [w for w in session.workers if runs(out, w)]
    session.driver(m.Want([item(task, 0), item(task, 1)]))
    assert other(made(task, 0, data=b"other"), made(task, 1, data=b"other")) == []
    other(made(task, 2))
    assert values(other(done(task)), session.driver) == [end(task, 3)]


def test_a_retry_that_makes_fewer_does_not_take_items_back():
    session, worker, task = streaming(retries=1)
    worker(made(task, 0), made(task, 1))
    out = session.die(worker)
    (other,) = [w for w in session.workers if runs(out, w)]
    other(made(task, 0))
    assert values(other(done(task, end(task, 1))), session.driver) == [end(task, 2)]


def test_the_producer_hears_what_was_taken_if_it_has_to_wait_for_it():
    session, worker, task = streaming(extra=m.TaskExtra(backpressure=2))
    worker(made(task, 0))
    assert session.driver(m.Consumed(task.id, 1)) == [Send(worker.id, m.StreamConsumed(task.id, 1))]


def test_a_producer_that_does_not_wait_is_left_alone():
    session, worker, task = streaming()
    worker(made(task, 0))
    assert session.driver(m.Consumed(task.id, 1)) == []


def test_a_retry_hears_what_was_taken_before():
    session, worker, task = streaming(extra=m.TaskExtra(backpressure=2), retries=1)
    worker(made(task, 0), made(task, 1))
    session.driver(m.Consumed(task.id, 2))
    out = session.die(worker)
    (other,) = [w for w in session.workers if runs(out, w)]
    assert sent(out, other)[1:] == [m.StreamConsumed(task.id, 2)]


def test_a_dropped_stream_is_told_to_stop_and_its_items_go():
    session, worker, task = streaming()
    worker(made(task, 0), made(task, 1))
    out = session.driver(m.DropStream(task.id, 0))
    assert out == [Send(worker.id, m.StopStream(task.id)), SignalWorker(worker.id, POKE)]
    assert session.objects == 1
    worker(made(task, 2), done(task))
    session.driver(m.Release([ref(task)]))
    assert session.objects == 0


def test_items_that_were_taken_outlive_the_stream():
    session, worker, task = streaming()
    worker(made(task, 0), made(task, 1))
    session.driver(m.DropStream(task.id, 1), m.Release([ref(task)]))
    assert list(session.scheduler.store.objects) == [item(task, 0)]


def test_a_stream_dropped_before_it_starts_never_does():
    session = Session(cpus=1)
    task = session.spec(returns=m.STREAMING)
    (worker_id,) = started(session.driver(task))
    session.driver(m.DropStream(task.id, 0), m.Release([ref(task)]))
    assert session.arrive(worker_id) == []
    assert session.objects == 0


def test_a_dropped_stream_is_not_retried():
    session, worker, task = streaming(retries=3)
    session.driver(m.DropStream(task.id, 0))
    assert runs(session.die(worker)) == []
    assert session.scheduler.tasks == {}


def test_large_items_of_a_dropped_stream_free_their_memory():
    session, worker, task = streaming()
    session.driver(m.DropStream(task.id, 0))
    worker(m.Allocate(1, LARGE))
    worker(made(task, 0, data=b"", offset=0, size=LARGE))
    assert session.used == 0


def test_a_stream_is_cancelled_with_its_consumer():
    session = Session(cpus=3, workers=2)
    parent = session.spec()
    out = session.driver(parent)
    consumer = next(w for w in session.workers if runs(out, w))
    (producer,) = [w for w in session.workers if w is not consumer]
    task = session.spec(returns=m.STREAMING)
    assert runs(consumer(task), producer) == [task]
    assert m.CancelTask(task.id) in sent(session.die(consumer), producer)


@pytest.mark.parametrize("status", ["ok", "exit"])
def test_an_actors_stream_ends_too(status: str):
    session = Session(workers=1)
    (worker,) = session.workers
    creation = session.live_actor(worker)
    call = session.call(creation, returns=m.STREAMING)
    session.driver(call)
    worker(made(call, 0))
    out = worker(m.TaskFinished(call.id, [m.Value(ref(call), pickle.dumps(None, 5))], status))
    (last,) = values(out, session.driver)
    if status == "ok":
        assert last == end(call, 1)
    else:
        assert error(last).kind == "actor_died"
        out = session.driver(m.Want([item(call, 1)]))
        assert [e.kind for e in errors(out, session.driver)] == ["actor_died"]
    assert handle_id(creation.actor) in session.scheduler.store.objects
