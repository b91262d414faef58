"""A session gets more CPUs, or fewer, while it works."""

from __future__ import annotations

import msgspec
import pytest

from raykernel.runtime import messages as m
from raykernel.runtime.instructions import StartWorker
from raykernel.runtime.invariants import validate

from .kit import Session, done, runs, sent


def totals(session: Session) -> tuple[float, float]:
    """All CPUs and the free ones, as a driver is told."""
    (reply,) = sent(session.driver(m.Query(1, "resources", {})), session.driver)
    told = msgspec.msgpack.decode(reply.data)
    return told["total"]["CPU"], told["available"].get("CPU", 0.0)


def test_more_cpus_start_what_waited() -> None:
    session = Session(cpus=1, workers=1)
    tasks = [session.spec(name=str(n)) for n in range(3)]
    session.driver(*tasks)
    assert totals(session) == (1.0, 0.0)
    out = session.driver(m.Resize(5, 3))
    assert m.Reply(5, msgspec.msgpack.encode(3)) in sent(out, session.driver)
    assert len([one for one in out if isinstance(one, StartWorker)]) == 2
    validate(session.scheduler)
    assert totals(session) == (3.0, 2.0)


def test_fewer_cpus_let_run_what_runs_and_begin_no_more() -> None:
    session = Session(cpus=2, workers=2)
    first, second = session.workers
    tasks = [session.spec(name=str(n)) for n in range(4)]
    session.driver(*tasks)
    session.driver(m.Resize(5, 1))
    validate(session.scheduler)
    running = [t for t in tasks if session.scheduler.tasks[t.id].worker is not None]
    assert len(running) == 2
    by_worker = {session.scheduler.tasks[t.id].worker.id: t for t in running}  # type: ignore[union-attr]
    out = first(done(by_worker[first.id]))
    assert not runs(out), "one still runs, on the one CPU there is"
    out = second(done(by_worker[second.id]))
    assert len(runs(out)) == 1
    validate(session.scheduler)
    assert totals(session) == (1.0, 0.0)


def test_what_can_never_fit_any_more_is_warned_of() -> None:
    session = Session(cpus=2, workers=0)
    session.driver(session.spec(name="wide", resources="CPU=20000"))
    told = sent(session.driver(m.Resize(5, 1)), session.driver)
    assert any(isinstance(one, m.Warn) and "wide asks for 2 CPU" in one.text for one in told)


@pytest.mark.parametrize("cpus", [0, -1, 100_000])
def test_nonsense_is_refused(cpus: int) -> None:
    session = Session(cpus=2, workers=0)
    (reply,) = sent(session.driver(m.Resize(5, cpus)), session.driver)
    assert "from 1 to 4,096 CPUs" in reply.error
    assert totals(session)[0] == 2.0
