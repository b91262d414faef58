"""What raykernel costs over bare Ray: `python -m tests.bench.over_ray [ROUNDS]` at the repository's
top, where Ray is installed.

One program on bare Ray and on raykernel, in turn, each in a process of its own, on one cluster of
this machine with two CPUs. Work first: a model on a parameter server, tasks of 20 and 2 ms; then
what does nothing, and is all cost. Medians over the rounds, and the ratio of the two.
"""

from __future__ import annotations

import importlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROUNDS = 5
ENGINES = ("ray", "raykernel")
ROOT = Path(__file__).resolve().parents[2]
_LIMIT = 180  # seconds for one engine's turn


def jobs(ray: Any) -> dict[str, Callable[[], object]]:
    """What is measured. Each has run once when it is."""

    @ray.remote
    def busy(seed: int, seconds: float) -> float:
        numbers, total = np.random.default_rng(seed), 0.0
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            total += float(numbers.normal(size=1000).sum())
        return total

    @ray.remote
    def gradient(weights: Any, data: Any, begin: int) -> Any:
        part = data[begin : begin + 20_000]
        for _ in range(10):
            slope = part.T @ (part @ weights - 1.0)
        return slope

    @ray.remote
    class Server:
        def __init__(self, size: int) -> None:
            self.weights = np.zeros(size)

        def update(self, slope: Any) -> Any:
            self.weights -= 1e-9 * slope
            return self.weights

    @ray.remote
    def same(value: Any) -> Any:
        return value

    @ray.remote
    class Counter:
        def __init__(self) -> None:
            self.count = 0

        def add(self, by: int = 1) -> int:
            self.count += by
            return self.count

    data = ray.put(np.random.default_rng(0).normal(size=(400_000, 16)))
    server, counter = Server.remote(16), Counter.remote()
    large = np.zeros(2_000_000)

    def train() -> None:
        weights = server.update.remote(np.zeros(16))
        for _ in range(10):
            slopes = [gradient.remote(weights, data, 20_000 * i) for i in range(20)]
            for slope in slopes:
                weights = server.update.remote(slope)
        ray.get(weights)

    return {
        "10 rounds of a parameter server": train,
        "100 tasks of 20 ms": lambda: ray.get([busy.remote(i, 0.02) for i in range(100)]),
        "500 tasks of 2 ms": lambda: ray.get([busy.remote(i, 0.002) for i in range(500)]),
        "2,000 empty tasks": lambda: ray.get([same.remote(i) for i in range(2000)]),
        "200 round trips of an empty task": lambda: [ray.get(same.remote(i)) for i in range(200)],
        "2,000 calls of an actor": lambda: ray.get([counter.add.remote(1) for _ in range(2000)]),
        "2,000 calls without an argument": lambda: ray.get(
            [counter.add.remote() for _ in range(2000)]
        ),
        "20 x put and get of 16 MB": lambda: [ray.get(ray.put(large)).size for _ in range(20)],
    }


def turn(engine: str, address: str) -> None:
    """One engine's times in seconds, as a line of JSON."""
    ray = importlib.import_module(engine)
    if engine == "ray":
        ray.init(address=address, log_to_driver=False, logging_level="error")
    else:
        ray.init(address=address)
    taken = {}
    for name, job in jobs(ray).items():
        job()
        begin = time.perf_counter()
        job()
        taken[name] = time.perf_counter() - begin
    ray.shutdown()
    print(json.dumps(taken))


def main(rounds: int) -> None:
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 2, "object_store_memory": 600 * 2**20},
    )
    taken: dict[str, list[dict[str, float]]] = {engine: [] for engine in ENGINES}
    try:
        for number in range(rounds):
            for engine in ENGINES if number % 2 == 0 else reversed(ENGINES):
                command = [sys.executable, "-m", "tests.bench.over_ray", engine, cluster.address]
                said = subprocess.run(
                    command, cwd=ROOT, check=True, timeout=_LIMIT, stdout=subprocess.PIPE
                )
                taken[engine].append(json.loads(said.stdout.splitlines()[-1]))
    finally:
        cluster.shutdown()
    print("| | bare Ray | raykernel on Ray | ratio | of single rounds |\n|---|---|---|---|---|")
    for name in taken["ray"][0]:
        bare, over = ([each[name] for each in taken[engine]] for engine in ENGINES)
        ratios = sorted(b / a for a, b in zip(bare, over, strict=True))
        a, b = statistics.median(bare), statistics.median(over)
        print(f"| {name} | {a * 1000:.0f} ms | {b * 1000:.0f} ms | {b / a:.2f} "
              f"| {ratios[0]:.2f}-{ratios[-1]:.2f} |")  # fmt: skip


if __name__ == "__main__":
    if len(sys.argv) == 3:
        turn(*sys.argv[1:])
    else:
        main(int(sys.argv[1]) if len(sys.argv) == 2 else ROUNDS)
