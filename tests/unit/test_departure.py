"""A driver leaves a session that goes on: what ends with it, what stays, and for how long."""

from __future__ import annotations

import signal

from raykernel.runtime import messages as m
from raykernel.runtime.departure import PATIENCE
from raykernel.runtime.dispatch import POKE
from raykernel.runtime.ids import handle_id
from raykernel.runtime.instructions import SignalWorker, Stop

from .kit import (
    CLASS,
    CLASS_CODE,
    CODE,
    FUNCTION,
    Process,
    Session,
    done,
    errors,
    ref,
    runs,
    sent,
    signals,
    started,
    value,
    values,
)

TTL = 60.0


def inline(session: Session) -> m.Value:
    """A small object that the driver has put."""
    made = value(session.ids.put())
    session.driver(m.PutObject(made))
    return made


def lasting(**options: float) -> Session:
    return Session(ttl=TTL, **options)  # type: ignore[arg-type]


def ask(session: Session, process: Process, what: str, **filters: object) -> object:
    import msgspec

    (reply,) = sent(process(m.Query(1, what, filters)), process)
    assert not reply.error
    return msgspec.msgpack.decode(reply.data)


def come_back(session: Session, name: bytes = b"next") -> Process:
    out = session.scheduler.hello(m.Hello("driver", name, 2))
    assert session.welcome in [getattr(i, "message", None) for i in out]
    return Process(session, name)


# -- how long it lives ----------------------------------------------------------------------------


def test_a_lasting_session_ends_once_nobody_used_it_for_its_time():
    session = lasting()
    assert session.leave(session.driver) == []
    assert session.scheduler.next_tick() == TTL
    assert session.tick(TTL - 1) == []
    assert session.tick(1) == [Stop("nobody used it for 60 s")]


def test_a_driver_that_comes_stops_the_clock():
    session = lasting()
    session.leave(session.driver)
    session.tick(TTL - 1)
    again = come_back(session)
    assert session.scheduler.next_tick() is None
    session.tick(10 * TTL)
    session.leave(again)
    assert session.tick(TTL - 1) == []
    assert session.tick(1) != []


def test_work_in_the_background_is_waited_for():
    session = lasting(workers=1)
    (worker,) = session.workers
    task = session.spec(cell="a")
    session.driver(task)
    assert ask(session, session.driver, "background", cell="a") == 1
    session.leave(session.driver)
    assert session.tick(TTL) == []
    worker(done(task))
    assert session.tick(TTL - 1) == []
    assert session.tick(1) != []


def test_a_session_no_driver_came_to_ends():
    session = Session()
    life = session.scheduler.life
    life.__init__(0.0)  # type: ignore[misc]  # as before its first driver
    life.begin(session.now)
    assert session.tick(59) == []
    assert session.tick(1) != []


def test_the_time_to_live_can_be_set():
    session = Session()
    ask(session, session.driver, "settle_down", ttl=5.0, kernel="k", notebook="n")
    assert session.leave(session.driver) == []
    assert session.tick(5) == [Stop("nobody used it for 5 s")]


def test_its_driver_ends_it_unless_another_uses_it():
    session = lasting()
    other = session.connect(b"other")
    assert ask(session, session.driver, "end") is False
    session.leave(other)
    assert Stop("its driver ended it") in session.driver(m.Query(1, "end"))


# -- what ends ------------------------------------------------------------------------------------


def test_the_drivers_tasks_are_cancelled_and_what_they_submitted():
    session = lasting(workers=2)
    first, second = session.workers
    parent, waiting = session.spec(), session.spec(resources="CPU=90000000")
    out = session.driver(parent, waiting)
    runner = first if runs(out, first) else second
    child = session.spec(parent=parent.id)
    runner(m.Blocked(), child)
    out = session.leave(session.driver)
    assert {w for w, n in signals(out) if n == POKE} == {first.id, second.id}
    assert waiting.id not in session.scheduler.tasks
    killed = signals(session.tick(PATIENCE))
    assert (runner.id, signal.SIGKILL) in killed


