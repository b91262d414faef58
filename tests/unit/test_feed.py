"""The event feed: what watchers are told, and what it costs when there are none."""

from __future__ import annotations

import msgspec

from raykernel.runtime import messages as m
from raykernel.runtime.events import EventBatch, Finished
from raykernel.runtime.feed import ALIKE, BUSY_INTERVAL, FEW, INTERVAL, KEPT

from .kit import Process, Session, done, raised, ref, result, runs, sent, signals


def watching(workers: int = 1) -> Session:
    session = Session(cpus=workers, workers=workers)
    assert isinstance(sent(session.driver(m.Subscribe(True)), session.driver)[0], m.Events)
    return session


def news(session: Session, who: Process | None = None) -> list[tuple[str, str]]:
    """What the next batch says: names and states."""
    return [
        (task.name, task.state)
        for x in sent(session.tick(INTERVAL), who or session.driver)
        if isinstance(x, m.Events)
        for task in x.batch.tasks
    ]


def test_the_first_batch_holds_what_lives():
    session = Session(cpus=1, workers=1)
    (worker,) = session.workers
    over, running, ready = (session.spec(name=n) for n in ("over", "running", "ready"))
    session.driver(over, running, ready)
    worker(done(over))
    (events,) = sent(session.driver(m.Subscribe(True)), session.driver)
    assert [(t.name, t.state) for t in events.batch.tasks] == [
        ("running", "RUNNING"),
        ("ready", "READY"),
    ]
    assert events.batch.time == session.now


def test_batches_hold_the_newest_state_of_what_changed():
    session = watching()
    (worker,) = session.workers
    first = session.spec(name="first")
    then = session.spec(name="then", deps=(ref(first),), slots=(0,))
    session.driver(first, then)
    assert news(session) == [("first", "RUNNING"), ("then", "WAITING")]
    worker(done(first))
    assert sorted(news(session)) == [("first", "FINISHED"), ("then", "RUNNING")]
    worker(raised(then))
    assert news(session) == [("then", "FAILED")]
    assert news(session) == []


def test_batches_come_ten_times_a_second_at_most():
    session = watching()
    (worker,) = session.workers
    task = session.spec()
    session.driver(task)
    assert session.scheduler.next_tick() == 0.0
    assert len(news(session)) == 1
    worker(done(task))
    assert session.tick(INTERVAL / 2) == []
    assert 0 < session.scheduler.next_tick() <= INTERVAL
    assert len(news(session)) == 1


def test_a_task_as_the_views_see_it():
    session = watching()
    (worker,) = session.workers
    put = m.Value(session.ids.put(), b"x")
    task = session.spec(
        name="f", cell="cell", deps=(put.id, put.id), slots=(0, 1), parent=b"parent"
    )
    session.driver(m.PutObject(put), task)
    worker(raised(task))
    (events,) = sent(session.tick(INTERVAL), session.driver)
    (info,) = events.batch.tasks
    assert (info.id, info.kind, info.cell) == (task.id.hex(), "task", "cell")
    assert (info.parent, info.worker) == (b"parent".hex(), "4711")
    assert info.deps == [put.id[:24].hex()]
    assert (info.submitted, info.started, info.ended) == (1000.0, 10.0, 1000.0)
    assert info.error == "ValueError: no"


def test_every_watcher_is_told_and_nobody_else():
    session = watching()
    other, blind = session.connect(b"other"), session.connect(b"blind")
    other(m.Subscribe(True))
    session.driver(session.spec())
    out = session.tick(INTERVAL)
    assert sent(out, session.driver) == sent(out, other) != []
    assert sent(out, blind) == []


def test_brief_watchers_hear_of_quick_tasks_as_a_number_and_of_all_others_one_by_one():
    session = Session(cpus=1, workers=1)
    (worker,) = session.workers
    long = session.spec(name="long", cell="c")
    session.driver(long)
    (first,) = sent(session.driver(m.Subscribe(True, brief=True)), session.driver)
    assert [task.name for task in first.batch.tasks] == ["long"]
    worker(done(long))
    for _ in range(3):
        quick = session.spec(name="quick", cell="c")
        session.driver(quick)
        worker(done(quick))
    broken, slow = session.spec(name="broken", cell="c"), session.spec(name="slow", cell="c")
    session.driver(broken)
    worker(raised(broken))
    session.driver(slow)
    (events,) = sent(session.tick(INTERVAL / 2), session.driver)
    assert [(task.name, task.state) for task in events.batch.tasks] == [
        ("long", "FINISHED"),
        ("broken", "FAILED"),
    ]
    assert events.batch.finished == [Finished("c", "quick", "task", 3)]
    assert news(session) == [("slow", "RUNNING")]
    worker(done(slow))
    assert news(session) == [("slow", "FINISHED")]


