"""What a function closes over is kept while somebody may call it, and no longer."""

from __future__ import annotations

from typing import Any

from raykernel.runtime import messages as m
from raykernel.runtime.submission import SWEEP

from .kit import Process, Session, done, sent, value

KEY = b"closes over an object"


def known(session: Session, *makers: Process) -> m.RegisterFunction:
    """A function with a ref in it, which each of these has made known; nobody else has the ref."""
    inner = value(session.ids.put())
    function = m.RegisterFunction(KEY, "f", b"code", (inner.id,))
    session.driver(m.PutObject(inner), function, m.Release([inner.id]))
    for maker in makers:
        maker(function)
    return function


def dropped(session: Session, worker: Process) -> bool:
    return m.DropFunction(KEY) in sent(session.tick(SWEEP), worker)


def forgotten(session: Session) -> bool:
    return KEY not in session.scheduler.submission.functions and session.objects == 0


def test_it_goes_once_its_last_task_has_ended_from_the_workers_too():
    session = Session(workers=1)
    (worker,) = session.workers
    known(session)
    task = session.spec(function=KEY)
    session.driver(task)
    session.driver(m.ForgetFunction(KEY))
    assert not dropped(session, worker)
    worker(done(task))
    session.driver(m.Release([done(task).values[0].id]))
    assert dropped(session, worker)
    assert forgotten(session)
    assert session.scheduler.next_tick() is None, "nothing is left to look for"


def test_each_process_claims_it_for_itself():
    session = Session()
    other = session.connect(b"other")
    known(session, other)
    session.driver(m.ForgetFunction(KEY))
    session.tick(SWEEP)
    assert not forgotten(session)
    other(m.ForgetFunction(KEY))
    session.tick(SWEEP)
    assert forgotten(session)


def test_who_is_gone_claims_nothing():
    session = Session()
    other = session.connect(b"other")
    known(session, other)
    session.leave(other)
    session.driver(m.ForgetFunction(KEY))
    session.tick(SWEEP)
    assert forgotten(session)


def test_whoever_made_it_known_again_before_it_went_keeps_it():
    session = Session()
    function: Any = known(session)
    session.driver(function, m.ForgetFunction(KEY))
    session.tick(SWEEP)
    assert not forgotten(session)
    session.driver(m.ForgetFunction(KEY), function)
    session.tick(SWEEP)
    assert not forgotten(session)
