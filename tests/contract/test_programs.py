"""Programs as people write them for Ray, small: each computes something that can be checked.

What is random comes from seeds, and what depends on the order of events is checked for what holds
in every order. Their functions are local, so that they travel to the workers by value.
"""

from __future__ import annotations

import itertools
import random
import zlib
from collections import Counter
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tests.contract.signals import the_death

# Map-reduce


TEXT = """the quick brown fox jumps over the lazy dog
the dog barks and the fox runs
a fox is quick and a dog is loyal
over and over the lazy dog sleeps"""


def test_word_count_by_map_reduce_with_a_shuffle(ray: ModuleType) -> None:
    """Each mapper sorts its words into one bucket for each reducer, so each word has one home."""
    reducers = 3

    @ray.remote(num_returns=reducers)
    def count(line: str) -> list[dict[str, int]]:
        buckets: list[dict[str, int]] = [{} for _ in range(reducers)]
        for word in line.split():
            bucket = buckets[zlib.crc32(word.encode()) % reducers]
            bucket[word] = bucket.get(word, 0) + 1
        return buckets

    @ray.remote
    def add_up(*buckets: dict[str, int]) -> dict[str, int]:
        total: dict[str, int] = {}
        for bucket in buckets:
            for word, n in bucket.items():
                total[word] = total.get(word, 0) + n
        return total

    mapped = [count.remote(line) for line in TEXT.splitlines()]
    shuffled = zip(*mapped, strict=True)
    parts = ray.get([add_up.remote(*buckets) for buckets in shuffled])
    counted = Counter(TEXT.split())
    assert sum(len(part) for part in parts) == len(counted)
    assert {word: n for part in parts for word, n in part.items()} == counted


def test_merge_sort_by_a_tree_of_reductions(ray: ModuleType) -> None:
    """Sorted runs are merged two by two, by their refs: the driver sees the last one alone."""

    @ray.remote
    def sort(numbers: Any) -> Any:
        return np.sort(numbers)

    @ray.remote
    def merge(left: Any, right: Any) -> Any:
        places = np.searchsorted(left, right, side="right") + np.arange(len(right))
        merged = np.empty(len(left) + len(right), dtype=left.dtype)
        from_right = np.zeros(len(merged), dtype=bool)
        from_right[places] = True
        merged[from_right], merged[~from_right] = right, left
        return merged

    numbers = np.random.default_rng(3).integers(0, 10**6, size=70_000)
    runs = [sort.remote(part) for part in np.array_split(numbers, 7)]
    while len(runs) > 1:
        pairs = [merge.remote(*runs[i : i + 2]) for i in range(0, len(runs) - 1, 2)]
        runs = pairs + runs[2 * len(pairs) :]
    assert np.array_equal(ray.get(runs[0]), np.sort(numbers))


# Learning


TRUE_WEIGHTS = np.array([2.0, -3.0, 0.5])


def make_parameter_server(ray: ModuleType) -> tuple[Any, Any]:
    """A server of the weights of a linear model, and workers with data of their own."""
    true_weights = TRUE_WEIGHTS

    @ray.remote(num_cpus=0)
    class ParameterServer:
        def __init__(self, rate: float) -> None:
            self.weights = np.zeros(len(true_weights))
            self.rate = rate
            self.updates = 0

        def apply_gradients(self, *gradients: Any) -> Any:
            self.weights = self.weights - self.rate * np.mean(gradients, axis=0)
            self.updates += 1
            return self.weights

        def get_weights(self) -> Any:
            return self.weights

        def count(self) -> int:
            return self.updates

    @ray.remote(num_cpus=0)
    class DataWorker:
        def __init__(self, seed: int) -> None:
            self.x = np.random.default_rng(seed).normal(size=(64, len(true_weights)))
            self.y = self.x @ true_weights

        def compute_gradients(self, weights: Any) -> Any:
            return self.x.T @ (self.x @ weights - self.y) / len(self.y)

    return ParameterServer, DataWorker


def test_a_synchronous_parameter_server(ray: ModuleType) -> None:
    server_class, worker_class = make_parameter_server(ray)
    server = server_class.remote(0.5)
    workers = [worker_class.remote(seed) for seed in range(3)]
    weights = server.get_weights.remote()
    for _ in range(40):
        gradients = [worker.compute_gradients.remote(weights) for worker in workers]
        weights = server.apply_gradients.remote(*gradients)
    assert np.allclose(ray.get(weights), TRUE_WEIGHTS, atol=1e-3)
    assert ray.get(server.count.remote()) == 40


