"""Cancellation: in every state, alone or with children, by force, and by cell."""

from __future__ import annotations

import signal

import msgspec
import pytest

from raykernel.runtime import messages as m
from raykernel.runtime.departure import PATIENCE
from raykernel.runtime.dispatch import POKE
from raykernel.runtime.instructions import Send, SignalWorker

from .kit import (
    FUNCTION,
    Process,
    Session,
    done,
    errors,
    raised,
    ref,
    result,
    runs,
    sent,
    signals,
    started,
    values,
)


def asked_to_end(worker: Process, task: m.TaskSpec) -> list[object]:
    return [Send(worker.id, m.CancelTask(task.id)), SignalWorker(worker.id, POKE)]


def two_on_one_worker() -> tuple[Session, Process, m.TaskSpec, m.TaskSpec]:
    """A worker that runs one quick task of cell "1", another of cell "2" queued behind it."""
    session = Session(cpus=1, workers=1)
    session.scheduler.dispatcher.mean[FUNCTION] = 0.0001
    (worker,) = session.workers
    first, second = session.spec(retries=3, cell="1"), session.spec(retries=3, cell="2")
    assert runs(session.driver(first, second), worker) == [first, second]
    return session, worker, first, second


def test_a_task_that_waits_for_arguments_never_runs():
    session = Session(workers=1)
    (worker,) = session.workers
    first = session.spec()
    task = session.spec(deps=(ref(first),), slots=(0,))
    session.driver(first, task)
    assert [e.kind for e in errors(session.driver(m.Cancel(ref(task))), session.driver)] == [
        "cancelled"
    ]
    assert runs(worker(done(first))) == []


def test_a_ready_task_never_runs():
    session = Session(cpus=1, workers=1)
    (worker,) = session.workers
    first, task, last = session.spec(), session.spec(), session.spec()
    session.driver(first, task, last)
    assert len(errors(session.driver(m.Cancel(ref(task))), session.driver)) == 1
    assert runs(worker(done(first))) == [last]


def test_a_running_task_is_asked_to_end():
    session = Session(workers=1)
    (worker,) = session.workers
    task = session.spec()
    session.driver(task)
    assert session.driver(m.Cancel(ref(task))) == asked_to_end(worker, task)
    (error,) = errors(worker(m.TaskFinished(task.id, [], "cancelled")), session.driver)
    assert (error.kind, error.message) == ("cancelled", "the task f was cancelled")
    assert session.free == {"CPU": 2.0}


def test_a_running_task_may_end_well_all_the_same():
    session = Session(workers=1)
    (worker,) = session.workers
    task = session.spec()
    session.driver(task)
    session.driver(m.Cancel(ref(task)))
    assert values(worker(done(task)), session.driver) == [result(task)]


def test_what_is_over_is_not_cancelled():
    session = Session(workers=1)
    (worker,) = session.workers
    task = session.spec()
    session.driver(task)
    worker(done(task))
    assert session.driver(m.Cancel(ref(task)), m.Cancel(session.ids.put())) == []


def test_dependents_of_a_cancelled_task_are_cancelled_and_what_it_depends_on_goes_on():
    session = Session(workers=1)
    first = session.spec()
    middle = session.spec(deps=(ref(first),), slots=(0,))
    last = session.spec(deps=(ref(middle),), slots=(0,))
    session.driver(first, middle, last)
    out = session.driver(m.Cancel(ref(middle)))
    assert [e.kind for e in errors(out, session.driver)] == ["cancelled", "cancelled"]
    assert list(session.scheduler.tasks) == [first.id]


def test_anybody_with_a_reference_may_cancel():
    session = Session()
    task = session.spec()
    session.driver(task)
    other = session.connect(b"other")
    assert len(errors(other(m.Cancel(ref(task))), session.driver)) == 1


def test_a_cancelled_task_that_was_on_its_way_back_does_not_run():
    session, worker, _, second = two_on_one_worker()
    session.driver(m.Cancel(ref(second)))
    out = worker(m.Blocked([second.id]))
    assert [e.kind for e in errors(out, session.driver)] == ["cancelled"]
    assert runs(out) == started(out) == []


def test_a_cancelled_task_is_not_retried():
    session = Session(workers=1)
    (worker,) = session.workers
    task = session.spec(retries=3)
    session.driver(task)
    session.driver(m.Cancel(ref(task)))
    assert [e.kind for e in errors(session.die(worker), session.driver)] == ["cancelled"]


