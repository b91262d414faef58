"""Stop, a thousand times in a row, in a real kernel: at whatever moment it comes, it ends what the
cell waits for, and the session stays well. (IPython's colouring of tracebacks is off: it would take
most of the time.)
"""

from __future__ import annotations

import os
import random
import signal
import time

from tests.integration.kernels import Kernel, kernel

INTERRUPTS = 1000

SET_UP = """
%load_ext raykernel
%ray start -n 2
%xmode Minimal
import raykernel as ray

@ray.remote(num_cpus=0.5)
def long():
    import time
    time.sleep(600)

@ray.remote(num_cpus=0)
def nested():
    return ray.get(long.remote())
"""

CELLS = [
    "print('go', flush=True)\nray.get([long.remote(), long.remote()])",
    "print('go', flush=True)\nray.get(nested.remote())",
    "ref = long.remote()\nprint('go', flush=True)\nray.wait([ref, long.remote()], num_returns=2)",
    "print('go', flush=True)\nwhile 1:\n    ray.wait([long.remote()], timeout=0.001)",
    "print('go', flush=True)\nawait nested.remote()",
]


def test_a_thousand_interrupts_in_a_row() -> None:
    chance = random.Random(5)
    with kernel() as k:
        k.run(SET_UP)
        pid = k.manager.provisioner.pid  # type: ignore[union-attr]
        for i in range(INTERRUPTS):
            interrupt(k, CELLS[i % len(CELLS)], pid, chance.random() * 0.012)
        k.until(lambda: k.value(k.run("ray.api.engine().query('live_cells')")) == "{}", 20)
        again = k.run(
            "@ray.remote\ndef one(i):\n    return i\nray.get([one.remote(i) for i in range(9)])"
        )
        assert k.value(again) == str(list(range(9)))
        # each CPU was given back, and the workers didn't become ever more
        k.until(lambda: k.value(k.run("ray.available_resources()['CPU']")) == "2.0", 20)
        assert int(k.value(k.run("len(ray.util.state.list_workers())"))) <= 10


def interrupt(k: Kernel, code: str, pid: int, after: float) -> None:
    """Run a cell, stop it a moment after it has begun; it must end at once, and say so."""
    k.messages.clear()
    cell = k.send(code)
    k.until(lambda: k.of(cell, "stream"))
    time.sleep(after)
    os.kill(pid, signal.SIGINT)
    error = k.finish(cell)
    assert error is not None, code
    assert error["ename"] == "KeyboardInterrupt", error