def test_an_asynchronous_parameter_server(ray: ModuleType) -> None:
    """Whoever has a gradient hands it in, and goes on from the weights of that moment."""
    server_class, worker_class = make_parameter_server(ray)
    server = server_class.remote(0.2)
    workers = [worker_class.remote(seed) for seed in range(3)]
    weights = server.get_weights.remote()
    pending = {worker.compute_gradients.remote(weights): worker for worker in workers}
    for _ in range(150):
        (ready,), _ = ray.wait(list(pending))
        worker = pending.pop(ready)
        weights = server.apply_gradients.remote(ready)
        pending[worker.compute_gradients.remote(weights)] = worker
    assert np.allclose(ray.get(weights), TRUE_WEIGHTS, atol=1e-2)
    assert ray.get(server.count.remote()) == 150


def test_policy_gradients_learn_a_little_pong(ray: ModuleType) -> None:
    """A paddle of width 1 on 7 places follows a ball that falls from 6 rows above.

    Actors play episodes with the weights they are sent; the driver follows the policy's gradient,
    averaged over all of them.
    """

    @ray.remote(num_cpus=0)
    class Player:
        def __init__(self, seed: int) -> None:
            self.rng = np.random.default_rng(seed)

        def episode(self, weights: Any) -> tuple[Any, float]:
            ball, paddle = self.rng.integers(0, 7, size=2)
            slope = np.zeros_like(weights)
            for _ in range(6):
                side = int(np.sign(ball - paddle)) + 1
                likely = np.exp(weights[side]) / np.exp(weights[side]).sum()
                move = self.rng.choice(3, p=likely)
                slope[side] += np.eye(3)[move] - likely
                paddle = min(max(paddle + move - 1, 0), 6)
            return slope, 1.0 if paddle == ball else -1.0

        def play(self, weights: Any, episodes: int) -> tuple[Any, float]:
            played = [self.episode(weights) for _ in range(episodes)]
            mean = float(np.mean([reward for _, reward in played]))
            gradient = sum(slope * (reward - mean) for slope, reward in played) / episodes
            return gradient, mean

    def train() -> tuple[Any, list[float]]:
        players = [Player.remote(seed) for seed in range(2)]
        weights = np.zeros((3, 3))  # of the moves left, stay and right, by where the ball is
        rewards = []
        for _ in range(25):
            shared = ray.put(weights)
            results = ray.get([player.play.remote(shared, 20) for player in players])
            weights = weights + np.mean([gradient for gradient, _ in results], axis=0)
            rewards.append(float(np.mean([reward for _, reward in results])))
        return weights, rewards

    weights, rewards = train()
    assert list(weights.argmax(axis=1)) == [0, 1, 2]
    assert np.mean(rewards[:3]) < 0 < 0.5 < np.mean(rewards[-3:])
    again, _ = train()
    assert np.array_equal(weights, again)


def test_batch_prediction_with_a_pool_of_actors(ray: ModuleType) -> None:
    @ray.remote(num_cpus=0)
    class Predictor:
        def __init__(self, model: Any) -> None:
            self.model = model

        def predict(self, batch: Any) -> Any:
            return batch @ self.model

    rng = np.random.default_rng(11)
    model, data = rng.normal(size=20), rng.normal(size=(1000, 20))
    shared = ray.put(model)
    pool = ray.util.ActorPool([Predictor.remote(shared) for _ in range(3)])
    batches = list(enumerate(np.array_split(data, 9)))
    in_order = pool.map(lambda actor, batch: actor.predict.remote(batch[1]), batches)
    assert np.allclose(np.concatenate(list(in_order)), data @ model)
    as_they_come = pool.map_unordered(lambda actor, batch: actor.predict.remote(batch[1]), batches)
    assert np.allclose(np.sort(np.concatenate(list(as_they_come))), np.sort(data @ model))