def test_what_is_on_its_way_to_a_brief_watcher_comes_before_an_answer():
    session = Session(cpus=1, workers=1)
    (worker,) = session.workers
    session.driver(m.Subscribe(True, brief=True))
    quick = session.spec(name="quick")
    session.driver(quick)
    worker(done(quick))
    events, reply = sent(session.driver(m.Query(1, "tasks", {})), session.driver)
    assert events.batch.finished == [Finished("", "quick", "task", 1)]
    assert isinstance(reply, m.Reply)
    assert news(session) == []


def test_who_wants_to_know_all_from_now_on_is_told_the_rest_in_brief():
    session = Session(cpus=1, workers=1)
    (worker,) = session.workers
    session.driver(m.Subscribe(True, brief=True))
    quick = session.spec(name="quick")
    session.driver(quick)
    worker(done(quick))
    before, now = sent(session.driver(m.Subscribe(True)), session.driver)
    assert before.batch.finished == [Finished("", "quick", "task", 1)]
    assert now.batch.tasks == []
    task = session.spec(name="task")
    session.driver(task)
    worker(done(task))
    assert news(session) == [("task", "FINISHED")]


def test_without_watchers_nothing_is_collected():
    session = Session(workers=1)
    (worker,) = session.workers
    task = session.spec()
    session.driver(task)
    worker(done(task))
    assert session.scheduler.next_tick() is None
    assert session.tick(INTERVAL) == []
    session.driver(m.Subscribe(True))
    assert news(session) == []


def test_who_stops_watching_or_leaves_is_forgotten():
    session = watching()
    other = session.connect(b"other")
    other(m.Subscribe(True))
    session.driver(m.Subscribe(False), session.spec())
    assert len(news(session, other)) == 1
    session.driver(session.spec())
    session.leave(other)
    assert session.scheduler.next_tick() is None
    assert session.tick(INTERVAL) == []


def test_the_past_is_bounded():
    session = Session(cpus=1, workers=1)
    (worker,) = session.workers
    for i in range(KEPT + 5):
        task = session.spec(name=str(i))
        session.scheduler.handle(session.driver.id, [task, m.Release([ref(task)])])
        session.scheduler.handle(worker.id, [done(task)])
    (reply,) = sent(session.driver(m.Query(1, "tasks", {})), session.driver)
    listed = msgspec.msgpack.decode(reply.data)
    assert [len(listed), listed[0][1], listed[-1][1]] == [KEPT, "5", str(KEPT + 4)]


def test_tasks_can_be_listed_by_cell():
    session = Session(cpus=1, workers=1)
    (worker,) = session.workers
    mine, other = session.spec(cell="mine"), session.spec(cell="other")
    out = session.driver(mine, other)
    assert (runs(out, worker), signals(out)) == ([mine], [])
    (reply,) = sent(session.driver(m.Query(1, "tasks", {"cell": "mine"})), session.driver)
    assert [t[0] for t in msgspec.msgpack.decode(reply.data)] == [mine.id.hex()]


def test_a_task_tells_its_moments_and_sizes():
    session = Session(cpus=1, workers=1)
    (worker,) = session.workers
    first = session.spec(name="first")
    then = session.spec(name="then", deps=(ref(first),), slots=(0,))
    begin = session.now
    session.driver(first, then)
    session.now += 1.0
    worker(done(first, result(first, data=b"12345")))
    session.now += 2.0
    moments = {"started": begin + 1.25, "called": begin + 1.5, "ended": begin + 2.75}
    worker(msgspec.structs.replace(done(then, result(then, data=b"123")), **moments))
    (reply,) = sent(session.driver(m.Query(1, "task", {"task": then.id.hex()})), session.driver)
    told = msgspec.msgpack.decode(reply.data)
    names = ("submitted", "ready", "started", "called", "returned", "ended")
    assert [told[name] - begin for name in names] == [0.0, 1.0, 1.25, 1.5, 2.75, 3.0]
    assert (told["taken"], told["made"], told["attempt"], told["resources"]) == (5, 3, 1, "1 CPU")