@pytest.mark.parametrize("recursive", [True, False])
def test_children_are_cancelled_too_if_that_was_asked(recursive: bool):
    session = Session(cpus=2, workers=2)
    parent = session.spec()
    out = session.driver(parent)
    worker = next(w for w in session.workers if runs(out, w))
    child = session.spec(parent=parent.id)
    (other,) = [w for w in session.workers if w is not worker]
    grandchild = session.spec(parent=child.id)
    assert runs(worker(child), other) == [child]
    other(grandchild)
    out = session.driver(m.Cancel(ref(parent), recursive=recursive))
    assert m.CancelTask(parent.id) in sent(out, worker)
    assert (m.CancelTask(child.id) in sent(out, other)) is recursive
    assert (grandchild.id in session.scheduler.tasks) is not recursive


def test_force_kills_the_worker_which_gets_nothing_more():
    session = Session(cpus=1, workers=1)
    (worker,) = session.workers
    task, later = session.spec(retries=3), session.spec()
    session.driver(task, later)
    assert session.driver(m.Cancel(ref(task), force=True)) == [
        SignalWorker(worker.id, signal.SIGKILL)
    ]
    out = session.die(worker)
    assert [e.kind for e in errors(out, session.driver)] == ["cancelled"]
    assert len(started(out)) == 1


def test_a_result_that_crosses_with_the_kill_counts_but_the_worker_is_not_used_again():
    session = Session(cpus=1, workers=1)
    (worker,) = session.workers
    task, later = session.spec(), session.spec()
    session.driver(task, later)
    session.driver(m.Cancel(ref(task), force=True))
    out = worker(done(task))
    assert values(out, session.driver) == [result(task)]
    assert runs(out, worker) == []


def test_force_spares_what_runs_before_the_task_on_the_same_worker():
    session, worker, first, second = two_on_one_worker()
    assert session.driver(m.Cancel(ref(second), force=True)) == asked_to_end(worker, second)
    assert signals(session.tick(PATIENCE))[-1:] != [(worker.id, signal.SIGKILL)]
    worker(done(first))
    assert signals(session.tick(PATIENCE))[-1] == (worker.id, signal.SIGKILL)


def test_force_spares_the_actors_that_a_task_called():
    session = Session(workers=2)
    (one, two) = session.workers
    creation = session.actor()
    out = session.driver(creation)
    actor = next(w for w in (one, two) if runs(out, w))
    actor(done(creation))
    worker = two if actor is one else one
    task = session.spec()
    session.driver(task)
    call = session.call(creation, parent=task.id)
    worker(call)
    out = session.driver(m.Cancel(ref(task), force=True, recursive=True))
    assert (worker.id, signal.SIGKILL) in signals(out)
    assert (actor.id, signal.SIGKILL) not in signals(out)
    assert m.CancelTask(call.id, interrupt=False) in sent(out, actor), "it may ask, and go on"


@pytest.mark.parametrize(
    ("is_async", "fails", "kind"),
    [(False, False, "cancelled"), (False, True, "task"), (True, True, "cancelled")],
)
def test_a_cancelled_call_counts_for_nothing_unless_it_fails_in_its_own_way(is_async, fails, kind):
    session = Session(workers=1)
    (actor,) = session.workers
    creation = session.actor(is_async=is_async)
    session.driver(creation)
    actor(done(creation))
    call = session.call(creation)
    session.driver(call)
    session.driver(m.Cancel(ref(call)))
    out = actor(raised(call) if fails else done(call))
    assert [e.kind for e in errors(out, session.driver)] == [kind]


def test_a_cells_work_is_cancelled_and_nobody_elses():
    session = Session(cpus=1, workers=1)
    (worker,) = session.workers
    running, ready = session.spec(cell="1"), session.spec(cell="1")
    other = session.spec(cell="2")
    session.driver(running, ready, other)
    out = session.driver(m.CancelCell(7, "1"))
    replies = [x for x in sent(out, session.driver) if isinstance(x, m.Reply)]
    assert [msgspec.msgpack.decode(r.data) for r in replies] == [2]
    assert len(errors(out, session.driver)) == 1
    assert sent(out, worker) == [m.CancelTask(running.id)]
    assert set(session.scheduler.tasks) == {running.id, other.id}


