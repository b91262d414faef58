"""Cells, views and Stop over a Ray cluster of two nodes, in one real kernel."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.kernels import WIDGET, Kernel, kernel

_CODE = """%%remote
def child(i):
    print("child", i)
    return os.getpid()
def parent(n):
    return len(ray.get([child.options(resources={"second": 1}).remote(i) for i in range(n)]))
def bad(x):
    y = x * 2
    return y / 0
def over(x):
    kept = [x]
    return ray.get(bad.options(resources={"second": 1}).remote(x))
class Unborn:
    def __init__(self, x):
        made = bytes(x)
        raise ValueError("not born")
    def touch(self): pass
class Waiter:
    async def fail(self, x):
        soon = x + 1
        raise KeyError(soon)
def below(mark):
    import pathlib, time
    pathlib.Path(mark).touch()
    time.sleep(600)
def above(mark):
    return ray.get(below.remote(mark))
class Counter:
    def __init__(self): self.n = 0
    def add(self):
        self.n += 1
        return self.n
    def sleep(self, mark):
        import pathlib, time
        pathlib.Path(mark).touch()
        time.sleep(600)
class Streams:
    def waits(self, mark):
        yield 1
        pathlib.Path(mark).touch()
        time.sleep(600)
    def yields(self, mark):
        while True:
            yield 1
            pathlib.Path(mark).touch()
            time.sleep(0.02)
    def turns(self, mark):
        yield 1
        pathlib.Path(mark).touch()
        while True: time.sleep(0.02)
    def pid(self): return os.getpid()
"""
_LEFT = """
end = time.monotonic() + 20
while True:
    left = [(t.name, t.state) for t in ray.api.engine().query("tasks", cell=CELL)
            if t.kind != "actor" and t.state in ("RUNNING", "READY", "WAITING")]
    if not left or time.monotonic() > end:
        break
    time.sleep(0.1)
