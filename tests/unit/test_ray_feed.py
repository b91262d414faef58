"""The feed actor of a session on Ray, without Ray: who asks what, and how often."""

from __future__ import annotations

import asyncio

import pytest

from raykernel.runtime.engines import ray_feed
from raykernel.runtime.engines.ray_feed import Feed

TASKS = [bytes([n]) * 24 for n in range(5)]


def test_who_has_a_struck_task_hears_of_all_that_are_struck() -> None:
    async def talk() -> None:
        feed = Feed()
        assert (await feed.struck(TASKS))[0] == []
        await feed.strike(TASKS[:2])
        assert (await feed.struck(TASKS[1:3]))[0] == TASKS[:2]
        assert (await feed.struck(TASKS[2:]))[0] == []

    asyncio.run(talk())


def test_the_oldest_that_were_struck_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_feed, "_STRUCK", 3)

    async def talk() -> None:
        feed = Feed()
        await feed.strike(TASKS)
        assert (await feed.struck(TASKS))[0] == TASKS[2:]

    asyncio.run(talk())


def test_the_more_workers_ask_the_less_often_each_of_them_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr(ray_feed.time, "monotonic", lambda: now)

    async def round_of(feed: Feed, workers: int) -> float:
        pauses = [(await feed.struck(TASKS[:1]))[1] for _ in range(workers)]
        return pauses[-1]

    async def talk() -> None:
        nonlocal now
        feed = Feed()
        for workers, expected in ((10, 1.0), (5000, 10.0), (5000, 10.0), (10, 1.0)):
            for _ in range(3):
                now += 1.01 * await round_of(feed, workers)
            assert await round_of(feed, 1) == pytest.approx(expected, rel=0.05)

    asyncio.run(talk())
