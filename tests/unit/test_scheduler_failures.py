"""Errors and crashes: who is blamed, who tries again, and what those who wait are told."""

from __future__ import annotations

import signal

import pytest

from raykernel.runtime import messages as m
from raykernel.runtime import resources
from raykernel.runtime.instructions import Send, SignalWorker, StartWorker
from raykernel.runtime.invariants import validate

from .kit import (
    FUNCTION,
    ONE_CPU,
    Process,
    Session,
    done,
    errors,
    raised,
    ref,
    result,
    run,
    runs,
    started,
    values,
)


def pipelined(count: int, **fields: object) -> tuple[Session, Process, list[m.TaskSpec]]:
    """One worker with `count` quick tasks, the first of them running."""
    session = Session(cpus=1, workers=1)
    session.scheduler.dispatcher.mean[FUNCTION] = 0.0001
    tasks = [session.spec(retries=3, **fields) for _ in range(count)]
    (worker,) = session.workers
    assert runs(session.driver(*tasks), worker) == tasks
    return session, worker, tasks


def test_an_exception_reaches_who_waits_and_is_not_retried():
    session = Session(workers=1)
    (worker,) = session.workers
    task = session.spec(retries=3)
    session.driver(task)
    (error,) = errors(worker(raised(task)), session.driver)
    assert (error.kind, error.cause_repr) == ("task", "ValueError: no")
    assert session.scheduler.feed.ended[-1].error == "ValueError: no"


def test_an_exception_is_every_return():
    session = Session(workers=1)
    (worker,) = session.workers
    task = session.spec(returns=2)
    session.driver(task)
    out = values(worker(raised(task)), session.driver)
    assert [v.id for v in out] == [ref(task, 1), ref(task, 2)]
    assert all(v.error for v in out)


def test_an_exception_that_the_options_retry_is_retried_first_until_tries_run_out():
    session = Session(cpus=1, workers=1)
    (worker,) = session.workers
    task, later = session.spec(retries=1), session.spec()
    session.driver(task, later)
    assert worker(raised(task, retryable=True)) == [Send(worker.id, run(task, attempt=2))]
    out = worker(raised(task, retryable=True))
    assert [e.kind for e in errors(out, session.driver)] == ["task"]
    assert runs(out, worker) == [later]


def test_for_ever_means_for_ever():
    session = Session(cpus=1, workers=1)
    (worker,) = session.workers
    task = session.spec(retries=-1)
    session.driver(task)
    for attempt in range(2, 20):
        assert sent_attempts(worker(raised(task, retryable=True))) == [attempt]


def sent_attempts(out: list[object]) -> list[int]:
    return [i.message.attempt for i in out if isinstance(i, Send)]


def test_a_failed_argument_fails_its_dependents_with_the_first_cause():
    session = Session(workers=1)
    (worker,) = session.workers
    first = session.spec(name="first")
    second = session.spec(name="second", deps=(ref(first),), slots=(0,))
    third = session.spec(name="third", deps=(ref(second),), slots=(0,))
    session.driver(first, second, third, m.Release([ref(first), ref(second)]))
    out = worker(raised(first))
    (error,) = errors(out, session.driver)
    assert (error.name, error.cause_repr) == ("first", "ValueError: no")
    assert error.via == ("second", "third")
    assert runs(out) == []


def test_a_task_submitted_with_a_failed_argument_never_runs():
    session = Session(workers=1)
    (worker,) = session.workers
    first = session.spec()
    session.driver(first)
    worker(raised(first))
    task = session.spec(name="late", deps=(ref(first),), slots=(0,))
    out = session.driver(task)
    assert [e.via for e in errors(out, session.driver)] == [("late",)]
    assert runs(out) == []


def test_the_first_of_two_failed_arguments_is_the_cause():
    session = Session(cpus=2, workers=2)
    one, two = session.spec(name="one"), session.spec(name="two")
    both = session.spec(deps=(ref(one), ref(two)), slots=(0, 1))
    out = session.driver(one, two, both, m.Release([ref(one), ref(two)]))
    at = {spec.id: w for w in session.workers for spec in runs(out, w)}
    (error,) = errors(at[two.id](raised(two)), session.driver)
    assert error.name == "two"
    assert at[one.id](raised(one)) == []


def test_ten_thousand_dependents_fail_one_after_the_other_without_recursion():
    session = Session(workers=1)
    (worker,) = session.workers
    chain = [session.spec(name="0")]
    for i in range(1, 10_001):
        chain.append(session.spec(name=str(i), deps=(ref(chain[-1]),), slots=(0,)))
    handle = session.scheduler.handle  # validated once: that costs as much as the chain is long
    handle(session.driver.id, [*chain, m.Release([ref(t) for t in chain[:-1]])])
    out = handle(worker.id, [raised(chain[0])])
    (error,) = errors(out, session.driver)
    assert (error.name, error.via) == ("0", (*map(str, range(1, 17)), "..."))
    validate(session.scheduler)
    assert session.scheduler.tasks == {}
    assert session.objects == 1


