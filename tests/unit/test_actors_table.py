"""Actors: the order of calls, names, restarts, and the many ways to end."""

from __future__ import annotations

import signal

import msgspec
import pytest

from raykernel.runtime import messages as m
from raykernel.runtime import resources
from raykernel.runtime.actors import WINDOW
from raykernel.runtime.ids import handle_id
from raykernel.runtime.instructions import Send, SignalWorker

from .kit import (
    CLASS_CODE,
    Process,
    Session,
    done,
    errors,
    raised,
    ref,
    result,
    run,
    runs,
    sent,
    started,
    value,
    values,
)


def living(**fields: object) -> tuple[Session, Process, m.TaskSpec]:
    """An actor on the only worker."""
    session = Session(workers=1)
    (worker,) = session.workers
    return session, worker, session.live_actor(worker, **fields)


def handle(creation: m.TaskSpec) -> bytes:
    return handle_id(creation.actor)


def restarted(session: Session, creation: m.TaskSpec, out: list[object]) -> Process:
    """The worker on which a restarting actor's constructor runs again."""
    (worker_id,) = started(out)
    assert runs(session.arrive(worker_id)) == [creation]
    return Process(session, worker_id)


def asked(session: Session, what: str, **filters: object) -> object:
    (reply,) = sent(session.driver(m.Query(1, what, filters)), session.driver)
    return msgspec.msgpack.decode(reply.data)


# -- creation and calls ---------------------------------------------------------------------------


def test_calls_wait_for_the_constructor_and_come_in_order():
    session = Session(workers=1)
    (worker,) = session.workers
    creation = session.actor()
    first, second = session.call(creation), session.call(creation)
    out = session.driver(creation, first, second)
    assert sent(out, worker) == [run(creation, CLASS_CODE)]
    assert sent(worker(done(creation)), worker) == [run(first), run(second)]


def test_a_call_to_a_free_actor_goes_at_once():
    session, worker, creation = living()
    call = session.call(creation)
    assert session.driver(call) == [Send(worker.id, run(call))]
    assert values(worker(done(call)), session.driver) == [result(call)]


def test_placing_takes_a_cpu_and_living_does_not():
    session = Session(cpus=1, workers=1)
    (worker,) = session.workers
    creation = session.actor({"CPU": 1})
    session.driver(creation)
    assert session.free == {"CPU": 0.0}
    worker(done(creation))
    assert session.free == {"CPU": 1.0}


def test_an_actor_keeps_what_it_asked_for_until_its_process_is_gone():
    session = Session(cpus=1, workers=1, x=1)
    (worker,) = session.workers
    needs = resources.encode({"CPU": 1, "x": 1})
    creation = session.live_actor(worker, needs={"CPU": 1, "x": 1}, keeps=needs)
    session.driver(m.KillActor(creation.actor))
    assert session.free == {"CPU": 0.0, "x": 0.0}
    session.die(worker)
    assert session.free == {"CPU": 1.0, "x": 1.0}


def test_a_call_without_its_arguments_holds_up_its_callers_later_calls_and_nobody_elses():
    session = Session(workers=2)
    slow = session.spec()
    out = session.driver(slow)
    other = next(w for w in session.workers if runs(out, w))
    (worker,) = [w for w in session.workers if w is not other]
    creation = session.live_actor(worker)
    neighbour = session.connect(b"neighbour")
    waits = session.call(creation, deps=(ref(slow),), slots=(0,))
    later, foreign = session.call(creation), session.call(creation)
    assert session.driver(waits, later) == []
    assert runs(neighbour(foreign), worker) == [foreign]
    assert runs(other(done(slow)), worker) == [waits, later]


def test_an_actor_that_may_takes_calls_as_they_become_ready():
    session = Session(workers=2)
    slow = session.spec()
    out = session.driver(slow)
    other = next(w for w in session.workers if runs(out, w))
    (worker,) = [w for w in session.workers if w is not other]
    creation = session.live_actor(worker, out_of_order=True)
    waits = session.call(creation, deps=(ref(slow),), slots=(0,))
    later = session.call(creation)
    assert runs(session.driver(waits, later), worker) == [later]
    assert runs(other(done(slow)), worker) == [waits]


