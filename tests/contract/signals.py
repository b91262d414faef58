"""How tests wait for each other's steps without sleeping: a gate that opens, and conditions."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

DEADLINE = 30.0


def make_gate(ray: ModuleType) -> Any:
    """An actor with `wait`, which returns once `open` was called, and `waiting`, how many wait."""

    @ray.remote(num_cpus=0)
    class Gate:
        def __init__(self) -> None:
            import asyncio

            self.event = asyncio.Event()
            self.count = 0

        async def wait(self) -> str:
            self.count += 1
            await self.event.wait()
            return "open"

        async def open(self) -> None:
            self.event.set()

        async def waiting(self) -> int:
            return self.count

    return Gate.remote()


def make_counter(ray: ModuleType) -> Any:
    """An actor that counts: `add` returns the number of calls so far, `value` asks."""

    @ray.remote(num_cpus=0)
    class Counter:
        def __init__(self) -> None:
            self.n = 0
            self.seen: list[Any] = []

        def add(self, what: Any = None) -> int:
            self.n += 1
            self.seen.append(what)
            return self.n

        def value(self) -> int:
            return self.n

        def list(self) -> list[Any]:
            return self.seen

    return Counter.remote()


def await_submission(ray: ModuleType, gate: Any) -> None:
    """Returns when what this process has submitted is under way.

    Ray looks at a new task's arguments a moment after `remote` has returned. A task cancelled
    before that takes its driver down with it when an argument comes (`ReferenceCounter` fails a
    check, as of Ray 2.60). One thread looks at them in turn, so the answer to a later call tells.
    """
    ray.get(gate.waiting.remote())


def plain(text: str) -> str:
    """The text without the colours that Ray gives it."""
    return re.sub(r"\x1b\[\d+m", "", text)


def wait_until(condition: Callable[[], Any], deadline: float = DEADLINE) -> None:
    """Ask until the answer is true. Fails, and says so, when the deadline passes."""
    end = time.monotonic() + deadline
    while not condition():
        assert time.monotonic() < end, "the condition did not become true in time"
        time.sleep(0.01)


def the_death(ray: ModuleType, method: Any) -> Any:
    """The ActorDiedError of an actor's calls, once it is dead: Ray kills in its own time."""
    found: list[Any] = []

    def dead() -> bool:
        try:
            ray.get(method.remote())
        except ray.exceptions.ActorDiedError as error:
            found.append(error)
        return bool(found)

    wait_until(dead)
    return found[0]
