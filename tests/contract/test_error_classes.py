"""Exact behaviours: the tree of error classes."""

from __future__ import annotations

from types import ModuleType

import pytest

TREE = [
    ("RayError", "Exception"),
    ("RayTaskError", "RayError"),
    ("TaskCancelledError", "RayError"),
    ("WorkerCrashedError", "RayError"),
    ("GetTimeoutError", "RayError"),
    ("GetTimeoutError", "TimeoutError"),
    ("PendingCallsLimitExceeded", "RayError"),
    ("ObjectLostError", "RayError"),
    ("OwnerDiedError", "ObjectLostError"),
    ("RayActorError", "RayError"),
    ("ActorDiedError", "RayActorError"),
    ("ActorUnavailableError", "RayActorError"),
    ("ActorAlreadyExistsError", "ValueError"),
    ("RuntimeEnvSetupError", "RayError"),
    ("ObjectStoreFullError", "RayError"),
    ("OutOfMemoryError", "RayError"),
    ("RaySystemError", "RayError"),
]


@pytest.mark.parametrize(("child", "parent"), TREE)
def test_who_descends_from_whom(engine: ModuleType, child: str, parent: str) -> None:
    import builtins

    found = getattr(engine.exceptions, parent, None) or getattr(builtins, parent)
    assert issubclass(getattr(engine.exceptions, child), found)


def test_a_ray_task_error_can_be_made_and_made_dual(engine: ModuleType) -> None:
    error = engine.exceptions.RayTaskError("f", "the traceback", ValueError("cause"))
    assert error.cause.args == ("cause",)
    dual = error.as_instanceof_cause()
    assert isinstance(dual, ValueError)
    assert isinstance(dual, engine.exceptions.RayTaskError)
    assert dual.cause is error.cause


def test_an_exception_with_args_of_its_own_stays_itself(engine: ModuleType) -> None:
    class Own(Exception):
        @property
        def args(self) -> tuple[str, ...]:  # type: ignore[override]
            return ("fixed",)

    dual = engine.exceptions.RayTaskError("f", "the traceback", Own()).as_instanceof_cause()
    assert isinstance(dual, Own)