def test_a_childs_work_ends_too_when_its_parent_is_over():
    session = lasting(workers=1)
    (worker,) = session.workers
    parent = session.spec()
    session.driver(parent)
    child = session.spec(parent=parent.id, resources="CPU=90000000")
    worker(child)
    worker(done(parent))
    session.leave(session.driver)
    assert child.id not in session.scheduler.tasks


def test_another_drivers_work_goes_on():
    session = lasting(workers=2)
    other = session.connect(b"other")
    mine, theirs = session.spec(), session.spec()
    session.driver(mine)
    other(theirs)
    assert [w for w, n in signals(session.leave(session.driver)) if n == POKE] != []
    tasks = session.scheduler.tasks
    assert tasks[mine.id].cancelled
    assert not tasks[theirs.id].cancelled


def test_unnamed_actors_end_and_their_queued_calls_fail():
    session = lasting(workers=1)
    (worker,) = session.workers
    session.live_actor(worker)
    assert SignalWorker(worker.id, signal.SIGKILL) in session.leave(session.driver)


def test_what_nobody_refers_to_any_more_is_freed():
    session = lasting()
    inline(session)
    session.leave(session.driver)
    assert session.objects == 0


def test_functions_nobody_can_run_are_forgotten_with_what_they_close_over():
    session = lasting()
    kept = inline(session)
    session.driver(m.RegisterFunction(b"g", "g", b"code", (kept.id,)))
    session.leave(session.driver)
    assert session.objects == 0
    assert session.scheduler.submission.functions == {}
    again = come_back(session)
    again(m.RegisterFunction(FUNCTION, "f", CODE))
    again(session.spec())


def test_idle_workers_go_and_fresh_ones_await_the_next_driver():
    session = lasting(workers=2, prestart=2)
    out = session.leave(session.driver)
    assert [sent(out, w) for w in session.workers] == [[m.Exit("its driver has left")]] * 2
    out = session.scheduler.hello(m.Hello("driver", b"next", 2))
    assert len(started(out)) == 2


# -- what stays -----------------------------------------------------------------------------------


def test_a_named_actor_stays_with_its_state_and_its_calls():
    session = lasting(workers=1)
    (worker,) = session.workers
    creation = session.actor(name="a", namespace="ns")
    ask(session, session.driver, "claim_name", namespace="ns", name="a", actor=creation.actor)
    session.driver(creation)
    worker(done(creation))
    call = session.call(creation)
    session.driver(call)
    assert signals(session.leave(session.driver)) == []
    worker(done(call))
    again = come_back(session)
    found = ask(session, again, "find_actor", namespace="ns", name="a")
    assert found["actor"] == creation.actor  # type: ignore[index]
    call = session.call(creation)
    assert runs(again(call), worker) == [call]
    worker(done(call))
    again(m.Release([ref(call)]), m.KillActor(creation.actor))
    assert session.objects == 0


def test_a_named_actor_is_its_handles_while_its_driver_lives():
    session = lasting(workers=1)
    (worker,) = session.workers
    creation = session.live_actor(worker, name="a", namespace="ns")
    out = session.driver(m.Release([handle_id(creation.actor)]))
    assert sent(out, worker) == [m.Exit("no handle left")]


def test_a_named_actor_whose_constructor_waits_gets_what_it_waits_for():
    session = lasting(workers=1, cpus=1)
    (worker,) = session.workers
    task = session.spec()
    creation = session.actor(name="a", namespace="ns", deps=(ref(task),), slots=(0,))
    session.driver(task, creation)
    session.leave(session.driver)
    assert not session.scheduler.tasks[task.id].cancelled
    out = worker(done(task))
    assert runs(out) == [creation]


