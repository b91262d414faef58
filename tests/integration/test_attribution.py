"""Whose work is it: nested, threaded and async work of cells that overlap, in a real kernel.

How ipykernel finds the cell of what a thread prints differs from version to version, so these run
on 6.29, 7.0 and the newest (`nox -s kernels`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.integration.kernels import Kernel, kernel

SETUP = """
import asyncio, json, threading
from concurrent.futures import ThreadPoolExecutor
import raykernel as ray

ray.init(num_cpus=2)

@ray.remote(num_cpus=0)
def say(text):
    print(text)
    return text

@ray.remote(num_cpus=0)
class Gate:
    def __init__(self):
        self.event = asyncio.Event()
    async def wait(self):
        await self.event.wait()
    async def open(self):
        self.event.set()

@ray.remote(num_cpus=0)
def nested(text, gate):
    ray.get(gate.wait.remote())
    ray.get(say.remote('nested ' + text))

@ray.remote(num_cpus=0)
def threads(text, gate):
    def run():
        ray.get(gate.wait.remote())
        print('thread in a task ' + text)
        ray.get(say.remote('from a thread in a task ' + text))
    thread = threading.Thread(target=run)
    thread.start()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(run).result()
    thread.join()

@ray.remote(num_cpus=0)
class Actor:
    async def work(self, text, gate):
        await gate.wait.remote()
        print('actor ' + text)
        await say.remote('from an actor ' + text)
        await asyncio.get_running_loop().run_in_executor(None, print, 'pool in an actor ' + text)
        await asyncio.create_task(self.more(text))
    async def more(self, text):
        await say.remote('from a task of the loop ' + text)

gate, actor = Gate.remote(), Actor.remote()
pool = ThreadPoolExecutor(2)
pool.submit(len, '').result()      # its first thread is this cell's
go, threads_done, late = threading.Event(), [], []

def in_thread(text):
    go.wait(30)
    ray.get(say.remote(text))
"""

#: What each of three cells starts, while the one before is still at it.
CELL = """
name = {name!r}
waiting = gate.wait.remote()
refs += [nested.remote(name, gate), threads.remote(name, gate), actor.work.remote(name, gate)]
thread = threading.Thread(target=in_thread, args=('thread ' + name,))
thread.start()
threads_done.append(thread)
late.append(pool.submit(in_thread, 'pool ' + name))
waiting.future().add_done_callback(lambda _, n=name: refs.append(say.remote('callback ' + n)))
waiting._on_completed(lambda _, n=name: refs.append(say.remote('on completed ' + n)))

async def later(name, ref):
    await ref
    await say.remote('async ' + name)
asyncs.append(asyncio.ensure_future(later(name, waiting)))
asyncio.get_running_loop().call_later(0.01, lambda n=name: refs.append(say.remote('timer ' + n)))
"""

EXPECTED = [
    *("actor", "async", "callback", "from a task of the loop", "from an actor"),
    *("from a thread in a task", "from a thread in a task", "nested", "on completed", "pool"),
    *("pool in an actor", "thread", "thread in a task", "thread in a task", "timer"),
]


@pytest.fixture(scope="module")
def k() -> Iterator[Kernel]:
    with kernel() as made:
        made.run("%load_ext raykernel")
        made.run(SETUP)
        yield made
        made.run("pool.shutdown()\nray.shutdown()")


def said(k: Kernel, cell: str) -> list[str]:
    """The lines of a cell without their prefixes."""
    return sorted(line.partition(") ")[2] for line in k.text(cell).splitlines())


def number(k: Kernel, cell: str) -> int:
    """What a cell's prompt shows."""
    (message,) = k.of(cell, "execute_input")
    return int(message["content"]["execution_count"])


def test_three_cells_that_overlap_each_get_their_own(k: Kernel) -> None:
    k.run("refs, asyncs = [], []")
    cells = {name: k.run(CELL.format(name=name)) for name in ("red", "green", "blue")}
    opens = k.run(
        "go.set()\nawait gate.open.remote()\nawait asyncio.gather(*asyncs)\n"
        "for thread in threads_done: thread.join()\n"
        "for one in late: one.result()\n"
        "while len(refs) < 18: await asyncio.sleep(0.01)\n"
        "ray.get(refs)"
    )
    k.until(lambda: all(len(said(k, cell)) >= len(EXPECTED) for cell in cells.values()))
    for name, cell in cells.items():
        assert said(k, cell) == sorted(f"{what} {name}" for what in EXPECTED)
    assert k.text(opens) == ""
    for m in k.messages:  # and nothing went anywhere else
        if m["msg_type"] == "stream":
            assert m["parent_header"]["msg_id"] in cells.values()


def test_tasks_are_listed_by_their_cell(k: Kernel) -> None:
    cell = k.run("ray.get(nested.remote('x', gate))")
    count = number(k, cell)
    asks = k.run(
        f"rows = ray.util.list_tasks(cell={count})\n"
        f"by_id = ray.util.list_tasks(cell={cell!r})\n"
        f"by_filter = ray.util.state.list_tasks(filters=[('cell', '=', 'In[{count}]')])\n"
        "print(json.dumps([sorted(r.name for r in rows), {r.cell for r in rows} == {rows[0].cell},"
        " rows[0].cell, rows == by_id == by_filter]))"
    )
    names, one_cell, found, same = json.loads(k.text(asks))
    assert names == ["Gate.wait", "nested", "say"]
    assert (one_cell, found, same) == (True, cell, True)
    error = k.finish(k.send("ray.util.list_tasks(cell=999)"))
    assert error is not None
    assert "no cell ran as In[999]" in error["evalue"]
