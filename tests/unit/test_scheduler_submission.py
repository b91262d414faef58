"""Tasks from submission to result: what is sent to whom, and when."""

from __future__ import annotations

import msgspec
import pytest

from raykernel.runtime import messages as m
from raykernel.runtime import resources
from raykernel.runtime.events import LogLine
from raykernel.runtime.instructions import Send, StartWorker, Stop
from raykernel.runtime.records import InvalidTransition, TaskEvent

from .kit import CODE, FUNCTION, Session, done, ref, result, run, runs, sent, value, values


def test_a_task_goes_to_an_idle_worker_with_its_code():
    session = Session(workers=1)
    (worker,) = session.workers
    task = session.spec()
    assert session.driver(task) == [Send(worker.id, run(task, CODE))]


def test_a_worker_gets_a_functions_code_once():
    session = Session(workers=1)
    (worker,) = session.workers
    first, second = session.spec(), session.spec()
    session.driver(first)
    worker(done(first))
    assert session.driver(second) == [Send(worker.id, run(second))]


def test_a_result_goes_to_its_submitter_unasked():
    session = Session(workers=1)
    (worker,) = session.workers
    task = session.spec()
    session.driver(task)
    assert worker(done(task)) == [Send(session.driver.id, m.Objects([result(task)]))]


def test_a_result_goes_to_each_who_wants_it_before_or_after():
    session = Session(workers=1)
    (worker,) = session.workers
    before, after = session.connect(b"before"), session.connect(b"after")
    task = session.spec()
    session.driver(task)
    before(m.AddRef([ref(task)]), m.Want([ref(task)]), m.Want([ref(task)]))
    out = worker(done(task))
    assert values(out, before) == values(out, session.driver) == [result(task)]
    assert values(out, after) == []
    assert after(m.Want([ref(task)])) == [Send(after.id, m.Objects([result(task)]))]


def test_a_result_nobody_refers_to_is_dropped():
    session = Session(workers=1)
    (worker,) = session.workers
    task = session.spec()
    session.driver(task, m.Release([ref(task)]))
    assert worker(done(task)) == []
    assert session.objects == 0


def test_without_a_worker_one_is_started_for_each_task_that_fits():
    session = Session(cpus=2)
    out = session.driver(*(session.spec() for _ in range(5)))
    assert [type(i) for i in out] == [StartWorker, StartWorker]
    assert session.driver(session.spec()) == []


def test_a_task_waits_for_its_arguments_and_gets_their_values():
    session = Session(workers=2)
    first = session.spec()
    then = session.spec(deps=(ref(first),), slots=(0,))
    out = session.driver(first, then)
    assert runs(out) == [first]
    worker = next(w for w in session.workers if runs(out, w))
    out = worker(done(first))
    (message,) = [x for w in session.workers for x in sent(out, w)]
    assert (message.spec, message.values) == (then, [result(first)])


def test_the_same_argument_twice_is_sent_twice():
    session = Session(workers=1)
    (worker,) = session.workers
    put = value(session.ids.put())
    task = session.spec(deps=(put.id, put.id), slots=(0, "key"))
    assert session.driver(m.PutObject(put), task) == [Send(worker.id, run(task, CODE, put, put))]


def test_a_task_with_several_arguments_waits_for_the_last():
    session = Session(cpus=3, workers=3)
    one, two = session.spec(), session.spec()
    out = session.driver(one, two, session.spec(deps=(ref(one), ref(two)), slots=(0, 1)))
    at = {spec.id: w for w in session.workers for spec in runs(out, w)}
    assert runs(at[one.id](done(one))) == []
    assert len(runs(at[two.id](done(two)))) == 1


def test_several_returns_are_several_objects():
    session = Session(workers=1)
    (worker,) = session.workers
    task = session.spec(returns=3)
    session.driver(task, m.Release([ref(task, 2)]))
    assert session.objects == 2
    out = worker(done(task))
    assert values(out, session.driver) == [result(task, 1), result(task, 3)]


def test_no_returns_are_no_objects():
    session = Session(workers=1)
    (worker,) = session.workers
    task = session.spec(returns=0)
    session.driver(task)
    assert session.objects == 0
    assert worker(done(task)) == []
    assert session.scheduler.tasks == {}


def test_a_worker_that_submits_keeps_its_own_task():
    session = Session(workers=2)
    parent = session.spec()
    out = session.driver(parent)
    worker = next(w for w in session.workers if runs(out, w))
    child = session.spec(parent=parent.id)
    other = next(w for w in session.workers if w is not worker)
    assert runs(worker(child), other) == [child]
    assert session.scheduler.tasks[parent.id].children == {child.id}
    other(done(child))
    assert session.scheduler.tasks[parent.id].children == set()


