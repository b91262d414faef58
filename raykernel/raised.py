"""From the record of an error that travelled to the exception that is raised for it.

What a task raised becomes a RayTaskError that is an instance of the user's class too; all else
becomes one of Ray's exceptions, and where it failed a task on the way by being its argument, a
RayTaskError of that task.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec

from raykernel.error_words import SHOWN_MODULE, named_cells, sentence, through
from raykernel.exceptions import (
    ActorDiedError,
    ActorUnavailableError,
    ActorUnschedulableError,
    GetTimeoutError,
    ObjectFreedError,
    ObjectLostError,
    ObjectStoreFullError,
    OutOfDiskError,
    OutOfMemoryError,
    OwnerDiedError,
    RayError,
    RaySystemError,
    RayTaskError,
    RuntimeEnvSetupError,
    TaskCancelledError,
    TaskPlacementGroupRemoved,
    TaskUnschedulableError,
    UnserializableException,
    WorkerCrashedError,
)
from raykernel.runtime.messages import ErrorRecord
from raykernel.runtime.serialize import deserialize


def from_record(data: bytes) -> BaseException:
    """The exception to raise for an error value."""
    record = msgspec.msgpack.decode(data, type=ErrorRecord)
    if record.kind == "task":
        return _task_error(record).as_instanceof_cause()
    error = _error(record)
    if not record.via or record.kind == "cancelled" or isinstance(error, RayTaskError):
        return error
    text = through(record.via[:-1], type(error).__name__, str(error), record.pid, "127.0.0.1")
    text = (
        "  At least one of the input arguments for this task could not be computed:\n"
        f"{SHOWN_MODULE}.{'RayTaskError' if record.via[1:] else type(error).__name__}: {text}"
    )
    return RayTaskError(record.via[-1], text, error, "", record.pid).as_instanceof_cause()


def _error(record: ErrorRecord) -> RayError:
    """What is not a task's own exception."""
    if record.kind == "unreadable":
        text = str(_task_error(record))
        return UnserializableException(
            "Failed to deserialize exception. Refer to "
            "https://docs.ray.io/en/latest/ray-core/objects/serialization.html"
            "#custom-serializers-for-exceptions for more information.\nOriginal exception:\n"
            f"{SHOWN_MODULE}.RayTaskError: {text}"
        )
    actor = record.actor.hex() if record.actor else None
    if record.kind == "actor_died":
        if record.text:
            cause = _task_error(record)
            return ActorDiedError(f"{record.message}, {cause}", actor, cause)
        return ActorDiedError(_obituary(record), actor)
    if record.kind == "actor_unavailable":
        text = (
            f"The actor {actor} ({record.name}) is unavailable: {record.message} The task may or "
            "may not have been executed on the actor."
        )
        return ActorUnavailableError(text, actor)
    if record.kind == "cancelled":
        error = TaskCancelledError(record.task.hex() or None, sentence(record.message))
        return _ran(record, record.text, error).as_instanceof_cause() if record.text else error
    if record.kind == "timeout":
        late = GetTimeoutError(sentence(record.message))
        return _ran(record, record.text, late).as_instanceof_cause() if record.text else late
    if record.kind == "crashed":
        return WorkerCrashedError(sentence(record.message))
    if record.kind == "setup":
        return RuntimeEnvSetupError(sentence(record.message))
    if record.kind == "unschedulable":
        if record.actor:
            return ActorUnschedulableError(f"The actor is not schedulable: {record.message}")
        return TaskUnschedulableError(f"The task is not schedulable: {record.message}")
    if record.kind == "no_group":
        return TaskPlacementGroupRemoved(sentence(record.message))
    if record.kind == "full":
        return ObjectStoreFullError(sentence(record.message))
    if record.kind == "disk":
        return OutOfDiskError(sentence(record.message))
    if record.kind in _BY_MESSAGE:
        return _BY_MESSAGE[record.kind](sentence(record.message))
    return ObjectLostError(sentence(record.message))


#: What other engines know besides.
_BY_MESSAGE: dict[str, type[RayError]] = {
    "oom": OutOfMemoryError,
    "owner_died": OwnerDiedError,
    "freed": ObjectFreedError,
    "system": RaySystemError,
}


def _task_error(record: ErrorRecord) -> RayTaskError:
    cause: BaseException
    if record.cause:
        try:
            cause = deserialize(record.cause)
        except Exception as error:
            cause = RayError(
                f"The original cause of the RayTaskError ({record.cause_repr}) isn't "
                f"serializable: {error}"
            )
    else:
        cause = RayError(
            f"The original cause of the RayTaskError ({record.cause_repr}) isn't serializable."
        )
    if isinstance(cause, RayTaskError):  # it came out of a `get` in the task
        cause = cause.cause
    text = record.text.removeprefix("Traceback (most recent call last):\n")
    return _ran(record, text, cause)


def _ran(record: ErrorRecord, text: str, cause: BaseException) -> RayTaskError:
    """The error of a task that had begun to run."""
    error = RayTaskError(
        record.name, named_cells(text), cause, "", record.pid, "127.0.0.1", record.actor_repr,
        record.actor.hex() or None, record.via,
    )  # fmt: skip
    error._trace = record.trace
    return error


def tell_of_others(error: BaseException, failed: Iterable[bytes], asked: int) -> None:
    """Add to an error's text how many more failed of what was asked for together, and with what."""
    records = [msgspec.msgpack.decode(data, type=ErrorRecord) for data in failed]
    kinds = Counter((r.name, r.cause_repr.partition(":")[0] or _error_kind(r)) for r in records)
    if len(records) < 2:
        return
    rest = sum(n for _, n in kinds.most_common()[4:])
    parts = [f"{n:,} of {name} ({kind})" for (name, kind), n in kinds.most_common(4)]
    parts += [f"{rest:,} others"] if rest else []
    text = f"{len(records):,} of the {asked:,} tasks have failed so far: {', '.join(parts)}"
    if isinstance(error, RayTaskError):
        error._others = text
    elif error.args:
        error.args = (f"{error.args[0]}\n{text}", *error.args[1:])


def _error_kind(record: ErrorRecord) -> str:
    return record.kind.replace("_", " ")


def _obituary(record: ErrorRecord) -> str:
    lines = [f"class_name: {record.name}", f"actor_id: {record.actor.hex()}"]
    if record.pid:
        lines.append(f"pid: {record.pid}")
    about = "".join(f"\n\t{line}" for line in lines)
    return f"{ActorDiedError.base_error_msg}{about}\n{sentence(record.message)}"
