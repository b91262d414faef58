"""Leases, pipelining, blocked workers, GPUs, and workers that come and go."""

from __future__ import annotations

import pytest

from raykernel.runtime import messages as m
from raykernel.runtime import resources
from raykernel.runtime.dispatch import BURST, DEPTH, IDLE_LIMIT, POKE, STALL
from raykernel.runtime.ids import handle_id
from raykernel.runtime.instructions import Send, SignalWorker

from .kit import (
    CODE,
    FUNCTION,
    OTHER,
    Process,
    Session,
    done,
    ref,
    run,
    runs,
    sent,
    started,
)


def one_worker(mean: float | None = None) -> tuple[Session, Process]:
    """A worker on one CPU; the function takes `mean` seconds, as far as is known."""
    session = Session(cpus=1, workers=1)
    if mean is not None:
        session.scheduler.dispatcher.mean[FUNCTION] = mean
    return session, session.workers[0]


def needing(session: Session, count: int = 1, **amounts: float) -> list[m.TaskSpec]:
    needs = resources.encode(amounts)
    return [session.spec(resources=needs) for _ in range(count)]


# -- pipelining -----------------------------------------------------------------------------------


def test_an_unknown_function_is_sent_one_by_one():
    session, worker = one_worker()
    first, second = session.spec(retries=3), session.spec(retries=3)
    assert runs(session.driver(first, second)) == [first]
    assert runs(worker(done(first))) == [second]


def test_a_quick_function_is_queued_deep():
    session, worker = one_worker(mean=BURST / DEPTH)
    tasks = [session.spec(retries=3) for _ in range(DEPTH + 5)]
    assert runs(session.driver(*tasks), worker) == tasks[:DEPTH]


def test_the_depth_is_about_a_bursts_worth():
    session, worker = one_worker(mean=BURST / 8)
    tasks = [session.spec(retries=3) for _ in range(20)]
    assert runs(session.driver(*tasks), worker) == tasks[:8]


def test_a_slow_function_has_nothing_queued_behind_it():
    session, worker = one_worker(mean=BURST)
    tasks = [session.spec(retries=3) for _ in range(3)]
    assert runs(session.driver(*tasks), worker) == tasks[:1]


@pytest.mark.parametrize("fields", [{"retries": 0}, {"extra": m.TaskExtra(max_calls=9)}])
def test_what_may_not_be_run_twice_or_ends_its_worker_is_never_queued(fields: dict[str, object]):
    session, worker = one_worker(mean=0.0001)
    tasks = [session.spec(**{"retries": 3, **fields}) for _ in range(3)]
    assert runs(session.driver(*tasks), worker) == tasks[:1]


def test_queues_are_shared_out():
    session = Session(cpus=2, workers=2)
    session.scheduler.dispatcher.mean[FUNCTION] = 0.0001
    out = session.driver(*(session.spec(retries=3) for _ in range(10)))
    assert [len(runs(out, w)) for w in session.workers] == [5, 5]


def test_how_long_a_function_takes_is_learned_fast_when_it_rises_and_slowly_when_it_falls():
    session, worker = one_worker()
    dispatcher = session.scheduler.dispatcher
    for took, mean in ((1.0, 1.0), (5.0, 5.0), (0.0, 4.5)):
        task = session.spec()
        session.driver(task)
        worker(done(task, took=took))
        assert dispatcher.mean[FUNCTION] == pytest.approx(mean)


def test_what_is_stuck_behind_a_stall_is_recalled_once():
    session, worker = one_worker(mean=0.0001)
    tasks = [session.spec(retries=3) for _ in range(3)]
    session.driver(*tasks)
    assert session.scheduler.next_tick() == STALL / 2
    assert session.tick(STALL / 2) == []
    assert session.tick(STALL) == [Send(worker.id, m.Recall()), SignalWorker(worker.id, POKE)]
    assert session.tick(STALL) == []
    assert session.scheduler.dispatcher.mean[FUNCTION] > STALL
    assert session.scheduler.next_tick() is None


def test_what_comes_back_is_first_in_its_queue_and_runs_elsewhere():
    session, worker = one_worker(mean=0.0001)
    tasks = [session.spec(retries=3) for _ in range(3)]
    session.driver(*tasks)
    session.tick(2 * STALL)
    last = session.spec(retries=3)
    session.driver(last)
    assert worker(m.TasksReturned([t.id for t in tasks[1:]])) == []
    second = runs(worker(done(tasks[0])))
    assert second == [tasks[1]]
    assert session.scheduler.tasks[tasks[1].id].attempt == 1


def test_no_recall_while_there_is_progress():
    session, worker = one_worker(mean=0.0001)
    tasks = [session.spec(retries=3) for _ in range(3)]
    session.driver(*tasks)
    session.now += STALL
    worker(done(tasks[0], took=0.0001))
    assert session.tick(STALL / 2) == []


