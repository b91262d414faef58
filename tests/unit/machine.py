"""The scheduler among well-behaved processes whose words cross: a hypothesis state machine.

Each rule lets one process do or hear something; bench.py carries out what the scheduler says, and
checks it. At the end everybody finishes what they have.
"""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from raykernel.runtime import messages as m
from raykernel.runtime import resources
from raykernel.runtime.ids import PUT_INDEX, handle_id, return_id

from .bench import Bench
from .world import CLASS, QUICK, SLOW, Proc, Stream, WorkerProc, pick

NEEDS = [
    {"CPU": 1}, {"CPU": 1}, {"CPU": 1}, {}, {"CPU": 0.5}, {"CPU": 2}, {"GPU": 0.4}, {"GPU": 0.7},
    {"GPU": 1}, {"CPU": 1, "x": 1}, {"x": 0.5}, {"CPU": 3},
]  # fmt: skip
CELLS = ["", "cell 1", "cell 2"]
ENVS = ["", "", "", "{}"]


small = st.integers(0, 11)
moves = st.integers(0, 2)  # turns in which all is heard and read after a submission
flag = st.booleans()


class SchedulerMachine(Bench, RuleBasedStateMachine):
    """See the module's comment."""

    @initialize(quick=flag, spills=st.sampled_from([True, True, True, False]))
    def begin(self, quick: bool, spills: bool) -> None:
        self.set_up(quick, spills)

    # -- drivers -------------------------------------------------------------------------------

    @precondition(lambda self: len(self.drivers) < 3)
    @rule()
    def another_driver(self) -> None:
        self.connect()

    @precondition(lambda self: len(self.drivers) > 1)
    @rule(who=small, heard=small)
    def driver_leaves(self, who: int, heard: int) -> None:
        driver = self.drivers.pop(who % len(self.drivers))
        driver.die()
        self.deliver(driver, heard)
        self.obey(self.scheduler.disconnected(driver.id))

    def submitters(self) -> list[tuple[Proc, bytes]]:
        """Who may submit work just now, and for which task."""
        busy = [(w, pick(w.running, 0)) for w in self.busy() if not w.writing]
        return [*((d, b"") for d in self.drivers), *busy]

    def some_refs(self, proc: Proc, n: int) -> tuple[bytes, ...]:
        """None, one or two references that a process has."""
        known = list(proc.refs)
        if not known or n % 3 == 0:
            return ()
        return tuple(known[(n + i) % len(known)] for i in range(n % 3))

    def arguments(self, proc: Proc, deps: int, inner: int) -> dict[str, Any]:
        found = tuple(d for d in self.some_refs(proc, deps) if not d.endswith(b"\xff" * 4))
        return {
            "deps": found, "slots": tuple(range(len(found))),
            "contained": self.some_refs(proc, inner),
        }  # fmt: skip

    @rule(
        who=small, deps=small, inner=small, needs=small, returns=st.sampled_from([1, 1, 1, 2, 0]),
        retries=st.sampled_from([3, 3, 0, 1, -1]), quick=flag, cell=small, env=small,
        calls=st.sampled_from([0, 0, 0, 1]), moves=moves,
    )  # fmt: skip
    def submit(
        self, who: int, deps: int, inner: int, needs: int, returns: int, retries: int, quick: bool,
        cell: int, env: int, calls: int, moves: int,
    ) -> None:  # fmt: skip
        proc, parent = pick(self.submitters(), who)
        extra = m.TaskExtra(env=pick(ENVS, env), max_calls=calls)
        self._submit(
            proc, function=QUICK if quick else SLOW, returns=returns, parent=parent,
            resources=resources.encode(pick(NEEDS, needs)), retries=retries, cell=pick(CELLS, cell),
            extra=extra if extra.env or calls else None, **self.arguments(proc, deps, inner),
        )  # fmt: skip
        self.things_move(who, moves, large=env % 2 == 0)

    @rule(who=small, count=small)
    def submit_burst(self, who: int, count: int) -> None:
        """Quick tasks, so that queues are deep."""
        proc, parent = pick(self.submitters(), who)
        for _ in range(count):
            self._submit(
                proc, function=QUICK, resources="CPU=10000", retries=3, parent=parent, cell=CELLS[1]
            )

    @rule(who=small, cpus=st.integers(1, 2))
    def resize(self, who: int, cpus: int) -> None:
        driver = pick(self.drivers, who)
        driver.say(m.Resize(0, cpus))
        self.deliver(driver, 99)

    @rule(who=small, count=st.integers(2, 11), seconds=st.sampled_from([0.03, 0.03, 0.2]))
    def queue_stalls(self, who: int, count: int, seconds: float) -> None:
        """A function that has been quick so far takes long, with tasks queued behind it: they are
        called back, while the one in front may finish and words cross."""
        self.scheduler.dispatcher.mean[QUICK] = 0.0001
        self.submit_burst(who, count)
        self.head_hears_all()
        self.all_read()
        for worker in self.living():
            worker.begin()
        self.time_passes(seconds)

    @rule(who=small, n=small, times=st.integers(1, 3), quick=flag)
    def share_large(self, who: int, n: int, times: int, quick: bool) -> None:
        """Several tasks take the same large object, perhaps in the same worker."""
        driver = pick(self.drivers, who)
        before = set(driver.refs)
        driver.put(True, ())
        self.deliver(driver, 99)
        self._read(driver)
        fresh = [i for i in driver.refs if i not in before and i.endswith(PUT_INDEX)]
        if not fresh:  # no room
            return
        for _ in range(times):
            self._submit(
                driver, function=QUICK if quick else SLOW, retries=3, resources="CPU=10000",
                deps=(fresh[-1],), slots=(0,),
            )  # fmt: skip
        driver.want(fresh)
        if n % 2:
            driver.drop(fresh[-1])
        self.head_hears_all()

    @rule(
        who=small, deps=small, needs=small, retries=st.sampled_from([0, 2]), back=flag, moves=moves
    )
    def submit_stream(
        self, who: int, deps: int, needs: int, retries: int, back: bool, moves: int
    ) -> None:
        proc, parent = pick(self.submitters(), who)
        self._submit(
            proc, function=SLOW, returns=m.STREAMING, parent=parent, retries=retries,
            resources=resources.encode(pick(NEEDS, needs)),
            extra=m.TaskExtra(backpressure=2) if back else None, **self.arguments(proc, deps, 0),
        )  # fmt: skip
        self.things_move(who, moves, large=True)

    def _submit(self, proc: Proc, **fields: Any) -> None:
        spec = m.TaskSpec(**{"id": proc.ids.task(), "name": "f", **fields})
        proc.submit(spec)

    @rule(
        who=small, deps=small, inner=small, needs=small, restarts=st.sampled_from([0, 0, 1, -1]),
        threads=st.sampled_from([1, 1, 3]), keeps=flag, detached=flag, named=flag, moves=moves,
    )  # fmt: skip
    def create_actor(
        self, who: int, deps: int, inner: int, needs: int, restarts: int, threads: int, keeps: bool,
        detached: bool, named: bool, moves: int,
    ) -> None:  # fmt: skip
        proc, parent = pick(self.submitters(), who)
        need = resources.encode(pick(NEEDS, needs))
        actor = proc.ids.actor()
        name = actor.hex() if named else ""
        if named:
            claim = {"namespace": "n", "name": name, "actor": actor}
            proc.say(m.Query(0, "claim_name", claim))
        options = m.ActorOptions(
            "A", max_restarts=restarts, max_concurrency=threads, out_of_order=threads > 1,
            keeps=need if keeps else "", detached=detached, name=name, namespace="n",
        )  # fmt: skip
        spec = m.TaskSpec(
            proc.ids.task(), CLASS, "A", returns=0, kind=m.CREATION, actor=actor, resources=need,
            parent=parent, extra=m.TaskExtra(actor=options), **self.arguments(proc, deps, inner),
        )  # fmt: skip
        proc.submit(spec)
        self.actors.append(spec)
        self.things_move(who, moves, large=False)

    @precondition(lambda self: self.actors)
    @rule(
        who=small, which=small, deps=small, inner=small, retries=st.sampled_from([0, 0, 1, -1]),
        returns=st.sampled_from([1, 1, 2, 0, m.STREAMING]), times=st.integers(1, 3), moves=moves,
    )  # fmt: skip
    def call(
        self, who: int, which: int, deps: int, inner: int, retries: int, returns: int, times: int,
        moves: int,
    ) -> None:  # fmt: skip
        proc, parent = pick(self.submitters(), who)
        actor = pick(self.actors, which).actor
        if handle_id(actor) not in proc.refs:
            return
        for _ in range(times):
            spec = m.TaskSpec(
                proc.ids.task(), b"", "A.m", returns=returns, kind=m.CALL, actor=actor, method="m",
                retries=retries, parent=parent, **self.arguments(proc, deps, inner),
            )  # fmt: skip
            self.log.numbers[spec.id] = len(self.log.numbers)
            proc.submit(spec)
        self.things_move(who, moves, large=True)

    @rule(who=small, large=flag, inner=small)
    def put(self, who: int, large: bool, inner: int) -> None:
        proc, _ = pick(self.submitters(), who)
        if isinstance(proc, WorkerProc) and (
            large or any(r.finishing for r in proc.running.values())
        ):
            return
        proc.put(large, self.some_refs(proc, inner))

    @rule(who=small, n=small)
    def want(self, who: int, n: int) -> None:
        driver = pick(self.drivers, who)
        driver.want([i for i in self.some_refs(driver, n) if not i.endswith(b"\xff" * 4)])

    @rule(who=small, n=small, count=st.integers(1, 3))
    def drop(self, who: int, n: int, count: int) -> None:
        driver = pick(self.drivers, who)
        ends = {return_id(s, 1) for s in driver.streams}
        for _ in range(count):
            known = [i for i in driver.refs if i not in ends]
            if known:
                driver.drop(pick(known, n))

    @rule(who=small, n=small)
    def copy_ref(self, who: int, n: int) -> None:
        driver = pick(self.drivers, who)
        if driver.refs:
            driver.gain((pick(driver.refs, n),))

    @precondition(lambda self: any(p.streams for p, _ in self.submitters()))
    @rule(who=small, n=small, stop=st.sampled_from([False, False, False, True]))
    def consume(self, who: int, n: int, stop: bool) -> None:
        proc = pick([p for p, _ in self.submitters() if p.streams], who)
        stream: Stream = pick(proc.streams.values(), n)
        if stop:
            proc.close(stream)
        else:
            proc.consume(stream)

    @rule(who=small, n=small, force=flag, recursive=flag)
    def cancel(self, who: int, n: int, force: bool, recursive: bool) -> None:
        driver = pick(self.drivers, who)
        if driver.refs:
            object_id = pick(driver.refs, n)
            spec = self.specs.get(object_id[:24])
            if spec is not None and spec.kind == m.CALL:
                force = False
            driver.say(m.Cancel(object_id, force, recursive))

    @rule(who=small, cell=small)
    def cancel_cell(self, who: int, cell: int) -> None:
        pick(self.drivers, who).say(m.CancelCell(0, CELLS[1 + cell % 2]))

    @precondition(lambda self: self.actors)
    @rule(who=small, which=small, no_restart=flag)
    def kill_actor(self, who: int, which: int, no_restart: bool) -> None:
        pick(self.drivers, who).say(m.KillActor(pick(self.actors, which).actor, no_restart))

    @rule(who=small, on=flag, brief=flag, lanes=flag)
    def subscribe(self, who: int, on: bool, brief: bool, lanes: bool) -> None:
        pick(self.drivers, who).say(m.Subscribe(on, brief, lanes, lanes))

    # -- memory --------------------------------------------------------------------------------

    @rule(who=small, n=small)
    def look(self, who: int, n: int) -> None:
        """A driver keeps a view of something it got."""
        driver = pick(self.drivers, who)
        large = [i for i, v in driver.values.items() if v.offset >= 0]
        if large:
            driver.looking.add(pick(large, n))

    @precondition(lambda self: any(d.looking for d in self.drivers))
    @rule(who=small)
    def look_away(self, who: int) -> None:
        pick([d for d in self.drivers if d.looking], who).looking.pop()

    @rule(who=small, count=st.integers(1, 3))
    def compute_large(self, who: int, count: int) -> None:
        """Large results, more than there is room for, of tasks that may run again."""
        proc, parent = pick(self.submitters(), who)
        before = set(proc.refs)
        for _ in range(count):
            self._submit(proc, function=QUICK, retries=3, resources="CPU=10000", parent=parent)
        self.things_move(who, 2, large=True)
        self.files_written(2)
        fresh = tuple(i for i in proc.refs if i not in before)[:2]
        if fresh and count > 1:  # and of one that takes two of them
            self._submit(
                proc, function=QUICK, retries=3, resources="CPU=10000", parent=parent, deps=fresh,
                slots=tuple(range(len(fresh))),
            )  # fmt: skip
            self.things_move(who, 2, large=True)

    @rule(turns=st.integers(1, 4))
    def files_written(self, turns: int) -> None:
        for _ in range(turns):
            for file in list(self.spills):
                self.write_file(file, fails=False)
            self.head_hears_all()
            self.all_read()

    @precondition(lambda self: self.spills)
    @rule(n=small)
    def disk_is_full(self, n: int) -> None:
        self.write_file(pick(self.spills, n), fails=True)

    @precondition(lambda self: self.arena.disk)
    @rule(who=small, n=small)
    def file_is_lost(self, who: int, n: int) -> None:
        """A file goes; perhaps somebody notices."""
        name = pick(self.arena.disk, n)
        object_id = self.arena.disk[name]
        self.lose_file(name)
        driver = pick(self.drivers, who)
        if object_id in driver.refs:
            known = driver.values.get(object_id)
            if known is not None and known.offset == m.ON_DISK:
                driver.values[object_id] = msgspec.structs.replace(known, offset=m.AWAY)
            driver.want([object_id])
            self.head_hears_all()
            self.all_read()

    # -- wires ---------------------------------------------------------------------------------

    @precondition(lambda self: any(p.outbox for p in self.procs()))
    @rule(who=small, count=small)
    def head_hears(self, who: int, count: int) -> None:
        self.deliver(pick([p for p in self.procs() if p.outbox], who), count + 1)

    @precondition(lambda self: any(p.outbox for p in self.procs()))
    @rule()
    def head_hears_all(self) -> None:
        for proc in self.procs():
            self.deliver(proc, len(proc.outbox))

    @rule(who=small, turns=st.integers(1, 3), large=flag)
    def things_move(self, who: int, turns: int, large: bool) -> None:
        """All is heard and read, workers arrive and begin; one of them finishes."""
        for turn in range(turns):
            self.head_hears_all()
            if self.planned:
                self.worker_arrives(who)
            self.all_read()
            for worker in self.living():
                worker.begin()
            if self.busy():
                self.worker_finishes(who + turn, "ok", large, who)

    @rule(who=small)
    def reads(self, who: int) -> None:
        self._read(pick([*self.drivers, *self.living(), *self.drivers], who))

    @rule()
    def all_read(self) -> None:
        for proc in [*self.drivers, *self.living()]:
            self._read(proc)

    # -- workers -------------------------------------------------------------------------------

    @precondition(lambda self: self.planned)
    @rule(who=small)
    def worker_arrives(self, who: int) -> None:
        self.arrive(pick(self.planned, who))

    @precondition(lambda self: self.planned)
    @rule(who=small, status=st.sampled_from([-9, -9, 1]))
    def worker_dies_unborn(self, who: int, status: int) -> None:
        worker = self.planned.pop(pick(self.planned, who))
        self.obey(self.scheduler.worker_died(worker.id, status))

    @precondition(lambda self: any(w.queue for w in self.living()))
    @rule(who=small)
    def worker_begins(self, who: int) -> None:
        worker: WorkerProc = pick([w for w in self.living() if w.queue], who)
        worker.begin()

    @precondition(lambda self: self.busy())
    @rule(
        who=small, large=flag, inner=small,
        how=st.sampled_from(["ok", "ok", "ok", "ok", "error", "retry", "exit"]),
    )  # fmt: skip
    def worker_finishes(self, who: int, how: str, large: bool, inner: int) -> None:
        worker: WorkerProc = pick(self.busy(), who)
        run = pick(worker.running.values(), inner)
        if not run.finishing:
            worker.finish(run, how, large, self.some_refs(worker, inner))
            worker.begin()

    @precondition(lambda self: self.yielding())
    @rule(who=small, large=flag, times=st.integers(1, 3))
    def worker_yields(self, who: int, large: bool, times: int) -> None:
        worker, run = pick(self.yielding(), who)
        for _ in range(times):
            if not run.finishing:
                worker.produce(run, large)

    @precondition(lambda self: self.able_to_block())
    @rule(who=small, n=small, needs=small, nested=flag)
    def worker_blocks(self, who: int, n: int, needs: int, nested: bool) -> None:
        worker: WorkerProc = pick(self.able_to_block(), who)
        if nested:
            self._submit(
                worker, function=QUICK, retries=3, parent=pick(worker.running, 0),
                resources=resources.encode(pick(NEEDS, needs)),
            )  # fmt: skip
            worker.block([list(worker.refs)[-1]])
        else:
            worker.block([i for i in self.some_refs(worker, n) if not i.endswith(b"\xff" * 4)])

    @rule(who=small, needs=small, inner=small, dies=flag)
    def parent_waits(self, who: int, needs: int, inner: int, dies: bool) -> None:
        """A task waits for a child it has made, and may not live to see it."""
        self._submit(
            pick(self.drivers, who), function=SLOW, retries=1,
            resources=resources.encode(pick(NEEDS, needs)),
        )  # fmt: skip
        self.head_hears_all()
        self.all_read()
        for worker in self.living():
            worker.begin()
        if not self.able_to_block():
            return
        self.worker_blocks(who, 0, inner, nested=True)
        self.head_hears_all()
        if dies and self.waiting():
            self.bury(pick(self.waiting(), who), -9, 0, eof=True)

    @precondition(lambda self: self.waiting())
    @rule(who=small)
    def worker_gives_up_waiting(self, who: int) -> None:
        worker: WorkerProc = pick(self.waiting(), who)
        worker.resume(give_up=True)

    @precondition(lambda self: self.workers)
    @rule(who=small, heard=small, eof=flag, status=st.sampled_from([-9, -11, 0, 1]))
    def worker_crashes(self, who: int, heard: int, eof: bool, status: int) -> None:
        self.bury(pick(self.workers.values(), who), status, heard, eof)

    @precondition(lambda self: self.doomed)
    @rule(who=small, heard=small, eof=flag)
    def kill_strikes(self, who: int, heard: int, eof: bool) -> None:
        self._strike(pick(self.doomed, who), heard, eof)

    @precondition(lambda self: self.going())
    @rule(who=small, eof=flag)
    def worker_leaves(self, who: int, eof: bool) -> None:
        worker = pick(self.going(), who)
        self.bury(worker, 0, len(worker.outbox), eof)

    @rule(seconds=st.sampled_from([0.001, 0.03, 0.2, 1.0, 5.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.obey(self.scheduler.tick(self.now))

    def teardown(self) -> None:
        if hasattr(self, "scheduler"):
            self.finish()
