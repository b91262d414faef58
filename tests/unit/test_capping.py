"""How many tasks of one function may be begun, when they wait for others."""

from __future__ import annotations

import pytest

from raykernel.runtime import messages as m
from raykernel.runtime import resources
from raykernel.runtime.capping import DELAY

from .kit import OTHER, Process, Session, done, runs, started


def begun_and_waiting(session: Session, spec: m.TaskSpec, out: list[object]) -> Process:
    """The worker that was started for `spec`, once it waits in `get`."""
    (worker_id,) = started(out)
    assert runs(session.arrive(worker_id)) == [spec]
    return Process(session, worker_id)


@pytest.fixture
def waiting() -> tuple[Session, Process, list[m.TaskSpec]]:
    """One CPU, and three tasks of a function, the first of which waits in `get`."""
    session = Session(cpus=1, workers=1)
    (worker,) = session.workers
    tasks = [session.spec() for _ in range(3)]
    session.driver(*tasks)
    assert started(worker(m.Blocked())) == []
    return session, worker, tasks


def test_a_function_that_waits_is_begun_no_more_often_than_there_are_cpus(waiting):
    session, worker, tasks = waiting
    assert session.free == {"CPU": 1.0}
    assert runs(worker(m.Unblocked(), done(tasks[0]))) == [tasks[1]]


def test_other_functions_pass_it(waiting):
    session, _, _ = waiting
    other = session.spec(function=OTHER)
    begun_and_waiting(session, other, session.driver(other))


def test_so_does_the_same_function_a_level_deeper(waiting):
    session, worker, tasks = waiting
    child = session.spec(parent=tasks[0].id)
    begun_and_waiting(session, child, worker(child))


def test_so_do_constructors_and_what_needs_no_cpu(waiting):
    session, _, _ = waiting
    actor = session.actor({"CPU": 1})
    assert runs(session.arrive(started(session.driver(actor))[0])) == [actor]
    free = [session.spec(resources=resources.encode({})) for _ in range(2)]
    first, second = started(session.driver(*free))
    Process(session, first)(m.Blocked())
    assert runs(session.arrive(first)) == [free[0]]
    assert runs(Process(session, first)(m.Blocked())) == []
    assert runs(session.arrive(second)) == [free[1]]


def test_one_more_is_let_in_after_ever_longer_times(waiting):
    session, _, tasks = waiting
    assert started(session.tick(0.9 * DELAY)) == []
    worker = begun_and_waiting(session, tasks[1], session.tick(0.2 * DELAY))
    worker(m.Blocked())
    assert started(session.tick(1.9 * DELAY)) == []
    begun_and_waiting(session, tasks[2], session.tick(0.2 * DELAY))


def test_the_head_wakes_up_when_one_more_may_begin(waiting):
    session, _, _ = waiting
    assert session.scheduler.next_tick() == pytest.approx(DELAY)


def test_parked_tasks_can_be_cancelled(waiting):
    session, worker, tasks = waiting
    session.driver(m.Cancel(tasks[1].id + b"\1\0\0\0"))
    assert runs(worker(m.Unblocked(), done(tasks[0]))) == [tasks[2]]


def test_parked_tasks_keep_their_order_and_go_before_later_ones(waiting):
    session, worker, tasks = waiting
    late = session.spec()
    session.driver(late)
    order = []
    for task in [*tasks]:
        order += runs(worker(m.Unblocked(), done(task)))
    assert order == [*tasks[1:], late]
    assert session.scheduler.dispatcher.shapes[tasks[0].resources].cap.parked == {}


def test_quick_tasks_are_sent_several_deep_again_once_none_of_them_waits(waiting):
    session, worker, tasks = waiting
    quick = [session.spec(retries=3) for _ in range(5)]
    session.driver(*quick)
    assert runs(worker(m.Unblocked(), done(tasks[0], took=0.0001))) == [tasks[1]]
    assert runs(worker(done(tasks[1], took=0.0001))) == [tasks[2]]
    assert runs(worker(done(tasks[2], took=0.0001))) == quick