def test_hyperparameter_search_stops_the_losers_early(ray: ModuleType) -> None:
    """Successive halving: all trials train for a while, the better half goes on for longer."""

    @ray.remote(num_cpus=0)
    class Trial:
        """Gradient descent on x**2, whose rate is what is searched for."""

        def __init__(self, rate: float) -> None:
            self.rate = rate
            self.x = 10.0
            self.steps = 0

        def train(self, steps: int) -> float:
            for _ in range(steps):
                self.x -= self.rate * 2 * self.x
            self.steps += steps
            return self.x**2

        def trained(self) -> int:
            return self.steps

    rates = [0.001, 0.01, 0.05, 0.1, 0.3, 1.1]
    trials = {rate: Trial.remote(rate) for rate in rates}
    stopped = []
    for steps in (2, 4, 8):
        pending = {trial.train.remote(steps): rate for rate, trial in trials.items()}
        losses = {}
        while pending:
            (ready,), _ = ray.wait(list(pending))
            losses[pending.pop(ready)] = ray.get(ready)
        ranked = sorted(losses, key=losses.__getitem__)
        for rate in ranked[max(1, len(ranked) // 2) :]:
            loser = trials.pop(rate)
            ray.kill(loser)
            stopped.append((rate, loser))
    assert list(trials) == [0.3]
    assert ray.get(trials[0.3].trained.remote()) == 14
    assert {rate for rate, _ in stopped} == set(rates) - {0.3}
    for _, loser in stopped:
        the_death(ray, loser.trained)


# Simulation


def test_monte_carlo_pi_with_a_progress_actor(ray: ModuleType) -> None:
    tasks, samples = 4, 3000

    @ray.remote(num_cpus=0)
    class Progress:
        def __init__(self) -> None:
            self.done: dict[int, int] = {}

        def report(self, task: int, done: int) -> None:
            self.done[task] = done

        def fraction(self) -> float:
            return sum(self.done.values()) / (tasks * samples)

    @ray.remote
    def sample(task: int, progress: Any) -> int:
        rng = random.Random(task)
        inside = 0
        for n in range(1, samples + 1):
            inside += rng.random() ** 2 + rng.random() ** 2 <= 1
            if n % 1000 == 0:
                progress.report.remote(task, n)
        ray.get(progress.fraction.remote())  # behind this caller's reports: they have arrived
        return inside

    progress = Progress.remote()
    assert ray.get(progress.fraction.remote()) == 0
    pending = [sample.remote(task, progress) for task in range(tasks)]
    inside = 0
    for finished in range(1, tasks + 1):
        ready, pending = ray.wait(pending)
        inside += ray.get(ready[0])
        assert finished / tasks <= ray.get(progress.fraction.remote()) <= 1
    assert ray.get(progress.fraction.remote()) == 1
    assert 4 * inside / (tasks * samples) == pytest.approx(3.14, abs=0.05)


# A web crawler's shape


SITE = {
    "/": ["/docs", "/blog", "/about"],
    "/docs": ["/docs/tasks", "/docs/actors", "/"],
    "/docs/tasks": ["/docs/actors", "/docs/missing"],
    "/docs/actors": ["/docs/tasks"],
    "/blog": ["/blog/1", "/blog/2"],
    "/blog/1": ["/blog/2", "/docs"],
    "/blog/2": ["/blog/1", "/nowhere"],
    "/about": [],
    "/island": ["/"],
}
BROKEN = {"/docs/missing", "/nowhere"}


def test_crawling_a_site_by_tasks(ray: ModuleType) -> None:
    """The driver keeps the frontier: a page's links are followed as soon as it has come."""
    site = ray.put(SITE)

    @ray.remote
    def fetch(site: dict[str, list[str]], page: str) -> list[str]:
        return site[page]

    pending = {fetch.remote(site, "/"): "/"}
    seen, broken, fetched = {"/"}, set(), []
    while pending:
        (ready,), _ = ray.wait(list(pending))
        page = pending.pop(ready)
        try:
            links = ray.get(ready)
        except KeyError:
            broken.add(page)
            continue
        fetched.append(page)
        for link in links:
            if link not in seen:
                seen.add(link)
                pending[fetch.remote(site, link)] = link
    assert sorted(fetched) == sorted(SITE.keys() - {"/island"})
    assert broken == BROKEN


def test_crawling_a_site_by_async_actors(ray: ModuleType) -> None:
    """Crawlers share one frontier, an actor that hands out each page once and knows the end."""

    @ray.remote(num_cpus=0)
    class Frontier:
        def __init__(self, start: str) -> None:
            import asyncio

            self.seen = {start}
            self.open = 1
            self.pages: asyncio.Queue[str | None] = asyncio.Queue()
            self.pages.put_nowait(start)

        async def next(self) -> str | None:
            page = await self.pages.get()
            if page is None:
                self.pages.put_nowait(None)  # for the others
            return page

        async def done(self, links: list[str]) -> None:
            for link in links:
                if link not in self.seen:
                    self.seen.add(link)
                    self.open += 1
                    self.pages.put_nowait(link)
            self.open -= 1
            if not self.open:
                self.pages.put_nowait(None)

    @ray.remote(num_cpus=0)
    class Crawler:
        def __init__(self, site: dict[str, list[str]], frontier: Any) -> None:
            self.site = site
            self.frontier = frontier

        async def crawl(self) -> dict[str, bool]:
            found = {}
            while (page := await self.frontier.next.remote()) is not None:
                found[page] = page in self.site
                await self.frontier.done.remote(self.site.get(page, []))
            return found

    frontier = Frontier.remote("/")
    crawlers = [Crawler.remote(SITE, frontier) for _ in range(2)]
    results = ray.get([crawler.crawl.remote() for crawler in crawlers for _ in range(3)])
    crawled = list(itertools.chain.from_iterable(result.items() for result in results))
    assert sorted(page for page, there in crawled if there) == sorted(SITE.keys() - {"/island"})
    assert sorted(page for page, there in crawled if not there) == sorted(BROKEN)