def test_without_a_time_to_live_a_named_actor_ends_with_its_driver():
    session = Session(workers=1)
    (worker,) = session.workers
    session.connect(b"other")
    session.live_actor(worker, name="a", namespace="ns")
    assert signals(session.leave(session.driver)) == [(worker.id, signal.SIGKILL)]


def test_its_restart_finds_its_class():
    session = lasting(workers=1)
    (worker,) = session.workers
    session.live_actor(worker, name="a", namespace="ns", max_restarts=1)
    session.leave(session.driver)
    assert list(session.scheduler.submission.functions) == [CLASS]
    session.die(worker)
    (fresh,) = [w for w in session.scheduler.dispatcher.workers if w != worker.id]
    out = session.scheduler.hello(m.Hello("worker", fresh, 9))
    assert CLASS_CODE in [getattr(getattr(i, "message", None), "code", b"") for i in out]


def test_a_named_object_stays_until_its_name_goes():
    session = lasting()
    mine = inline(session)
    ask(session, session.driver, "name_object", namespace="ns", name="x", object=mine.id)
    session.leave(session.driver)
    again = come_back(session)
    assert ask(session, again, "find_object", namespace="ns", name="x") == mine.id
    assert values(again(m.Want([mine.id])), again) == [mine]
    again(m.Release([mine.id]))
    assert session.objects == 1
    assert ask(session, again, "forget_object", namespace="ns", name="x") is True
    assert session.objects == 0
    assert ask(session, again, "find_object", namespace="ns", name="x") == b""
    assert ask(session, again, "forget_object", namespace="ns", name="x") is False


def test_a_name_given_again_is_the_new_objects():
    session = lasting()
    old, new = inline(session), inline(session)
    for one in (old, new):
        ask(session, session.driver, "name_object", namespace="ns", name="x", object=one.id)
        session.driver(m.Release([one.id]))
    assert list(session.scheduler.store.objects) == [new.id]
    (listed,) = ask(session, session.driver, "named_objects")  # type: ignore[misc]
    assert (listed["name"], listed["ready"]) == ("x", True)


def test_the_tasks_that_make_a_named_object_go_on():
    session = lasting(workers=1, cpus=1)
    (worker,) = session.workers
    first = session.spec()
    second = session.spec(deps=(ref(first),), slots=(0,))
    other = session.spec()
    session.driver(first, second, other)
    ask(session, session.driver, "name_object", namespace="ns", name="x", object=ref(second))
    session.leave(session.driver)
    assert set(session.scheduler.tasks) == {first.id, second.id}
    worker(done(first))
    worker(done(second))
    again = come_back(session)
    found = ask(session, again, "find_object", namespace="ns", name="x")
    assert values(again(m.Want([found])), again) == [value(ref(second))]  # type: ignore[list-item]


def test_a_group_stays_that_a_named_actor_runs_in():
    session = lasting(workers=1)
    (worker,) = session.workers
    for group in (b"used", b"free"):
        session.driver(m.CreateGroup(1, group, ["CPU=10000"], "PACK"))
    extra = m.TaskExtra(
        group=b"used", actor=m.ActorOptions(class_name="A", name="a", namespace="ns")
    )
    creation = session.spec(
        function=CLASS, name="A", returns=0, kind=m.CREATION, actor=session.ids.actor(),
        resources="", extra=extra,
    )  # fmt: skip
    session.driver(creation)
    worker(done(creation))
    session.leave(session.driver)
    states = {g.id: g.state.name for g in session.scheduler.dispatcher.groups.groups.values()}
    assert states == {b"used": "CREATED", b"free": "REMOVED"}


def test_calls_that_wait_for_a_cancelled_task_of_another_say_so():
    session = lasting(workers=2)
    other = session.connect(b"other")
    task = session.spec(resources="CPU=90000000")
    session.driver(task)
    other(m.AddRef([ref(task)]), m.Want([ref(task)]))
    out = session.leave(session.driver)
    assert [e.kind for e in errors(out, other)] == ["cancelled"]
