"""Ray's errors as the records that the API turns into exceptions."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from raykernel.runtime import messages as m
from raykernel.runtime.engines.ray_values import Failure
from raykernel.runtime.serialize import serialize
from raykernel.runtime.wire import encode_one

#: Ray's class to our kind; the first that fits the class or one of its bases.
_KINDS = {
    "TaskCancelledError": "cancelled",
    "WorkerCrashedError": "crashed",
    "LocalRayletDiedError": "crashed",
    "NodeDiedError": "crashed",
    "ActorUnavailableError": "actor_unavailable",
    "ActorPlacementGroupRemoved": "no_group",
    "TaskPlacementGroupRemoved": "no_group",
    "ActorUnschedulableError": "unschedulable",
    "TaskUnschedulableError": "unschedulable",
    "RayActorError": "actor_died",
    "RuntimeEnvSetupError": "setup",
    "ObjectStoreFullError": "full",
    "OutOfDiskError": "disk",
    "OutOfMemoryError": "oom",
    "OwnerDiedError": "owner_died",
    "ObjectFreedError": "freed",
    "ObjectLostError": "lost",
}
#: How a text of Ray's begins to tell of a task that failed, or whose argument did.
_RAN = re.compile(r"^(?:ray\.exceptions\.\w+: )?ray::(.+?)(?:\(\))? \(pid=", re.MULTILINE)
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def record_of(error: BaseException, task: bytes, name: str, actor: bytes = b"") -> m.ErrorRecord:
    """Why there is no value for this task."""
    cause = getattr(error, "cause", None)
    kinds = [kind.__name__ for kind in type(error).__mro__]
    if "RayTaskError" in kinds:
        if isinstance(cause, Failure):
            return _own(cause.record, task, name, str(error))
        if isinstance(cause, BaseException):
            if kind_of(cause):  # what it needed could not be had
                record = record_of(cause, b"", name, actor)
                if record.kind == "cancelled":  # while it ran: where, no one saw
                    said = f"ray.exceptions.TaskCancelledError: {record.message}"
                    return msgspec.structs.replace(record, text=said)
                return msgspec.structs.replace(record, via=(*record.via, name))
            return _foreign(error, cause, task, name)
    elif isinstance(error, Failure):
        return _own(error.record, task, name, "")
    kind = kind_of(error) or "system"
    text = _COLOURS.sub("", str(error)).strip()
    if kind == "cancelled":
        text = f"the task {name} was cancelled" if name else ""
    if kind == "actor_unavailable":  # which is said again
        text = text.replace("The task may or may not have been executed on the actor.", "").strip()
    return m.ErrorRecord(kind, text, name, task=task, actor=actor, cause_repr=type(error).__name__)


def kind_of(error: BaseException) -> str:
    """Our kind of one of Ray's own errors, "" for any other exception."""
    return next((_KINDS[k.__name__] for k in type(error).__mro__ if k.__name__ in _KINDS), "")


def _own(data: bytes, task: bytes, name: str, text: str) -> m.ErrorRecord:
    record = msgspec.msgpack.decode(data, type=m.ErrorRecord)
    if task and record.task and record.task != task:
        between = _RAN.findall(_COLOURS.sub("", text))[
            1:-1
        ]  # `name` is first, the task that failed last
        return msgspec.structs.replace(record, via=(*record.via, *reversed(between), name))
    return record


def _foreign(error: Any, cause: BaseException, task: bytes, name: str) -> m.ErrorRecord:
    """What was raised on the cluster where none of our code could catch it."""
    try:
        data = serialize(cause).to_bytes()
    except Exception:
        data = b""
    text = _COLOURS.sub("", str(getattr(error, "traceback_str", error)))
    return m.ErrorRecord(
        "task", name=name, pid=getattr(error, "pid", 0) or 0, text=text, cause=data,
        cause_repr=repr(cause), task=task,
    )  # fmt: skip


def encoded(error: BaseException, task: bytes, name: str, actor: bytes = b"") -> bytes:
    return encode_one(record_of(error, task, name, actor))


def buried(data: bytes) -> bytes:
    """What an actor's constructor failed with, as the error of a call to that actor."""
    record = msgspec.msgpack.decode(data, type=m.ErrorRecord)
    text = "The actor died because of an error raised in its creation task"
    return encode_one(msgspec.structs.replace(record, kind="actor_died", message=text))
