"""What a task that prints a million lines costs everybody else: `python -m tests.bench.logs` at the
repository's top.

In a real kernel: the processor time that the session's other processes and the kernel take while
the task prints, as a part of one core; with how long the million lines take and how many of them
the page gets. Processor time, for what tasks beside it lose by the clock says more of a shared
machine's mood than of the printing.
"""

from __future__ import annotations

import json
import statistics

from tests.integration.kernels import kernel

ROUNDS = 5
START = """%load_ext raykernel
import json, os, time, psutil
import raykernel as ray
ray.init(num_cpus=2)
@ray.remote
def million():
    for i in range(10**6): print("line", i)
    return os.getpid()
def spent():
    me = psutil.Process()
    return {p.pid: sum(p.cpu_times()[:2]) for p in (me, *me.children(recursive=True))}
"""
ROUND = """before, began = spent(), time.perf_counter()
printer = ray.get(million.remote())
took, after = time.perf_counter() - began, spent()
others = sum(s - before.get(pid, 0.0) for pid, s in after.items() if pid != printer)
"""


def main() -> None:
    with kernel() as k:
        k.run(START)
        taken, shares = [], []
        for _ in range(ROUNDS):
            cell = k.run(ROUND)
            took, others = json.loads(k.value(k.run("json.dumps([took, others])")).strip("'"))
            taken.append(took)
            shares.append(others / took)
        lines = k.text(cell).count("\n")
        k.run("ray.shutdown()")
    print(f"a million lines: {statistics.median(taken):.1f} s; the page gets {lines:,} of them")
    print(f"all but the printing task: {statistics.median(shares):.1%} of a core meanwhile")


if __name__ == "__main__":
    main()