# -- workers for actors ---------------------------------------------------------------------------


def test_an_actor_that_takes_one_of_the_last_idle_workers_has_the_next_one_forked():
    session = Session(cpus=2, workers=2, prestart=2)
    first = started(session.driver(session.actor()))
    second = started(session.driver(session.actor()))
    assert (len(first), len(second)) == (1, 1), "two are to be had, whatever was taken"
    third, fourth = session.actor(), session.actor()
    assert started(session.driver(third)) == [], "two are on their way"
    out = session.arrive(*first)
    assert runs(out) == [third]
    assert len(started(out)) == 1
    assert session.arrive(*second) == []
    out = session.driver(fourth)
    assert runs(out) == [fourth]
    assert len(started(out)) == 1


def test_tasks_need_no_spare_worker():
    session = Session(cpus=1, workers=1, prestart=1)
    assert started(session.driver(session.spec())) == []


# -- blocked workers ------------------------------------------------------------------------------


def test_a_blocked_worker_gives_its_cpu_back_and_its_queue():
    session, worker = one_worker(mean=0.0001)
    session.scheduler.dispatcher.mean[OTHER] = 0.0001
    tasks = [session.spec(retries=3), *(session.spec(retries=3, function=OTHER) for _ in range(2))]
    session.driver(*tasks)
    out = worker(m.Blocked([t.id for t in tasks[1:]]))
    assert session.free == {"CPU": 1.0}
    (other_id,) = started(out)
    assert runs(session.arrive(other_id)) == tasks[1:]


def test_an_unblocked_worker_takes_its_cpu_back_though_there_is_none():
    session, worker = one_worker()
    first, second, third = (session.spec(function=f) for f in (FUNCTION, OTHER, OTHER))
    session.driver(first)
    (other_id,) = started(worker(second, m.Blocked()))
    other = Process(session, other_id)
    assert runs(session.arrive(other_id)) == [second]
    assert worker(m.Unblocked()) == []
    assert session.free == {"CPU": -1.0}
    session.driver(third)
    assert runs(other(done(second))) == []
    assert runs(worker(done(first))) == [third]
    assert session.free == {"CPU": 0.0}


def test_a_blocked_worker_keeps_its_gpu_and_the_rest():
    session = Session(cpus=1, workers=1, GPU=1, x=1)
    (worker,) = session.workers
    session.driver(*needing(session, CPU=1, GPU=1, x=1))
    worker(m.Blocked())
    assert session.free == {"CPU": 1.0, "GPU": 0.0, "x": 0.0}
    worker(m.Unblocked())
    assert session.free == {"CPU": 0.0, "GPU": 0.0, "x": 0.0}


def test_a_worker_that_dies_blocked_frees_everything_once():
    session = Session(cpus=1, workers=1, x=1)
    (worker,) = session.workers
    session.driver(*needing(session, CPU=1, x=1))
    worker(m.Blocked())
    session.die(worker)
    assert session.free == {"CPU": 1.0, "x": 1.0}


def test_a_task_sent_to_a_worker_that_has_just_blocked_comes_back():
    session, worker = one_worker(mean=0.0001)
    session.scheduler.dispatcher.mean[OTHER] = 0.0001
    first, late = session.spec(retries=3), session.spec(retries=3, function=OTHER)
    session.driver(first)
    session.driver(late)  # crosses with the word that it is blocked
    out = worker(m.Blocked())
    assert runs(out) == started(out) == []
    assert len(started(worker(m.TasksReturned([late.id])))) == 1


def test_nested_tasks_of_any_depth_find_a_worker():
    session, worker = one_worker()
    tasks = [session.spec()]
    session.driver(tasks[0])
    chain = [worker]
    for _ in range(20):
        child = session.spec(parent=tasks[-1].id)
        (worker_id,) = started(chain[-1](child, m.Blocked()))
        assert runs(session.arrive(worker_id)) == [child]
        tasks.append(child)
        chain.append(Process(session, worker_id))
    for task, each in zip(reversed(tasks), reversed(chain), strict=True):
        each(m.Unblocked(), done(task))
    assert session.free == {"CPU": 1.0}
    assert session.scheduler.tasks == {}


# -- resources ------------------------------------------------------------------------------------


def test_fractions_add_up_exactly():
    session = Session(cpus=1, workers=11)
    tasks = needing(session, 11, CPU=0.1)
    assert runs(session.driver(*tasks)) == tasks[:10]
    assert session.free == {"CPU": 0.0}


def test_tasks_that_need_nothing_always_fit():
    session = Session(cpus=1, workers=2)
    tasks = [*needing(session, CPU=1), *needing(session)]
    assert runs(session.driver(*tasks)) == tasks


