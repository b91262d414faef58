"""The contract's names are there, and what is not offered says so."""

from __future__ import annotations

from types import ModuleType

import pytest

NAMES = [
    "init",
    "shutdown",
    "is_initialized",
    "remote",
    "method",
    "get",
    "wait",
    "put",
    "cancel",
    "kill",
    "get_actor",
    "nodes",
    "cluster_resources",
    "available_resources",
    "timeline",
    "get_runtime_context",
    "get_gpu_ids",
    "ObjectRef",
    "ObjectRefGenerator",
    "DynamicObjectRefGenerator",
    "ActorID",
    "JobID",
    "NodeID",
    "TaskID",
    "actor",
    "exceptions",
    "runtime_env",
    "runtime_context",
    "cloudpickle",
    "util",
    "__version__",
]

ATTRIBUTES = [
    "actor.ActorHandle",
    "actor.ActorClass",
    "actor.exit_actor",
    "actor.ActorMethod",
    "runtime_env.RuntimeEnv",
    "runtime_context.RuntimeContext",
    "exceptions.RayError",
    "exceptions.NodeDiedError",
    "exceptions.LocalRayletDiedError",
    "exceptions.ObjectReconstructionFailedError",
    "exceptions.ObjectFetchTimedOutError",
    "exceptions.ActorHandleNotFoundError",
    "exceptions.StreamingGeneratorReplayInconsistentError",
    "exceptions.RpcError",
    "remote_function.RemoteFunction",
    "types.ObjectRef",
    "util.log_once",
    "util.debug.log_once",
    "util.state.list_placement_groups",
    "util.state.get_objects",
    "util.state.summarize_actors",
]


@pytest.mark.parametrize("name", NAMES)
def test_the_name_is_there(engine: ModuleType, name: str) -> None:
    __import__(f"{engine.__name__}.runtime_env")
    assert getattr(engine, name) is not None


@pytest.mark.parametrize("path", ATTRIBUTES)
def test_the_attribute_is_there(engine: ModuleType, path: str) -> None:
    module, _, name = path.rpartition(".")
    found = __import__(f"{engine.__name__}.{module}", fromlist=[name])
    assert getattr(found, name) is not None


def test_an_unknown_name_is_an_attribute_error(engine: ModuleType) -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        engine.no_such_name  # noqa: B018 - the access is the point


def test_handles_and_classes_are_of_the_named_types(ray: ModuleType) -> None:
    @ray.remote
    class Actor:
        pass

    @ray.remote
    def function() -> None:
        pass

    assert isinstance(function, ray.remote_function.RemoteFunction)
    assert isinstance(Actor, ray.actor.ActorClass)
    assert isinstance(Actor.remote(), ray.actor.ActorHandle)
    assert isinstance(ray.put(1), ray.ObjectRef)


def test_the_timeline_lists_what_ran(ray: ModuleType) -> None:
    @ray.remote
    def named_for_the_timeline() -> None:
        pass

    ray.get(named_for_the_timeline.remote())
    assert isinstance(ray.timeline(), list)


def test_what_is_to_be_said_once_is_said_once(engine: ModuleType) -> None:
    assert [engine.util.log_once("the contract's key") for _ in range(3)] == [True, False, False]