def test_a_cells_task_that_ignores_it_is_killed_when_patience_ends():
    session = Session(workers=1)
    (worker,) = session.workers
    task = session.spec(cell="1", retries=3)
    session.driver(task)
    session.driver(m.CancelCell(7, "1"))
    assert signals(session.tick(PATIENCE - 0.1)) == [(worker.id, POKE)]
    assert session.tick(0.2)[-1] == SignalWorker(worker.id, signal.SIGKILL)
    assert session.tick(PATIENCE) == []
    assert [e.kind for e in errors(session.die(worker), session.driver)] == ["cancelled"]


def test_a_task_is_struck_once_though_its_cell_is_stopped_twice_and_its_parent_is_too():
    session = Session(cpus=2, workers=2)
    first, second = session.workers
    parent, child = session.spec(cell="1"), session.spec(cell="1")
    session.driver(parent)
    first(child)
    strikes = [session.driver(m.CancelCell(7, "1")), session.driver(m.CancelCell(8, "1"))]
    sent_to_child = [x for out in strikes for w in (first, second) for x in sent(out, w)
                     if x == m.CancelTask(child.id)]  # fmt: skip
    assert len(sent_to_child) == 1
    assert (second.id, signal.SIGKILL) in signals(session.tick(PATIENCE + 0.1))


def test_patience_is_not_lost_over_another_cells_task():
    session, worker, first, second = two_on_one_worker()
    session.driver(m.CancelCell(7, "2"))
    assert (worker.id, signal.SIGKILL) not in signals(session.tick(PATIENCE))
    worker(done(first, took=0.0001))
    assert (worker.id, signal.SIGKILL) in signals(session.tick(PATIENCE))
    assert second.id in session.scheduler.tasks


def test_actors_survive_the_end_of_their_cell():
    session = Session(workers=1)
    (worker,) = session.workers
    creation = session.actor(cell="1")
    session.driver(creation)
    out = session.driver(m.CancelCell(7, "1"))
    assert signals(out) == []
    assert runs(worker(done(creation))) == []
    call = session.call(creation)
    assert runs(session.driver(call), worker) == [call]


def with_limit(session: Session, seconds: float, **spec: object) -> m.TaskSpec:
    return session.spec(extra=m.TaskExtra(timeout=seconds), **spec)


def test_a_task_that_runs_longer_than_it_may_is_asked_to_end_then_killed():
    session = Session(workers=1)
    (worker,) = session.workers
    task = with_limit(session, 5.0)
    session.driver(task)
    assert session.tick(4.9) == []
    assert asked_to_end(worker, task) == session.tick(0.2)
    assert signals(session.tick(PATIENCE))[-1] == (worker.id, signal.SIGKILL)
    (error,) = errors(session.die(worker, -signal.SIGKILL), session.driver)
    assert error.kind == "timeout"
    assert error.message == "the task f ran longer than its time limit of 5 s and was cancelled"


def test_a_time_limit_counts_from_the_start_and_for_each_try():
    session = Session(cpus=1, workers=1)
    (worker,) = session.workers
    first, task = session.spec(), with_limit(session, 5.0, retries=1)
    session.driver(first, task)
    assert session.tick(60.0) == []
    assert runs(worker(done(first))) == [task]
    session.tick(4.0)
    (worker_id,) = started(session.die(worker, -signal.SIGKILL))
    session.arrive(worker_id)
    again = Process(session, worker_id)
    assert asked_to_end(again, task) not in session.tick(4.0)
    assert asked_to_end(again, task) == session.tick(1.1)
    told = m.ErrorRecord(
        "cancelled", "it was", text="here\nray.exceptions.TaskCancelledError: it was"
    )
    word = m.TaskFinished(task.id, [m.Value(b"", msgspec.msgpack.encode(told), error=True)])
    word = msgspec.structs.replace(word, status="cancelled", started=1.0)
    (error,) = errors(again(word), session.driver)
    assert error.kind == "timeout"
    assert error.text.startswith("here\nray.exceptions.GetTimeoutError: the task f ran longer")
    assert session.tick(60.0) == []


def test_a_task_in_time_is_left_alone():
    session = Session(workers=1)
    (worker,) = session.workers
    task = with_limit(session, 5.0)
    session.driver(task)
    worker(done(task))
    assert session.tick(60.0) == []
    assert session.scheduler.next_tick() is None