def test_what_does_not_fit_does_not_hold_up_what_does():
    session = Session(cpus=2, workers=3)
    one, two, three = *needing(session, CPU=1), *needing(session, CPU=2), *needing(session, CPU=1)
    assert runs(session.driver(one, two, three)) == [one, three]


def test_fractions_of_a_gpu_share_a_card():
    session = Session(cpus=4, workers=4, GPU=2)
    out = session.driver(*needing(session, 2, GPU=0.5), *needing(session, GPU=1))
    assert [i.message.gpus for i in out] == [(0,), (0,), (1,)]
    assert session.free["GPU"] == 0.0


def test_a_gpu_fraction_waits_until_one_card_has_room_for_it():
    session = Session(cpus=4, workers=4, GPU=2)
    first, second, third = *needing(session, 2, GPU=0.6), *needing(session, GPU=0.8)
    out = session.driver(first, second, third)
    assert runs(out) == [first, second]
    worker = next(w for w in session.workers if runs(out, w) == [second])
    (instruction,) = [i for i in worker(done(second)) if i.to != session.driver.id]
    assert (instruction.message.spec, instruction.message.gpus) == (third, (1,))


def test_a_whole_gpu_waits_until_a_card_is_free():
    session = Session(cpus=4, workers=4, GPU=2)
    first, second = needing(session, 2, GPU=0.6)
    (whole,) = needing(session, GPU=1)
    out = session.driver(first, second, whole)
    worker = next(w for w in session.workers if runs(out, w) == [first])
    assert runs(out) == [first, second]
    assert runs(worker(done(first))) == [whole]


def test_several_gpus_are_several_cards_and_come_back():
    session = Session(cpus=4, workers=1, GPU=3)
    (worker,) = session.workers
    for _ in range(3):
        (task,) = needing(session, GPU=2)
        (instruction,) = session.driver(task)
        assert instruction.message.gpus == (0, 1)
        worker(done(task))
    assert session.scheduler.pool.cards == dict.fromkeys(range(3), resources.UNIT)


def test_environments_have_workers_of_their_own():
    session = Session(cpus=2, workers=1)
    task = session.spec(extra=m.TaskExtra(env="env"))
    (instruction,) = session.driver(task)
    assert instruction.env == "env"
    assert runs(session.arrive(instruction.worker)) == [task]
    worker = Process(session, instruction.worker)
    worker(done(task))
    plain = session.spec()
    assert runs(session.driver(plain), session.workers[0]) == [plain]


# -- workers that nobody needs --------------------------------------------------------------------


def leaving(out: list[object]) -> list[bytes]:
    return [i.to for i in out if isinstance(i, Send) and isinstance(i.message, m.Exit)]


def test_idle_workers_beyond_the_cpus_are_let_go_after_a_while():
    session = Session(cpus=2, workers=4)
    assert session.scheduler.next_tick() == IDLE_LIMIT / 2
    assert session.tick(IDLE_LIMIT / 2) == []
    assert leaving(session.tick(IDLE_LIMIT)) == [w.id for w in session.workers[:2]]
    assert session.scheduler.next_tick() is None
    assert session.tick(IDLE_LIMIT) == []


def test_a_worker_that_holds_references_stays():
    session = Session(cpus=1, workers=2)
    session.workers[0](m.PutObject(m.Value(session.ids.put(), b"x")))
    session.workers[1](m.PutObject(m.Value(session.ids.put(), b"x")))
    assert session.tick(2 * IDLE_LIMIT) == []


def test_a_worker_that_made_a_living_actor_stays():
    session = Session(cpus=1, workers=1)
    (maker,) = session.workers
    task = session.spec()
    session.driver(task)
    creation = session.actor()
    (actor_id,) = started(maker(creation))
    session.arrive(actor_id)
    Process(session, actor_id)(done(creation))
    session.driver(m.AddRef([handle_id(creation.actor)]))
    maker(m.Release([handle_id(creation.actor)]), done(task))
    session.worker()
    session.worker()
    assert maker.id not in leaving(session.tick(2 * IDLE_LIMIT))
    session.driver(m.KillActor(creation.actor), m.Release([ref(task)]))
    session.worker()
    assert maker.id in leaving(session.tick(2 * IDLE_LIMIT))


def test_a_worker_told_to_leave_gets_nothing_more():
    session = Session(cpus=1, workers=2)
    (gone,) = leaving(session.tick(2 * IDLE_LIMIT))
    first = session.spec()
    out = session.driver(first)
    assert [i.to for i in out] == [w.id for w in session.workers if w.id != gone]
    assert sent(out, next(w for w in session.workers if w.id != gone)) == [run(first, CODE)]