def test_a_failed_argument_fails_the_call_and_lets_the_next_one_through():
    session = Session(workers=2)
    slow = session.spec()
    out = session.driver(slow)
    other = next(w for w in session.workers if runs(out, w))
    (worker,) = [w for w in session.workers if w is not other]
    creation = session.live_actor(worker)
    waits = session.call(creation, deps=(ref(slow),), slots=(0,))
    later = session.call(creation)
    session.driver(waits, later)
    out = other(raised(slow))
    assert [e.via for e in errors(out, session.driver)] == [(), ("A.m",)]
    assert runs(out, worker) == [later]


def test_a_call_is_not_sent_with_an_error_though_its_last_value_comes_in_the_same_turn():
    session, worker, creation = living()
    actor_of_the_arguments = session.live_actor(source := session.worker(), out_of_order=True)
    bad, good = session.call(actor_of_the_arguments), session.call(actor_of_the_arguments)
    call = session.call(creation, deps=(ref(bad), ref(good)), slots=(0, 1))
    session.driver(bad, good, call, m.Release([ref(bad), ref(good)]))
    out = source(raised(bad), done(good))
    assert runs(out, worker) == []
    assert [e.via for e in errors(out, session.driver)] == [("A.m",)]


def test_a_cancelled_call_lets_the_next_one_through():
    session = Session(workers=1)
    (worker,) = session.workers
    creation = session.live_actor(worker)
    slow = session.spec()
    session.driver(slow)
    waits = session.call(creation, deps=(ref(slow),), slots=(0,))
    later = session.call(creation)
    session.driver(waits, later)
    assert runs(session.driver(m.Cancel(ref(waits))), worker) == [later]


