"""The core API: start and end a session, get, put, wait, cancel, kill, and what there is to ask.

Every function starts a session by itself if none runs. All work from any thread of a driver and
inside tasks and actors. Each has its room; here they are together, for the modules of raykernel
that use them.
"""

from __future__ import annotations

from raykernel.actor import exit_actor
from raykernel.decorator import remote
from raykernel.ending import cancel, kill
from raykernel.getting import get
from raykernel.inquiries import (
    available_resources,
    cluster_resources,
    get_actor,
    get_gpu_ids,
    kept,
    nodes,
    timeline,
)
from raykernel.lifetime import (
    RayContext,
    auto_init,
    connected,
    engine,
    init,
    is_initialized,
    on_session,
    shutdown,
)
from raykernel.plain_output import shows_logs, take_over_logs
from raykernel.refs import counted
from raykernel.storing import get_object, put
from raykernel.waiting import wait

__all__ = [
    "RayContext",
    "auto_init",
    "available_resources",
    "cancel",
    "cluster_resources",
    "connected",
    "counted",
    "engine",
    "exit_actor",
    "get",
    "get_actor",
    "get_gpu_ids",
    "get_object",
    "init",
    "is_initialized",
    "kept",
    "kill",
    "nodes",
    "on_session",
    "put",
    "remote",
    "shows_logs",
    "shutdown",
    "take_over_logs",
    "timeline",
    "wait",
]