def test_a_call_that_runs_longer_than_it_may_is_over_for_its_caller_and_the_actor_lives():
    session = Session(workers=1)
    (worker,) = session.workers
    creation = session.live_actor(worker)
    limit = m.TaskExtra(timeout=5.0)
    call, next_call = (session.call(creation, extra=limit) for _ in range(2))
    out = session.driver(call, next_call)
    assert runs(out, worker) == [call]  # the other's time begins when this one is over
    assert session.tick(4.9) == []
    assert asked_to_end(worker, call) == session.tick(0.2)
    out = session.tick(PATIENCE)
    (error,) = errors(out, session.driver)
    assert (error.kind, error.task) == ("timeout", call.id)
    assert error.message == "the call A.m ran longer than its time limit of 5 s and was cancelled"
    assert runs(out, worker) == [next_call]
    assert (worker.id, signal.SIGKILL) not in signals(out)
    worker(done(call), done(next_call))  # it was only late
    assert session.tick(60.0) == []


def test_what_runs_on_an_actors_thread_is_not_waited_for():
    session = Session(workers=1)
    (worker,) = session.workers
    creation = session.live_actor(worker, max_concurrency=2, out_of_order=True)
    calls = [session.call(creation, extra=m.TaskExtra(timeout=5.0)) for _ in range(3)]
    assert runs(session.driver(*calls), worker) == calls[:2]
    session.tick(5.1)
    out = session.tick(0.0)
    assert [error.kind for error in errors(out, session.driver)] == ["timeout"] * 2
    assert runs(out, worker) == calls[2:]


def test_an_interrupted_cell_takes_what_it_waits_for_along_but_not_the_background():
    session = Session(workers=3, cpus=3)
    tasks = [session.spec(cell=cell) for cell in ("waits", "earlier", "other", "back")]
    session.driver(*tasks)
    session.driver(m.Query(1, "background", {"cell": "back"}))
    waited_for = [ref(tasks[1]), ref(tasks[3])]
    session.driver(m.CancelCell(2, "waits", waited_for, spare=True))
    live = session.scheduler.tasks
    assert [live[t.id].cancelled for t in tasks] == [True, True, False, False]
    session.driver(m.CancelCell(3, "back"))
    assert tasks[3].id not in live or live[tasks[3].id].cancelled


def test_all_that_a_driver_caused_is_cancelled_and_nothing_of_another():
    session = Session(workers=3, cpus=3)
    other = session.connect(b"other")
    mine, theirs = session.spec(cell="a"), session.spec(cell="a")
    out = session.driver(mine)
    other(theirs)
    runner = next(w for w in session.workers if runs(out, w))
    child = session.spec(cell="a", parent=mine.id)
    runner(m.Blocked(), child)
    session.driver(m.CancelCell(1, "", everything=True))
    live = session.scheduler.tasks
    assert [live[t.id].cancelled for t in (mine, child, theirs)] == [True, True, False]


def test_who_watches_a_session_may_cancel_what_all_its_drivers_caused():
    session = Session(workers=2)
    operator = session.connect(b"operator")
    tasks = [session.spec(cell="a") for _ in range(3)]
    session.driver(*tasks)
    operator(m.CancelCell(1, "", everything=True, everybodys=True))
    assert not [t for t in session.scheduler.tasks.values() if not t.cancelled]


def test_a_worker_that_doesnt_answer_is_signalled_again_a_few_times():
    """The first signal may come just before it blocks in a system call."""
    session = Session(workers=1)
    (worker,) = session.workers
    task = session.spec()
    session.driver(task)
    out = session.driver(m.Cancel(ref(task), False, True))
    assert signals(out) == [(worker.id, POKE)]
    times = []
    while (wait := session.scheduler.next_tick()) is not None:
        assert session.tick(wait) == [SignalWorker(worker.id, POKE)]
        times.append(wait)
    assert times == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2])


def test_one_that_has_answered_is_left_alone():
    session = Session(workers=1)
    (worker,) = session.workers
    task = session.spec()
    session.driver(task)
    session.driver(m.Cancel(ref(task), False, True))
    worker(m.TaskFinished(task.id, [], "cancelled"))
    assert session.tick(10.0) == []
    assert session.scheduler.next_tick() is None


@pytest.mark.parametrize("recursive", [True, False])
def test_what_a_cancelled_task_had_just_submitted_ends_with_it_if_all_was_to_end(recursive: bool):
    session = Session(workers=2)
    parent = session.spec()
    out = session.driver(parent)
    first, second = sorted(session.workers, key=lambda w: not runs(out, w))
    session.driver(m.Cancel(ref(parent), False, recursive))
    child = session.spec(parent=parent.id)
    assert runs(first(child), second)
    out = first(m.TaskFinished(parent.id, [], "cancelled"))
    assert (m.CancelTask(child.id) in sent(out, second)) == recursive