def test_callers_take_turns_and_no_more_than_a_window_is_on_its_way():
    session, worker, creation = living()
    neighbour = session.connect(b"neighbour")
    mine = [session.call(creation) for _ in range(WINDOW + 10)]
    others = [session.call(creation) for _ in range(10)]
    assert runs(session.driver(*mine), worker) == mine[:WINDOW]
    assert neighbour(*others) == []
    out = worker(*(done(t) for t in mine[: WINDOW // 2]))
    assert runs(out, worker) == [*mine[WINDOW:], *others]


def test_an_exception_to_be_retried_puts_the_call_first():
    session, worker, creation = living()
    calls = [session.call(creation, retries=1) for _ in range(2)]
    session.driver(*calls)
    assert sent(worker(raised(calls[0], retryable=True)), worker) == [run(calls[0], attempt=2)]


# -- the last handle ------------------------------------------------------------------------------


def test_an_actor_ends_with_its_last_handle():
    session, worker, creation = living()
    session.driver(m.AddRef([handle(creation)]), m.Release([handle(creation)]))
    assert session.driver(m.Release([handle(creation)])) == [
        Send(worker.id, m.Exit("no handle left"))
    ]
    assert asked(session, "actor_state", actor=creation.actor)["state"] == "DEAD"


def test_an_actor_without_handles_finishes_the_calls_it_has():
    session, worker, creation = living()
    first, second = session.call(creation), session.call(creation)
    assert sent(session.driver(first, second, m.Release([handle(creation)])), worker) == [
        run(first),
        run(second),
    ]
    assert sent(worker(done(first)), worker) == []
    assert sent(worker(done(second)), worker) == [m.Exit("no handle left")]


def test_an_actor_without_handles_retries_its_last_call():
    session, worker, creation = living()
    call = session.call(creation, retries=1)
    session.driver(call, m.Release([handle(creation)]))
    assert sent(worker(raised(call, retryable=True)), worker) == [run(call, attempt=2)]
    assert sent(worker(done(call)), worker) == [m.Exit("no handle left")]


def test_an_actor_dropped_before_it_is_made_is_made_and_ends():
    session = Session(workers=1)
    (worker,) = session.workers
    creation = session.actor()
    call = session.call(creation)
    session.driver(creation, call, m.Release([handle(creation)]))
    assert sent(worker(done(creation)), worker) == [run(call)]
    assert sent(worker(done(call)), worker) == [m.Exit("no handle left")]


def test_a_handle_inside_an_object_keeps_the_actor():
    session, worker, creation = living()
    box = value(session.ids.put(), contained=(handle(creation),))
    assert session.driver(m.PutObject(box), m.Release([handle(creation)])) == []
    assert sent(session.driver(m.Release([box.id])), worker) == [m.Exit("no handle left")]


def test_a_chain_of_actors_that_keep_each_other_ends_without_recursion():
    session = Session(workers=300)
    chain: list[m.TaskSpec] = []
    for worker in session.workers:
        inner = (handle(chain[-1]),) if chain else ()
        creation = session.actor(contained=inner)
        chain.append(creation)
        out = session.driver(creation)
        Process(session, out[0].to)(done(creation))
        assert worker is not None
    session.driver(m.Release([handle(c) for c in chain[:-1]]))
    out = session.driver(m.Release([handle(chain[-1])]))
    assert [i.message for i in out] == [m.Exit("no handle left")] * 300
    assert session.objects == 0


def test_a_detached_actor_needs_no_handle_and_no_maker():
    session = Session(workers=1)
    (worker,) = session.workers
    maker = session.connect(b"maker")
    creation = session.actor(detached=True)
    maker(creation)
    worker(done(creation))
    assert maker(m.Release([handle(creation)])) == []
    assert session.leave(maker) == []
    call = session.call(creation)
    assert runs(session.driver(call), worker) == [call]
    session.driver(m.KillActor(creation.actor), m.Release([ref(call)]))
    assert session.objects == 0


# -- death ----------------------------------------------------------------------------------------


def test_kill_ends_the_process_and_fails_what_is_there_and_what_comes():
    session, worker, creation = living()
    running, later = session.call(creation), session.call(creation)
    session.driver(running)
    out = session.driver(m.KillActor(creation.actor))
    assert SignalWorker(worker.id, signal.SIGKILL) in out
    (error,) = errors(out, session.driver)
    assert error.kind == "actor_died"
    assert "killed by `ray.kill`" in error.message
    assert [e.message for e in errors(session.driver(later), session.driver)] == [error.message]
    assert worker(done(running)) == []


def test_kill_in_mid_constructor():
    session = Session(workers=1)
    (worker,) = session.workers
    creation = session.actor()
    call = session.call(creation)
    session.driver(creation, call)
    out = session.driver(m.KillActor(creation.actor))
    assert SignalWorker(worker.id, signal.SIGKILL) in out
    assert [e.kind for e in errors(out, session.driver)] == ["actor_died"]
    assert worker(done(creation)) == []
    assert started(session.die(worker)) == []


def test_kill_before_there_is_a_worker():
    session = Session(cpus=1)
    creation = session.actor()
    (worker_id,) = started(session.driver(creation))
    assert session.driver(m.KillActor(creation.actor)) == []
    assert session.arrive(worker_id) == []


def test_killing_twice_is_killing_once():
    session, _, creation = living()
    session.driver(m.KillActor(creation.actor))
    assert session.driver(m.KillActor(creation.actor), m.KillActor(b"nobody")) == []


def test_a_constructors_exception_is_why_the_actor_is_dead():
    session = Session(workers=1)
    (worker,) = session.workers
    creation = session.actor()
    call = session.call(creation)
    session.driver(creation, call)
    out = worker(raised(creation))
    (error,) = errors(out, session.driver)
    assert (error.kind, error.cause_repr) == ("actor_died", "ValueError: no")
    assert "error raised in its creation task" in error.message
    assert SignalWorker(worker.id, signal.SIGKILL) in out


def test_a_constructors_failed_argument_is_why_the_actor_is_dead():
    session = Session(cpus=1, workers=1)
    (worker,) = session.workers
    bad = session.spec(name="bad")
    creation = session.actor(deps=(ref(bad),), slots=(0,))
    call = session.call(creation)
    session.driver(bad, creation, call, m.Release([ref(bad)]))
    (error,) = errors(worker(raised(bad)), session.driver)
    assert (error.kind, error.name, error.via) == ("actor_died", "A.__init__", ())


def test_an_unexpected_end_is_told():
    session, worker, creation = living()
    call = session.call(creation)
    session.driver(call)
    (error,) = errors(session.die(worker, -signal.SIGSEGV), session.driver)
    assert "process was killed by SIGSEGV" in error.message


def test_calls_that_wait_for_arguments_die_with_an_actor_out_of_order():
    session = Session(workers=2)
    slow = session.spec()
    out = session.driver(slow)
    (worker,) = [w for w in session.workers if not runs(out, w)]
    creation = session.live_actor(worker, out_of_order=True)
    call = session.call(creation, deps=(ref(slow),), slots=(0,))
    session.driver(call)
    assert [e.kind for e in errors(session.die(worker), session.driver)] == ["actor_died"]


def test_exit_actor_fails_its_call_and_drops_the_rest():
    session, worker, creation = living(max_restarts=-1)
    last, dropped = session.call(creation, returns=2), session.call(creation, retries=3)
    session.driver(last, dropped)
    out = worker(m.TaskFinished(last.id, [result(last)], "exit"), m.ActorExited())
    messages = [e.message for e in errors(out, session.driver)]
    assert len(messages) == 2
    assert all("exit_actor()" in message for message in messages)
    out = session.die(worker, 0)
    assert [e.message for e in errors(out, session.driver)] == messages[:1]
    assert started(out) == []


def test_calls_that_run_beside_exit_actor_may_end_well():
    session, worker, creation = living(out_of_order=True, max_concurrency=2)
    last, beside, again = (session.call(creation, retries=1) for _ in range(3))
    session.driver(last, beside, again)
    worker(m.TaskFinished(last.id, [result(last)], "exit"), m.ActorExited())
    assert values(worker(done(beside)), session.driver) == [result(beside)]
    out = worker(raised(again, retryable=True))
    assert [e.kind for e in errors(out, session.driver)] == ["actor_died"]


def test_actors_end_with_their_maker():
    session = Session(workers=1)
    (worker,) = session.workers
    maker = session.connect(b"maker")
    creation = session.actor()
    maker(creation)
    worker(done(creation))
    session.driver(m.AddRef([handle(creation)]))
    assert session.leave(maker) == [SignalWorker(worker.id, signal.SIGKILL)]
    (error,) = errors(session.driver(session.call(creation)), session.driver)
    assert "its owner has died" in error.message


def test_a_call_to_nobody_says_so():
    session = Session()
    stranger = session.actor()
    (error,) = errors(session.driver(session.call(stranger)), session.driver)
    assert (error.kind, error.actor) == ("actor_died", stranger.actor)


# -- restarts -------------------------------------------------------------------------------------


def test_a_restart_runs_the_constructor_again_and_then_what_waits():
    session, worker, creation = living(max_restarts=1)
    (argument,) = [value(session.ids.put())]
    kept = session.call(creation, retries=1)
    lost = session.call(creation)
    session.driver(kept, lost, m.PutObject(argument))
    out = session.die(worker)
    assert [e.kind for e in errors(out, session.driver)] == ["actor_unavailable"]
    worker = restarted(session, creation, out)
    assert sent(worker(done(creation)), worker) == [run(kept, attempt=2)]
    assert asked(session, "actor_state", actor=creation.actor)["restarts"] == 1
    out = session.die(worker)
    assert [e.kind for e in errors(out, session.driver)] == ["actor_died"]
    assert started(out) == []


def test_a_constructors_arguments_are_kept_for_its_restarts_and_no_longer():
    session = Session(workers=1)
    (worker,) = session.workers
    argument = value(session.ids.put())
    creation = session.actor(max_restarts=1, deps=(argument.id,), slots=(0,))
    session.driver(m.PutObject(argument), creation, m.Release([argument.id]))
    worker(done(creation))
    worker = restarted(session, creation, session.die(worker))
    worker(done(creation))
    assert session.objects == 2
    session.driver(m.Release([handle(creation)]))
    assert session.objects == 0


def test_calls_without_retries_fail_fast_while_it_restarts_and_others_wait():
    session, worker, creation = living(max_restarts=-1)
    out = session.die(worker)
    fails, waits = session.call(creation), session.call(creation, retries=1)
    answer = session.driver(fails, waits)
    assert [e.kind for e in errors(answer, session.driver)] == ["actor_unavailable"]
    worker = restarted(session, creation, out)
    assert sent(worker(done(creation)), worker) == [run(waits)]


def test_calls_that_were_with_the_actor_go_first_and_in_order_after_a_restart():
    session, worker, creation = living(max_restarts=1)
    calls = [session.call(creation, retries=1) for _ in range(3)]
    session.driver(*calls[:2])
    out = session.die(worker)
    session.driver(calls[2])
    worker = restarted(session, creation, out)
    assert runs(worker(done(creation)), worker) == calls


def test_a_cancelled_call_is_not_sent_again():
    session, worker, creation = living(max_restarts=1)
    call = session.call(creation, retries=1)
    session.driver(call)
    session.driver(m.Cancel(ref(call)))
    assert [e.kind for e in errors(session.die(worker), session.driver)] == ["cancelled"]


def test_a_crash_in_the_constructor_uses_up_restarts():
    session = Session(workers=1)
    (worker,) = session.workers
    creation = session.actor(max_restarts=1)
    call = session.call(creation, retries=-1)
    session.driver(creation, call)
    worker = restarted(session, creation, session.die(worker))
    assert [e.kind for e in errors(session.die(worker), session.driver)] == ["actor_died"]


def test_kill_may_allow_a_restart():
    session, worker, creation = living(max_restarts=1)
    assert session.driver(m.KillActor(creation.actor, no_restart=False)) == [
        SignalWorker(worker.id, signal.SIGKILL)
    ]
    restarted(session, creation, session.die(worker))


def test_an_actor_without_handles_is_not_restarted():
    session, worker, creation = living(max_restarts=-1)
    call = session.call(creation)
    session.driver(call, m.Release([handle(creation)]))
    out = session.die(worker)
    assert [e.kind for e in errors(out, session.driver)] == ["actor_died"]
    assert started(out) == []


def test_a_restarted_actor_is_listed_once():
    session, worker, creation = living(max_restarts=1)
    restarted(session, creation, session.die(worker))
    assert len(asked(session, "tasks")) == 1


# -- names ----------------------------------------------------------------------------------------


def claim(session: Session, who: Process, name: str, actor: bytes) -> bytes:
    query = m.Query(1, "claim_name", {"namespace": "n", "name": name, "actor": actor})
    (reply,) = sent(who(query), who)
    return msgspec.msgpack.decode(reply.data)["actor"]


def test_the_first_to_claim_a_name_has_it():
    session = Session(workers=1)
    (worker,) = session.workers
    creation = session.actor(name="name", namespace="n", meta=b"methods")
    assert claim(session, session.driver, "name", creation.actor) == creation.actor
    assert claim(session, session.driver, "name", b"another") == creation.actor
    session.driver(creation)
    worker(done(creation))
    found = asked(session, "find_actor", namespace="n", name="name")
    assert found == {"actor": creation.actor, "meta": b"methods"}
    assert asked(session, "named_actors", namespace="n") == [{"name": "name", "namespace": "n"}]


@pytest.mark.parametrize("end", ["kill", "release", "crash"])
def test_a_dead_actors_name_is_free(end: str):
    session = Session(workers=1)
    (worker,) = session.workers
    creation = session.actor(name="name", namespace="n")
    claim(session, session.driver, "name", creation.actor)
    session.driver(creation)
    worker(done(creation))
    if end == "kill":
        session.driver(m.KillActor(creation.actor))
    elif end == "release":
        session.driver(m.Release([handle(creation)]))
    else:
        session.die(worker)
    assert asked(session, "find_actor", namespace="n", name="name")["actor"] == b""


def test_a_restarting_actor_keeps_its_name():
    session = Session(workers=1)
    (worker,) = session.workers
    creation = session.actor(name="name", namespace="n", max_restarts=1)
    claim(session, session.driver, "name", creation.actor)
    session.driver(creation)
    worker(done(creation))
    session.die(worker)
    assert asked(session, "find_actor", namespace="n", name="name")["actor"] == creation.actor


def test_a_name_reserved_by_a_process_that_dies_is_free_again():
    session = Session()
    other = session.connect(b"other")
    claim(session, other, "name", b"actor")
    session.leave(other)
    assert claim(session, session.driver, "name", b"mine") == b"mine"


def test_a_name_can_be_given_back():
    session = Session()
    claim(session, session.driver, "name", b"actor")
    asked(session, "unclaim_name", actor=b"actor")
    assert asked(session, "find_actor", namespace="n", name="name")["actor"] == b""