def test_a_crash_without_retries_is_an_error_that_says_how():
    session = Session(workers=1)
    (worker,) = session.workers
    task = session.spec(cell="cell 3")
    session.driver(task)
    (error,) = errors(session.die(worker, -signal.SIGSEGV), session.driver)
    assert (error.kind, error.pid, error.cell) == ("crashed", 4711, "cell 3")
    assert error.message == "the worker that ran the task f was killed by SIGSEGV"
    assert session.free == {"CPU": 2.0}


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (3, "ended with exit code 3"),
        (-9, "was killed by SIGKILL (perhaps the machine ran out of memory)"),
        (-99, "was killed by 99"),
    ],
)
def test_how_a_process_ended_is_told(status: int, words: str):
    session = Session(workers=1)
    (worker,) = session.workers
    task = session.spec()
    session.driver(task)
    (error,) = errors(session.die(worker, status), session.driver)
    assert error.message.endswith(words)


def test_a_crash_is_retried_until_tries_run_out():
    session = Session(cpus=1, workers=1)
    task = session.spec(retries=2)
    (worker,) = session.workers
    session.driver(task)
    for attempt in (2, 3):
        (worker_id,) = started(session.die(worker))
        worker = Process(session, worker_id)
        assert sent_attempts(session.arrive(worker_id)) == [attempt]
    assert [e.kind for e in errors(session.die(worker), session.driver)] == ["crashed"]


def test_the_running_task_is_blamed_and_the_others_try_again_alone_and_in_order():
    session, worker, tasks = pipelined(3)
    (worker_id,) = started(session.die(worker))
    live = session.scheduler.tasks
    assert [live[t.id].retries for t in tasks] == [2, 3, 3]
    worker = Process(session, worker_id)
    assert runs(session.arrive(worker_id)) == tasks[:1]
    for task, following in zip(tasks, [*tasks[1:], None], strict=True):
        expected = [] if following is None else [following]
        assert runs(worker(done(task, took=0.0001))) == expected


def test_last_words_count():
    session, worker, tasks = pipelined(2)
    worker(done(tasks[0], took=0.0001))
    session.die(worker)
    assert session.scheduler.tasks[tasks[1].id].retries == 2


def test_a_worker_whose_connection_broke_is_ended_and_gets_nothing_more():
    session = Session(cpus=1, workers=1)
    (worker,) = session.workers
    assert session.leave(worker) == [SignalWorker(worker.id, signal.SIGKILL)]
    (instruction,) = session.driver(session.spec())
    assert isinstance(instruction, StartWorker)


def test_a_worker_that_can_not_be_started_fails_what_waits_for_it_and_nothing_else():
    session = Session(cpus=1)
    broken = session.spec(extra=m.TaskExtra(env='{"working_dir": "/nowhere"}'))
    fine = session.spec()
    (instruction,) = session.driver(broken, m.Want([ref(broken)]))
    assert instruction.env == '{"working_dir": "/nowhere"}'
    session.driver(fine)
    worker = Process(session, instruction.worker)
    (error,) = errors(session.die(worker, 1), session.driver)
    assert error.kind == "setup"
    assert error.message == "a worker for f could not be started: it ended with exit code 1"
    assert list(session.scheduler.tasks) == [fine.id]


def test_a_worker_killed_before_it_came_is_replaced():
    session = Session(cpus=1)
    (first,) = started(session.driver(session.spec()))
    assert len(started(session.die(Process(session, first), -9))) == 1


def test_a_crash_frees_what_the_worker_held():
    session = Session(workers=1, x=1)
    (worker,) = session.workers
    task = session.spec(resources=resources.encode({"CPU": 1, "x": 1}))
    session.driver(task)
    assert session.free == {"CPU": 1.0, "x": 0.0}
    session.die(worker)
    assert session.free == {"CPU": 2.0, "x": 1.0}


def test_a_lost_object_says_so():
    session = Session()
    missing = session.ids.put()
    (error,) = errors(session.driver(m.Want([missing])), session.driver)
    assert error.kind == "lost"
    assert session.objects == 0


def test_a_task_that_takes_a_lost_object_fails():
    session = Session(workers=1)
    missing = session.ids.put()
    task = session.spec(deps=(missing,), slots=(0,))
    (error,) = errors(session.driver(task), session.driver)
    assert (error.kind, error.via) == ("lost", ("f",))
    assert session.objects == 1


def test_the_same_result_twice_is_heard_once():
    session = Session(cpus=1, workers=1)
    (worker,) = session.workers
    task = session.spec(resources=ONE_CPU)
    session.driver(task)
    assert values(worker(done(task), done(task)), session.driver) == [result(task)]
