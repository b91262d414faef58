"""What there is: named actors, nodes, resources, and what ran when."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from raykernel import options as opts
from raykernel.actor import ActorHandle
from raykernel.lifetime import connected
from raykernel.runtime import context
from raykernel.runtime.connection import Connection
from raykernel.runtime.events import TaskInfo
from raykernel.runtime.serialize import deserialize


def kept() -> dict[str, list[str]]:
    """The names of what the session keeps whoever leaves, in this driver's namespace."""
    current = connected()
    actors = current.query("named_actors", namespace=current.namespace)
    objects = current.query("named_objects")
    return {
        "actors": sorted(one["name"] for one in actors),
        "objects": sorted(o["name"] for o in objects if o["namespace"] == current.namespace),
    }


def get_actor(name: str, namespace: str | None = None) -> ActorHandle:
    """The handle of a named actor. It doesn't keep the actor alive.

    Raises ValueError if there is none of that name in the namespace (default: the session's).
    """
    current = connected()
    if name and not isinstance(name, str):
        raise TypeError(f"an actor's name is a string, not {type(name)}")
    if not name or not name.strip():
        raise ValueError("Please supply a non-empty value to get_actor")
    if namespace is not None:
        opts._namespace("namespace", namespace)
    where = namespace or current.namespace
    client: Connection = current.client
    deadline = time.monotonic() + 5
    while True:
        found = client.query("find_actor", dict[str, bytes], name=name, namespace=where)
        if not found["actor"]:
            raise ValueError(
                f"Failed to look up actor with name '{name}'. This could because 1. You are trying "
                "to look up a named actor you didn't create. 2. The named actor died. 3. You did "
                "not use a namespace matching the namespace of the actor."
            )
        if found["meta"] or time.monotonic() > deadline:
            break
    return ActorHandle(found["actor"], deserialize(found["meta"]), None, client)


def nodes() -> list[dict[str, Any]]:
    """The machines of the session: one."""
    found: list[dict[str, Any]] = connected().query("nodes")
    for node in found:
        node.update(
            NodeManagerHostname=os.uname().nodename, NodeManagerAddress="127.0.0.1", alive=True,
            NodeName="127.0.0.1",
        )  # fmt: skip
    return found


def cluster_resources() -> dict[str, float]:
    """All resources by name."""
    total: dict[str, float] = connected().query("resources")["total"]
    return total


def available_resources() -> dict[str, float]:
    """The resources that are free now; names with nothing free are left out."""
    free: dict[str, float] = connected().query("resources")["available"]
    return free


def get_gpu_ids() -> list[int | str]:
    """The GPUs assigned to the running task or actor; empty in a driver.

    Numbers from 0, or what the session's CUDA_VISIBLE_DEVICES calls them.
    """
    running = context.running()
    if running is None:
        return []
    names = (context.cards.get(i, str(i)) for i in running.gpus or ())
    return [int(name) if name.isdigit() else name for name in names]


def timeline(filename: str | None = None) -> list[dict[str, Any]] | None:
    """What ran where and when, as Chrome trace events; written to `filename` if given.

    The file loads in Perfetto and chrome://tracing. Times are in microseconds. See util/trace.py.
    """
    from raykernel.util import trace  # which imports this module's neighbours

    tasks: list[TaskInfo] = connected().query("tasks")
    events = trace.events(tasks)
    if filename is None:
        return events
    Path(filename).write_text(json.dumps(events))
    return None