def test_of_an_unknown_task_there_is_nothing_to_tell():
    session = Session(cpus=1, workers=1)
    for asked, answer in (("00" * 24, None), ("zz", "hex id")):
        (reply,) = sent(session.driver(m.Query(1, "task", {"task": asked})), session.driver)
        if answer is None:
            assert msgspec.msgpack.decode(reply.data) is None
        else:
            assert answer in reply.error


def test_a_watcher_with_a_sample_hears_of_few_quick_tasks_one_by_one_and_of_some_of_many():
    session = Session(cpus=1, workers=1)
    (worker,) = session.workers
    session.driver(m.Subscribe(True, brief=True, sample=True))
    other = session.connect(b"other")
    other(m.Subscribe(True, brief=True))

    def run(count: int) -> None:
        for _ in range(count):
            quick = session.spec(name="quick")
            session.driver(quick)
            worker(done(quick))

    run(FEW)
    out = session.tick(INTERVAL)
    (events,), (brief,) = sent(out, session.driver), sent(out, other)
    assert [task.state for task in events.batch.tasks] == ["FINISHED"] * FEW
    assert events.batch.finished == []
    assert brief.batch == EventBatch([], brief.batch.time, 0, [Finished("", "quick", "task", FEW)])
    run(FEW + 1)
    (events,) = sent(session.tick(INTERVAL), session.driver)
    assert len(events.batch.tasks) == ALIKE
    assert events.batch.finished == [Finished("", "quick", "task", FEW + 1 - ALIKE)]
    assert session.tick(INTERVAL) == []
    run(1)
    assert session.tick(0.0) == []
    (events,) = sent(session.tick(INTERVAL), session.driver)
    assert len(events.batch.tasks) == 1


def test_who_draws_lanes_hears_where_and_when_many_quick_tasks_ran():
    session = Session(cpus=1, workers=1)
    (worker,) = session.workers
    session.driver(m.Subscribe(True, brief=True, sample=True, stretches=True))
    other = session.connect(b"other")
    other(m.Subscribe(True, brief=True, sample=True))
    begin = session.now

    def run(count: int) -> EventBatch:
        """Tasks of a millisecond, one after the other, every tenth of another function."""
        for n in range(count):
            quick = session.spec(name="quick" if n % 10 else "other")
            session.driver(quick)
            at = begin + n / 1024
            worker(msgspec.structs.replace(done(quick), started=at, ended=at + 1 / 1024))
        out = session.tick(BUSY_INTERVAL)
        (mine,), (others,) = sent(out, session.driver), sent(out, other)
        assert others.batch.stretches == []
        return mine.batch

    assert run(FEW).stretches == []  # each came by itself
    batch = run(FEW + 80)
    assert [each.count for each in batch.stretches] == [10] * ((FEW + 80) // 10)
    assert sum(each.count for each in batch.finished) + len(batch.tasks) == FEW + 80
    first = batch.stretches[0]
    assert (first.worker, first.actor, first.name, first.mixed) == ("4711", "", "other", True)
    assert (first.started - begin, first.returned - begin) == (0.0, 10 / 1024)
    session.driver(m.Subscribe(True, brief=True, sample=True))
    assert run(FEW + 1).stretches == []


def test_a_told_task_is_told_again_when_it_becomes_ready():
    session = Session(cpus=1, workers=1)
    (worker,) = session.workers
    long, first = session.spec(name="long"), session.spec(name="first")
    then = session.spec(name="then", deps=(ref(first),), slots=(0,))
    session.driver(first, then, long)
    session.driver(m.Subscribe(True, brief=True))
    worker(done(first))
    assert sorted(news(session)) == [("first", "FINISHED"), ("long", "RUNNING"), ("then", "READY")]


def test_a_task_that_runs_again_and_is_quick_is_not_counted_twice():
    session = Session(cpus=1, workers=1)
    (worker,) = session.workers
    session.driver(m.Subscribe(True, brief=True))
    quick = session.spec(name="quick")
    session.driver(quick)
    session.scheduler.tasks[quick.id].again = True  # as lineage does with what it makes again
    worker(done(quick))
    assert sent(session.tick(INTERVAL), session.driver) == []