print(left)
"""


@pytest.fixture(scope="module")
def desk(cluster: Any) -> Iterator[Kernel]:
    """A kernel whose session is on the cluster."""
    with kernel() as made:
        made.run("%load_ext raykernel")
        cell = made.run(f"%ray start --address {cluster.address}")
        assert "4 CPUs" in made.text(cell)
        made.run("import os, time, pathlib\nimport raykernel as ray")
        made.run(_CODE)
        yield made


def test_output_and_progress_belong_to_the_cell_that_caused_them(desk: Kernel) -> None:
    cell = desk.run("print(ray.get(parent.remote(4)))")
    after = desk.run("pass")
    desk.until(lambda: all(f"child {i}" in desk.text(cell) for i in range(4)))
    assert "4\n" in desk.text(cell)
    assert not desk.of(after, "stream")
    desk.until(lambda: any("5 tasks ended" in d["text/plain"] for d in desk.displays(cell)))


def test_errors_point_at_the_users_lines(desk: Kernel) -> None:
    error = desk.finish(desk.send("ray.get(bad.remote(3))"))
    assert error is not None
    assert "ZeroDivisionError" in error["ename"]
    told = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error["traceback"]))
    assert "return y / 0" in told
    assert "bad(x=3)" in told
    assert "ray_worker" not in told


def _failing(desk: Kernel, code: str) -> str:
    error = desk.finish(desk.send(code))
    assert error is not None
    return _plain("\n".join(error["traceback"]))


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def test_a_cell_runs_as_a_task_and_its_results_flow_on(desk: Kernel) -> None:
    desk.run("%%task -o total\ntotal = sum(range(10))")
    assert desk.text(desk.run("print(ray.get(total) + 1)")) == "46\n"


def test_the_views_show_both_nodes_and_what_ran(desk: Kernel) -> None:
    desk.run(
        "counter = Counter.remote()\nray.get(counter.add.remote())\nbig = ray.put(bytes(10**6))"
    )
    shown = {}
    for view in ("status", "graph", "timeline", "memory", "logs"):
        cell = desk.run(f"%ray {view}")
        (first,) = desk.of(cell, "display_data")
        assert view == "logs" or WIDGET in first["content"]["data"]
        (display,) = desk.displays(cell)
        shown[view] = display["text/plain"]
    assert shown["status"].count("alive, 2 CPU") == 2
    assert "1 alive" in shown["status"]
    assert "parent" in shown["graph"]
    assert "child" in shown["graph"]
    assert "worker " in shown["timeline"]
    assert "976.6 KiB" in shown["memory"], shown["memory"]
    assert "big" in shown["memory"]
    assert "child 3" in shown["logs"]


def test_what_ray_does_not_tell_is_shown_as_unknown(desk: Kernel) -> None:
    cell = desk.run(
        "from raykernel.widgets.cluster_facts import gather\n"
        "facts = gather(ray.api.engine())\n"
        "print({n['load'] for n in facts['nodes']}, {w['memory'] for w in facts['workers']})"
    )
    assert desk.text(cell) == "{'unknown'} {-1}\n"


def test_an_actor_can_be_killed_from_the_panel(desk: Kernel) -> None:
    cell = desk.run(
        "victim = Counter.remote()\nray.get(victim.add.remote())\n"
        "ray.api.engine().kill_actor(victim._actor_id.hex())\n"
        "try:\n"
        "    while True: ray.get(victim.add.remote())\n"  # Ray kills in its own time
        "except ray.exceptions.ActorDiedError: print('dead')"
    )
    assert desk.text(cell) == "dead\n"


def test_stop_ends_the_cells_tasks_with_theirs_and_its_calls_and_nothing_else(
    desk: Kernel, tmp_path: Any
) -> None:
    nested, call = tmp_path / "nested", tmp_path / "call"
    cell = desk.send(
        f"refs = [above.remote({str(nested)!r}), counter.sleep.remote({str(call)!r}), "
        "counter.add.remote()]\nray.get(refs)"
    )
    desk.until(lambda: nested.exists() and call.exists())
    desk.manager.interrupt_kernel()
    error = desk.finish(cell)
    assert error is not None
    assert error["ename"] == "KeyboardInterrupt"
    assert desk.text(desk.run(f"CELL = {cell!r}\n{_LEFT}")) == "[]\n"
    assert desk.text(desk.run("print(ray.get(counter.add.remote(), timeout=30))")) == "2\n"
    assert desk.text(desk.run("print(ray.get(parent.remote(2)))")).endswith("2\n")


def test_stop_ends_the_streams_of_actors(desk: Kernel, tmp_path: Any) -> None:
    marks = {name: tmp_path / name for name in ("waits", "yields", "turns")}
    cell = desk.send(
        f"marks = { {name: str(mark) for name, mark in marks.items()} }\n"
        "main, threads = Streams.remote(), Streams.options(max_concurrency=3).remote()\n"
        "streams = [main.waits.remote(marks['waits']), threads.yields.remote(marks['yields']),\n"
        "           threads.turns.remote(marks['turns'])]\n"
        "ray.get(streams[0].completed())"
    )
    desk.until(lambda: all(mark.exists() for mark in marks.values()))
    desk.manager.interrupt_kernel()
    error = desk.finish(cell)
    assert error is not None
    assert error["ename"] == "KeyboardInterrupt"
    assert desk.text(desk.run(f"CELL = {cell!r}\n{_LEFT}")) == "[]\n"
    pids = desk.run("print(len({ray.get(a.pid.remote(), timeout=30) for a in (main, threads)}))")
    assert desk.text(pids) == "2\n"


def test_the_background_is_left_alone_until_it_is_cancelled(desk: Kernel, tmp_path: Any) -> None:
    mark = tmp_path / "below"
    cell = desk.send(
        f"%ray background\nwork = below.remote({str(mark)!r})\n"
        "while not pathlib.Path(work_mark := " + repr(str(mark)) + ").exists(): time.sleep(0.05)\n"
        "time.sleep(600)"
    )
    desk.until(mark.exists)
    desk.manager.interrupt_kernel()
    desk.finish(cell)
    assert desk.text(desk.run("print(ray.wait([work], timeout=1)[0])")) == "[]\n"
    desk.run("%ray cancel")
    told = desk.run(
        "try: ray.get(work, timeout=30)\nexcept ray.exceptions.TaskCancelledError: print('ended')"
    )
    assert desk.text(told) == "ended\n"


def test_the_debugger_opens_the_frames_there_with_their_variables(desk: Kernel) -> None:
    told = _failing(desk, "ray.get(over.remote(21))")
    assert told.endswith("%debug opens the frame where it failed, with its variables.")
    text = _plain(desk.text(desk.converse("%debug", "p y + 1", "u", "p kept, x", "p absent", "q")))
    assert "43\n" in text
    assert "([21], 21)\n" in text
    assert "NameError" in text
    # a process that ends with its failure, and a call on an event loop
    _failing(desk, "ray.get(Unborn.remote(2_000_000).touch.remote())")
    assert "(2000000, 2000000)" in desk.text(desk.converse("%debug", "p len(made), x", "q"))
    desk.run("waiter = Waiter.remote()\nray.wait([waiter.fail.remote(6)])")
    assert "7\n" in desk.text(desk.converse("%ray debug Waiter.fail", "p soon", "q"))


def test_older_failures_are_listed_and_opened_by_name(desk: Kernel) -> None:
    desk.run("ray.wait([bad.remote(5), bad.remote(50)], num_returns=2)\nray.wait([bad.remote(8)])")
    assert "(8, 16)" in desk.text(desk.converse("%ray debug bad", "p x, y", "q"))
    listed = desk.text(desk.run("%ray debug"))
    assert listed.count("bad: ZeroDivisionError: division by zero") >= 4
    assert "Unborn: ValueError: not born" in listed


def test_stop_leaves_the_cluster(desk: Kernel, cluster: Any) -> None:
    """The last of the module: it ends the session."""
    _failing(desk, "ray.get(bad.remote(3))")
    desk.run("%ray stop")
    told = desk.text(desk.converse("%debug", "p y", "q"))
    assert "The variables of bad are not there: its session is over." in told
    assert desk.text(desk.run("print(ray.is_initialized())")) == "False\n"
    told = desk.run(f"ray.init(address={cluster.address!r})\nprint(len(ray.nodes()))")
    assert desk.text(told).endswith("2\n")
    desk.run(f"ray.shutdown()\n%ray start --address {cluster.address} --no-keep-locals")
    assert "with its variables" not in _failing(desk, "ray.get(bad.remote(4))")
    text = desk.text(desk.converse("%debug", "p y", "q"))
    assert "The variables of bad are not there: they were not kept (keep_locals is off)." in text
    assert desk.text(desk.run("%ray debug")) == "No failed task's variables are kept.\n"
