"""Ray's tasks, actors and objects at home in the notebook.

`import raykernel as ray` is Ray's core API on this machine; `%load_ext raykernel` brings it into
the notebook.
"""

from typing import Any

from raykernel import exceptions
from raykernel.actor import method
from raykernel.api import (
    available_resources,
    cancel,
    cluster_resources,
    get,
    get_actor,
    get_gpu_ids,
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
from raykernel.refs import ObjectRef

__version__ = "0.1.0"

__all__ = [
    "DynamicObjectRefGenerator",
    "ObjectRef",
    "ObjectRefGenerator",
    "__version__",
    "available_resources",
    "cancel",
    "cluster_resources",
    "exceptions",
    "get",
    "get_actor",
    "get_gpu_ids",
    "init",
    "is_initialized",
    "kill",
    "method",
    "nodes",
    "put",
    "remote",
    "shutdown",
    "timeline",
    "wait",
]


def load_ipython_extension(ipython: Any) -> None:
    """`%load_ext raykernel`."""
    from raykernel import magics

    magics.load_ipython_extension(ipython)


def unload_ipython_extension(ipython: Any) -> None:
    """`%unload_ext raykernel`."""
    from raykernel import magics

    magics.unload_ipython_extension(ipython)
