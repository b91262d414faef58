"""Ray's tasks, actors and objects at home in the notebook.

`import raykernel as ray` is Ray's core API on this machine; `%load_ext raykernel` brings it into
the notebook.
"""

import importlib
from typing import Any

from raykernel import actor, exceptions, runtime_context, runtime_env
from raykernel.actor import method
from raykernel.api import (
    available_resources,
    cancel,
    cluster_resources,
    get,
    get_actor,
    get_gpu_ids,
    get_object,
    init,
    is_initialized,
    kill,
    nodes,
    put,
    remote,
    shutdown,
    timeline,
    wait,
)
from raykernel.generators import DynamicObjectRefGenerator, ObjectRefGenerator
from raykernel.ids import ActorID, JobID, NodeID, TaskID, WorkerID
from raykernel.placement import PlacementGroupID
from raykernel.refs import ObjectRef
from raykernel.runtime_context import get_runtime_context

ObjectID = ObjectRef  # Ray's older name

__version__ = "0.1.0"

__all__ = [
    "ActorID",
    "DynamicObjectRefGenerator",
    "JobID",
    "NodeID",
    "ObjectID",
    "ObjectRef",
    "ObjectRefGenerator",
    "PlacementGroupID",
    "TaskID",
    "WorkerID",
    "__version__",
    "actor",
    "as_completed",
    "available_resources",
    "cancel",
    "cluster_resources",
    "exceptions",
    "get",
    "get_actor",
    "get_gpu_ids",
    "get_object",
    "get_runtime_context",
    "init",
    "is_initialized",
    "kill",
    "method",
    "nodes",
    "put",
    "remote",
    "runtime_context",
    "runtime_env",
    "shutdown",
    "timeline",
    "wait",
]

_LIBRARY = "Ray's libraries are not part of raykernel: install Ray and import it from there"
_CLUSTER = "raykernel works on one machine: for a cluster use Ray"
_LANGUAGE = "raykernel speaks Python only: for other languages use Ray"
_NOT_OFFERED = {
    **dict.fromkeys(("air", "data", "dag", "llm", "rllib", "serve", "train", "tune"), _LIBRARY),
    **dict.fromkeys(("autoscaler", "client", "ClientBuilder", "job_submission"), _CLUSTER),
    **dict.fromkeys(
        ("Language", "cpp_function", "cross_language", "java_actor_class", "java_function"),
        _LANGUAGE,
    ),
    "workflow": "Ray has dropped it too: submit tasks that take each other's refs",
    "internal": "Ray keeps it to itself",
    "_private": "Ray keeps it to itself",
    **dict.fromkeys(
        ("SCRIPT_MODE", "WORKER_MODE"),
        "in a driver raykernel.get_runtime_context().get_task_id() is None",
    ),
    "worker": "ask raykernel.get_runtime_context()",
    "state": "ask raykernel.util.state",
    "LoggingConfig": "tasks' output goes through Python's own logging",
}
#: Modules that are imported when they are used.
_LAZY = frozenset({"cloudpickle", "experimental", "remote_function", "types", "util"})


def __getattr__(name: str) -> Any:
    if name == "as_completed":
        return importlib.import_module("raykernel.util.helpers").as_each_completes
    if name in _LAZY:
        return importlib.import_module(f"raykernel.{name}")
    hint = _NOT_OFFERED.get(name)
    raise AttributeError(
        f"module 'raykernel' has no attribute {name!r}" + (f" ({hint})" if hint else "")
    )


def load_ipython_extension(ipython: Any) -> None:
    """`%load_ext raykernel`."""
    from raykernel import magics

    magics.load_ipython_extension(ipython)


def unload_ipython_extension(ipython: Any) -> None:
    """`%unload_ext raykernel`."""
    from raykernel import magics

    magics.unload_ipython_extension(ipython)
