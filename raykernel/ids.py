"""The ids that programs see: equal and hashable by their bytes."""

from __future__ import annotations

import os
from typing import Any

from raykernel.runtime import context


class BaseID:
    """An id of bytes; all ones stand for none."""

    __slots__ = ("_id",)
    _SIZE = 28

    def __init__(self, value: bytes) -> None:
        if len(value) != self._SIZE:
            raise ValueError(f"ID string needs to have length {self._SIZE}, got {len(value)}")
        self._id = value

    @classmethod
    def from_hex(cls, text: str) -> Any:
        return cls(bytes.fromhex(text))

    @classmethod
    def from_binary(cls, value: bytes) -> Any:
        return cls(value)

    def hex(self) -> str:
        return self._id.hex()

    def binary(self) -> bytes:
        return self._id

    @classmethod
    def nil(cls) -> Any:
        return cls(b"\xff" * cls._SIZE)

    @classmethod
    def from_random(cls) -> Any:
        """An id that stands for nothing."""
        return cls(os.urandom(cls._SIZE))

    @classmethod
    def size(cls) -> int:
        return cls._SIZE

    def is_nil(self) -> bool:
        return not self._id.strip(b"\xff")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self._id == other._id

    def __hash__(self) -> int:
        return hash(self._id)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._id.hex()})"


class JobID(BaseID):
    """A driver's id in its session."""

    _SIZE = 4

    @classmethod
    def from_int(cls, value: int) -> JobID:
        return cls(value.to_bytes(cls._SIZE, "big"))

    def int(self) -> int:
        return int.from_bytes(self._id, "big")


def current_job() -> JobID:
    """The job that this process works for; nil without a session."""
    job = context.engine.job if context.engine is not None else "ff" * JobID._SIZE
    return JobID(bytes.fromhex(job))


class ActorID(BaseID):
    """An actor's id."""

    _SIZE = 16

    @property
    def job_id(self) -> JobID:
        return current_job()


class NodeID(BaseID):
    """A machine's id in its session."""


class TaskID(BaseID):
    """A task's id."""

    _SIZE = 24

    def job_id(self) -> JobID:
        return current_job()

    def actor_id(self) -> ActorID:
        """The actor that the task makes or calls; nil for others, and for what is forgotten."""
        engine = context.engine
        found = engine.query("tasks", cell="") if engine is not None else ()
        actor = next((one.actor for one in found if one.id == self.hex()), "")
        return ActorID(bytes.fromhex(actor)) if actor else ActorID.nil()


class WorkerID(BaseID):
    """A process's id in its session."""

    _SIZE = 16


__all__ = [
    "ActorID",
    "BaseID",
    "JobID",
    "NodeID",
    "TaskID",
    "WorkerID",
    "current_job",
]
