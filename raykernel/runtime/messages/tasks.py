"""What a task is: its function, its arguments, its options.

A `TaskSpec` is a message by itself, by which a task is submitted, and travels on to the worker
inside another.
"""

from __future__ import annotations

import msgspec

# TaskSpec.kind
TASK, CREATION, CALL = 0, 1, 2

# TaskSpec.returns, below zero
STREAMING = -1
DYNAMIC = -2


class ActorOptions(msgspec.Struct, frozen=True, array_like=True):
    """What an actor's creation carries beyond a task's."""

    class_name: str
    meta: bytes = b""  # pickled description of methods, for get_actor
    name: str = ""
    namespace: str = ""
    detached: bool = False
    max_restarts: int = 0  # -1: for ever
    max_concurrency: int = 1
    concurrency_groups: dict[str, int] = {}
    is_async: bool = False
    out_of_order: bool = False
    stream_cap: int = 0  # items of all its streams that nobody has taken; 0: any number
    keeps: str = ""  # resources held once it is placed, canonical text
    max_task_retries: int = 0  # of calls that don't say it themselves; -1: for ever


class TaskExtra(msgspec.Struct, frozen=True, array_like=True):
    """The options few tasks use."""

    retry_exceptions: bytes = b""  # b"": none, b"*": all, else pickled tuple of classes
    env: str = ""  # canonical JSON of the runtime environment, "" for the session's
    group: bytes = b""  # placement group to run in
    bundle: int = -1  # -1: whichever has room
    capture: bool = False  # tasks it submits run in the group too
    max_calls: int = 0
    concurrency_group: str = ""
    backpressure: int = 0
    actor: ActorOptions | None = None
    node: str = ""  # the only node it may run on, "" for any
    timeout: float = 0.0  # seconds it may run, each time it is tried; 0: any number
    strategy: str = ""  # where else it would like to run, for engines with many nodes


class Message(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Base of all that travels alone in a frame."""


class TaskSpec(Message, frozen=True, tag=3):
    """Submit a task, an actor's creation or an actor's call.

    `args` is the serialized (args, kwargs), None standing for each ref at top level; `deps` are
    these refs' ids and `slots` where they go (a position or a keyword), `contained` the ids of refs
    nested deeper. Large arguments stand in the arena as the object `args_ref`, the last of `deps`.

    The results are sent to the submitter as soon as they are ready, without being asked for.
    """

    id: bytes
    function: bytes
    name: str
    args: bytes = b""
    deps: tuple[bytes, ...] = ()
    contained: tuple[bytes, ...] = ()
    returns: int = 1
    resources: str = ""
    cell: str = ""
    parent: bytes = b""
    retries: int = 0
    kind: int = TASK
    actor: bytes = b""
    method: str = ""
    slots: tuple[int | str, ...] = ()
    args_ref: bytes = b""
    extra: TaskExtra | None = None
