"""When tasks ran, as Chrome trace events, which Perfetto and chrome://tracing open.

A process is the session's machine, a thread is a worker or an actor; both are numbers, as the
format has them, and the first events name them. Each task is a slice of its worker's
thread; inside it stand the loading of its arguments, the function itself and the storing of its
results, under Ray's names. What a task waited is a slice of its own track, as many wait at once.
Times are microseconds since the epoch. Pure.

The format: "Trace Event Format", the Chromium project; slices are its complete events (X), waits
its nestable asynchronous ones (b, e), names its metadata events (M).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import Any

from raykernel.runtime.events import ACTOR, TaskInfo

MACHINE = 1  # the process of all events
WAITING = 0  # the thread of those that belong to no worker


def events(tasks: Iterable[TaskInfo]) -> list[dict[str, Any]]:
    """The events of the tasks that have ended, one after the other in the order of their start,
    behind the names of what they stand in."""
    ended = sorted((t for t in tasks if t.started and t.ended), key=lambda t: t.started)
    return [*_names(ended), *(event for task in ended for event in _task(task))]


def _names(tasks: list[TaskInfo]) -> Iterator[dict[str, Any]]:
    threads = {WAITING: "waiting"} if tasks else {}
    for task in tasks:
        if task.kind == ACTOR:
            threads[_thread(task)] = f"actor:{task.name} worker:{task.worker}"
        else:
            threads.setdefault(_thread(task), f"worker:{task.worker}")
    if threads:
        yield _name("process_name", WAITING, "raykernel on this machine")
    for thread, name in threads.items():
        yield _name("thread_name", thread, name)


def _name(kind: str, thread: int, name: str) -> dict[str, Any]:
    return {
        "cat": "__metadata", "name": kind, "ph": "M", "ts": 0, "pid": MACHINE, "tid": thread,
        "args": {"name": name},
    }  # fmt: skip


def _thread(task: TaskInfo) -> int:
    """A worker's process id; a worker elsewhere may be told by another word."""
    if task.worker.isdecimal():
        return int(task.worker)
    return zlib.crc32(task.worker.encode()) if task.worker else WAITING


def _task(task: TaskInfo) -> Iterator[dict[str, Any]]:
    called = task.called or task.started
    returned = min(task.returned or task.ended, task.ended)
    about = {
        "task_id": task.id, "name": task.name, "state": task.state, "parent": task.parent,
        "cell": task.cell, "actor_id": task.actor, "bytes_taken": task.taken,
        "bytes_made": task.made,
    }  # fmt: skip
    if task.error:
        about["error"] = task.error
    yield _slice(task, f"task::{task.name}", task.name, task.started, task.ended, about)
    if task.called:
        name = "task:deserialize_arguments"
        yield _slice(task, name, name, task.started, called, {"bytes": task.taken})
    yield _slice(task, "task:execute", "task:execute", called, returned, {})
    if returned < task.ended:
        name = "task:store_outputs"
        yield _slice(task, name, name, returned, task.ended, {"bytes": task.made})
    ready = task.ready or task.submitted
    for name, begin, end in (
        ("waits for arguments", task.submitted, ready),
        ("waits for a worker", ready, task.started),
    ):
        if begin and end > begin:
            common = {"cat": "wait", "id": task.id, "pid": MACHINE, "tid": WAITING}
            words = f"{task.name} {name}"
            yield {**common, "name": words, "ph": "b", "ts": begin * 1e6, "args": about}
            yield {**common, "name": words, "ph": "e", "ts": end * 1e6}


def _slice(
    task: TaskInfo, cat: str, name: str, begin: float, end: float, args: dict[str, Any]
) -> dict[str, Any]:
    return {
        "cat": cat, "name": name, "ph": "X", "ts": begin * 1e6,
        "dur": max(0.0, (end - begin) * 1e6), "pid": MACHINE, "tid": _thread(task),
        "args": args,
    }  # fmt: skip
