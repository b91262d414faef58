"""Ray's exceptions; raised.py makes them of errors that travelled.

Every error of the runtime derives from `RayError`. What a task raised comes back as a
`RayTaskError` that is also an instance of the user's own class, so that `except ValueError` and
`except RayTaskError` both catch it; its text shows the user's frames in the worker and nothing of
the engine.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from typing import Any

from raykernel.error_words import SHOWN_MODULE, through

if sys.version_info < (3, 11):  # pragma: no cover
    BaseExceptionGroup = ()


#: Set by the notebook layer: an error as IPython is to show it, in lines.
renderer: Callable[[BaseException], list[str]] | None = None


class RayError(Exception):
    """Root of all errors of the runtime."""

    @property
    def _render_traceback_(self) -> Callable[[], list[str]]:
        """What IPython calls if it is there."""
        show = renderer
        if show is None:
            raise AttributeError("_render_traceback_")
        return lambda: show(self)


class RaySystemError(RayError):
    """The session itself broke: its head is gone, or a message could not be understood."""

    def __init__(self, client_exc: object = "", traceback_str: str | None = None) -> None:
        super().__init__(client_exc)
        self.client_exc = client_exc
        self.traceback_str = traceback_str

    def __str__(self) -> str:
        return f"System error: {self.client_exc}"


class TaskCancelledError(RayError):
    """The task was cancelled, or needs the result of one that was."""

    def __init__(self, task_id: Any = None, error_message: str | None = None) -> None:
        super().__init__(error_message or "This task or its dependency was cancelled")
        self.task_id = task_id


class GetTimeoutError(RayError, TimeoutError):
    """`get` ran out of time, and the tasks go on; or the task did, and was cancelled."""


class WorkerCrashedError(RayError):
    """The worker died while it ran the task, and no retry was left."""

    def __init__(
        self, message: str = "The worker died unexpectedly while executing this task."
    ) -> None:
        super().__init__(message)


class RuntimeEnvSetupError(RayError):
    """A worker could not be prepared as its runtime environment asks."""


class TaskPlacementGroupRemoved(RayError):
    """The placement group the task was to run in was removed."""


class ActorPlacementGroupRemoved(RayError):
    """The placement group the actor was to run in was removed."""


class TaskUnschedulableError(RayError):
    """There is no node on which the task may run."""


class ActorUnschedulableError(RayError):
    """There is no node on which the actor may live."""


class PendingCallsLimitExceeded(RayError):  # Ray's name
    """The actor has as many unfinished calls as `max_pending_calls` allows."""


class ObjectStoreFullError(RayError):
    """The object store has no room for the object."""


class OutOfDiskError(RayError):
    """There is no disk space left to spill objects to."""


class OutOfMemoryError(RayError):
    """The machine ran out of memory."""


class ObjectLostError(RayError):
    """The object is gone and can't be made again."""


class OwnerDiedError(ObjectLostError):
    """The process that owned the object died."""


class ReferenceCountingAssertionError(ObjectLostError, AssertionError):
    """The object was freed although something refers to it."""


class ObjectFreedError(ObjectLostError):
    """The object was freed on purpose."""


class ObjectFetchTimedOutError(ObjectLostError):
    """The object could not be fetched in time. Not raised on one machine."""


class ObjectReconstructionFailedError(ObjectLostError):
    """The object is gone, and making it again failed."""


class NodeDiedError(RayError):
    """The machine died. Not raised on one machine."""


class LocalRayletDiedError(RayError):
    """The session's head is gone; here that is a RaySystemError."""