def test_what_a_process_says_after_its_end_is_not_heard():
    session = Session(workers=1)
    (worker,) = session.workers
    session.die(worker)
    assert worker(session.spec()) == []


def test_the_session_ends_with_its_last_driver():
    session = Session()
    other = session.connect(b"other")
    visitor = session.connect(b"visitor", role="control")
    assert session.leave(session.driver) == []
    assert session.leave(other) == [Stop("the last driver left")]
    assert session.leave(visitor) == []


def test_shutdown_ends_the_session():
    session = Session()
    (instruction,) = session.driver(m.Shutdown())
    assert isinstance(instruction, Stop)


def test_a_worker_nobody_planned_is_told_to_leave():
    session = Session(workers=1)
    stranger = m.Hello("worker", b"stranger", 1)
    assert session.scheduler.hello(stranger) == [Send(b"stranger", m.Exit("not expected"))]


def test_a_second_worker_of_the_same_id_is_told_to_leave():
    session = Session(workers=1)
    (worker,) = session.workers
    hello = m.Hello("worker", worker.id, 2)
    assert session.scheduler.hello(hello) == [Send(worker.id, m.Exit("not expected"))]


def test_an_infeasible_request_is_named_once_and_waits():
    session = Session(cpus=2, workers=1)
    huge = resources.encode({"CPU": 3})
    out = session.driver(session.spec(resources=huge), session.spec(resources=huge))
    (warning,) = sent(out, session.driver)
    assert isinstance(warning, m.Warn)
    assert "f asks for 3 CPU" in warning.text
    assert "it has 2 CPU" in warning.text
    assert session.driver(session.spec(resources=huge)) == []
    assert len(session.scheduler.tasks) == 3


def test_output_goes_to_every_driver():
    session = Session(workers=1)
    (worker,) = session.workers
    other = session.connect(b"other")
    session.connect(b"visitor", role="control")
    line = LogLine("c", "", "f", "1", "stdout", "hello\n")
    out = worker(m.Wrote([line], 6))
    assert out == [Send(session.driver.id, m.Logs([line])), Send(other.id, m.Logs([line]))]
    assert worker(m.Wrote([], 6, 3)) == []


def test_what_a_dead_worker_had_not_told_of_belongs_to_the_task_that_ran():
    session = Session(workers=1)
    (worker,) = session.workers
    task = session.spec(name="last", cell="c")
    session.driver(task)
    out = session.scheduler.last_words(worker.id, {"stderr": "bye\n"})
    (told,) = out[0].message.lines
    assert (told.cell, told.task, told.name) == ("c", task.id.hex(), "last")
    assert (told.stream, told.text) == ("stderr", "bye\n")


def test_a_forbidden_change_of_state_tells_the_tasks_story():
    session = Session()
    task = session.spec(name="story")
    session.driver(task)
    with pytest.raises(InvalidTransition, match=r"story .* is READY after 0 attempts .* RETURNED"):
        session.scheduler.tasks[task.id].move(TaskEvent.RETURNED)


def test_a_result_of_an_unknown_task_is_dropped():
    session = Session(workers=1)
    (worker,) = session.workers
    assert worker(done(session.spec())) == []


def test_a_result_from_a_worker_that_has_not_the_task_is_dropped():
    session = Session(workers=2)
    task = session.spec()
    out = session.driver(task, m.Want([ref(task)]))
    impostor = next(w for w in session.workers if not runs(out, w))
    assert impostor(done(task)) == []
    assert task.id in session.scheduler.tasks


def test_long_arguments_are_forgotten_with_the_task():
    session = Session(workers=1)
    (worker,) = session.workers
    task = session.spec(args=b"x" * 1000)
    session.driver(task)
    worker(done(task))
    assert session.scheduler.feed.ended[-1].spec.args == b""


def test_questions_are_answered_and_bad_ones_too():
    session = Session(cpus=2, workers=1)
    (reply,) = sent(session.driver(m.Query(7, "resources", {})), session.driver)
    answer = msgspec.msgpack.decode(reply.data)
    assert (reply.request, reply.error) == (7, "")
    assert answer == {"total": {"CPU": 2.0}, "available": {"CPU": 2.0}}
    (reply,) = sent(session.driver(m.Query(8, "nonsense", {})), session.driver)
    assert reply.error.startswith("unknown query 'nonsense'; known are actor_state, actors")


def test_max_calls_retires_the_worker():
    session = Session(cpus=1, workers=1)
    (worker,) = session.workers
    extra = m.TaskExtra(max_calls=2)
    first, second = session.spec(extra=extra), session.spec(extra=extra)
    session.driver(first, second)
    assert runs(worker(done(first)), worker) == [second]
    assert sent(worker(done(second)), worker) == [m.Exit("max_calls")]
    assert runs(session.driver(session.spec())) == []
    assert FUNCTION in session.scheduler.submission.functions