class RpcError(RayError):
    """Processes could not speak with each other; here that is a RaySystemError."""

    def __init__(self, message: str = "", rpc_code: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.rpc_code = rpc_code


class AuthenticationError(RayError):
    """The session doesn't let this process in."""


class ObjectRefStreamEndOfStreamError(RayError):
    """The stream has no more items."""


class StreamingGeneratorReplayInconsistentError(RayError):
    """A retried generator made fewer items than before."""


class OufOfBandObjectRefSerializationException(RayError):  # Ray's name
    """A ref was pickled by hand where that is forbidden; here it is allowed."""


class UserCodeException(RayError):
    """What the user's code raised, of another language; here there is only Python."""


class PlasmaObjectNotAvailable(RayError):  # Ray's name
    """The object was not in the object store in time."""


class UnserializableException(RayError):
    """What the task raised was sent, but can't be made again from what was sent."""


class RayActorError(RayError):
    """The actor can't answer: it is dead, or not there at the moment."""

    base_error_msg = "The actor experienced an error before finishing this task."

    def __init__(
        self, message: str = "", actor_id: str | None = None, cause: BaseException | None = None
    ) -> None:
        super().__init__(message or self.base_error_msg)
        self.error_msg = message or self.base_error_msg
        self.actor_id = actor_id
        self.cause = cause

    def __reduce__(self) -> Any:
        return type(self), (self.error_msg, self.actor_id, self.cause)


class ActorDiedError(RayActorError):
    """The actor is dead and stays dead."""

    base_error_msg = "The actor died unexpectedly before finishing this task."


class ActorUnavailableError(RayActorError):
    """The actor's process is gone; the actor is being restarted."""

    base_error_msg = "The actor is temporarily unavailable."


class AsyncioActorExit(RayError):
    """Raised by `exit_actor` in an async actor."""


class ActorAlreadyExistsError(ValueError, RayError):
    """There is an actor of that name already."""


class ActorHandleNotFoundError(ValueError, RayError):
    """The handle is another session's."""


class ActorClassInheritanceException(TypeError):  # Ray's name
    """An actor class was subclassed; subclass the plain class instead."""


class CrossLanguageError(RayError):
    """Only Python here."""


class RayTaskError(RayError):
    """What a task raised.

    `cause` is the user's exception (a RayError if that can't be pickled), `traceback_str` the
    text of its traceback in the worker.
    """

    _trace = b""  # how it failed (runtime/traces.py), in an instance that came from a task
    _others = ""  # what else failed of what was asked for together

    def __init__(
        self,
        function_name: str,
        traceback_str: str,
        cause: BaseException,
        proctitle: str = "",
        pid: int = 0,
        ip: str = "127.0.0.1",
        actor_repr: str = "",
        actor_id: str | None = None,
        via: tuple[str, ...] = (),
    ) -> None:
        self.args = (function_name, traceback_str, cause, proctitle, pid, ip, actor_repr,
                     actor_id, via)  # fmt: skip
        self.function_name = function_name
        self.traceback_str = traceback_str
        self.cause = cause
        self.proctitle = proctitle
        self.pid = pid
        self.ip = ip
        self.actor_repr = actor_repr
        self.actor_id = actor_id
        self.via = via

    def __str__(self) -> str:
        where = [f"pid={self.pid}", f"ip={self.ip}"]
        if self.actor_id:
            where += [f"actor_id={self.actor_id}", f"repr={self.actor_repr}"]
        text = f"ray::{self.function_name}() ({', '.join(where)})\n{self.traceback_str}"
        text = through(self.via, "RayTaskError", text, self.pid, self.ip)
        return f"{text}\n{self._others}" if self._others else text

    def as_instanceof_cause(self) -> RayTaskError:
        """This error as an instance of both RayTaskError and the cause's class."""
        cause = self.cause
        kind = type(cause)
        if isinstance(cause, RayTaskError):
            return self
        if issubclass(RayTaskError, kind):
            return self
        try:
            made: RayTaskError = _dual(kind)(self)
        except Exception as error:
            warnings.warn(
                f"a task raised {kind.__qualname__}, which can't be subclassed ({error}): it is "
                "raised as a plain RayTaskError, whose .cause is the exception",
                stacklevel=2,
            )
            return self
        return made


_duals: dict[type, type] = {}
_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: a class made by a `class` statement


def _dual(kind: type) -> type:
    """The class that is a RayTaskError and a `kind`."""
    made = _duals.get(kind)
    if made is not None:
        return made
    group = isinstance(BaseExceptionGroup, type) and issubclass(kind, BaseExceptionGroup)

    class Dual(RayTaskError, kind):  # type: ignore[misc]  # made for a class of the user's
        def __new__(cls, error: RayTaskError) -> Any:
            if group:
                cause: Any = error.cause
                make: Any = kind.__new__
                return make(cls, cause.message, cause.exceptions)
            # OSError and others have a layout of their own: ask the nearest class written in C
            plain: Any = next(c for c in kind.__mro__ if not c.__flags__ & _HEAP_TYPE)
            return plain.__new__(cls)

        def __init__(self, error: RayTaskError) -> None:
            RayTaskError.__init__(self, *error.args)
            self._error = error
            self._dual_args = (error.cause,)
            if "_trace" in error.__dict__:
                self._trace = error._trace

        # kept apart: the user's class may have an `args` of its own that can't be set
        @property
        def args(self) -> Any:
            return self._dual_args

        @args.setter
        def args(self, value: Any) -> None:
            self._dual_args = value

        def __getattr__(self, name: str) -> Any:
            if name in {"cause", "_error"}:
                raise AttributeError(name)
            return getattr(self.cause, name)

        def __str__(self) -> str:
            return RayTaskError.__str__(self)

        def __repr__(self) -> str:
            return f"{name}({self.cause!r})"

        def __reduce__(self) -> Any:
            return _remake, (self._error,)

        def as_instanceof_cause(self) -> RayTaskError:
            return self

    if group:
        Dual.derive = lambda self, excs: type(self.cause)(self.cause.message, excs)
    name = f"RayTaskError({kind.__name__})"
    Dual.__name__ = Dual.__qualname__ = name
    Dual.__module__ = SHOWN_MODULE
    _duals[kind] = Dual
    return Dual


def _remake(error: RayTaskError) -> RayTaskError:
    return error.as_instanceof_cause()
