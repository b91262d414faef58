"""Where am I? What code can ask about the job, task, actor and process it runs in."""

from __future__ import annotations

import json
import warnings
from typing import Any

from raykernel import api, runtime_env
from raykernel.actor import ActorHandle
from raykernel.ids import ActorID, JobID, NodeID, TaskID
from raykernel.placement import PlacementGroupID
from raykernel.runtime import context, resources
from raykernel.runtime import messages as m
from raykernel.runtime.serialize import deserialize


class RuntimeContext:
    """Answers for the code that asks. Ids are hex, None where there is none."""

    # -- ids -----------------------------------------------------------------------------------

    def get_job_id(self) -> str:
        return str(api.connected().job)

    def get_node_id(self) -> str:
        return str(api.connected().node)

    def get_worker_id(self) -> str:
        """The id of this process, driver or worker."""
        return str(api.connected().client.id.hex())

    def get_session_name(self) -> str:
        return str(api.connected().session)

    def get_temp_dir(self) -> str:
        return str(api.connected().folder)

    def get_task_id(self) -> str | None:
        """The running task's id; an actor's call is a task too. None in a driver."""
        running = context.running()
        return running.spec.id.hex() if running is not None else None

    def get_task_name(self) -> str | None:
        """The running task's name: its option, or its function's, or "Class.method"."""
        running = context.running()
        if running is None:
            return None
        name = running.spec.name
        return f"{name}.__init__" if running.spec.kind == m.CREATION else name

    def get_task_function_name(self) -> str | None:
        """The running function's full name: with its module, and without a name option's."""
        running = context.running()
        return running.function_name() if running is not None else None

    def get_actor_id(self) -> str | None:
        creation = context.creation
        return creation.actor.hex() if creation is not None else None

    def get_actor_name(self) -> str | None:
        """The name of this actor, "" if it has none; None outside an actor."""
        options = _actor()
        return options.name if options is not None else None

    def get_placement_group_id(self) -> str | None:
        """The id of the placement group that the running task or actor is in."""
        running = context.running()
        return running.group.hex() or None if running is not None else None

    @property
    def current_placement_group_id(self) -> PlacementGroupID | None:
        _deprecated("placement_group")
        text = self.get_placement_group_id()
        return PlacementGroupID(bytes.fromhex(text)) if text else None

    def get_dashboard_url(self) -> str:
        """Empty: there is no dashboard."""
        return ""

    @property
    def job_id(self) -> JobID:
        _deprecated("job")
        return JobID(bytes.fromhex(self.get_job_id()))

    @property
    def node_id(self) -> NodeID:
        _deprecated("node")
        return NodeID(bytes.fromhex(self.get_node_id()))

    @property
    def task_id(self) -> TaskID | None:
        _deprecated("task")
        running = context.running()
        return TaskID(running.spec.id) if running is not None else None

    @property
    def actor_id(self) -> ActorID | None:
        _deprecated("actor")
        creation = context.creation
        return ActorID(creation.actor) if creation is not None else None

    def get(self) -> dict[str, Any]:
        """The ids and the namespace; what there is none of is left out."""
        ids = {
            "job_id": (JobID, self.get_job_id()), "node_id": (NodeID, self.get_node_id()),
            "task_id": (TaskID, self.get_task_id()), "actor_id": (ActorID, self.get_actor_id()),
        }  # fmt: skip
        found: dict[str, Any] = {
            key: kind.from_hex(text) for key, (kind, text) in ids.items() if text
        }
        return {**found, "namespace": self.namespace}

    # -- the actor -----------------------------------------------------------------------------

    @property
    def namespace(self) -> str:
        return str(api.connected().namespace)

    @property
    def was_current_actor_reconstructed(self) -> bool:
        """Whether this actor was restarted. Raises AssertionError outside an actor."""
        assert context.creation is not None, "this is for actors; here is none"
        found = api.connected().query("actor_state", actor=context.creation.actor)
        return bool(found["restarts"])

    @property
    def current_actor(self) -> ActorHandle:
        """A handle of this actor itself, which doesn't keep it alive. Raises RuntimeError outside
        an actor."""
        options = _actor()
        if options is None or context.creation is None:
            raise RuntimeError("This method is only available in an actor.")
        meta = deserialize(options.meta)
        return ActorHandle(context.creation.actor, meta, None, api.connected().client)

    # -- what it may use -----------------------------------------------------------------------

    def get_assigned_resources(self) -> dict[str, float]:
        """What the running task or actor holds, by name. Raises AssertionError in a driver."""
        running = context.running()
        assert running is not None, "This method is only available when the process is a worker."
        options = _actor()
        held = running.spec.resources if options is None else options.keeps
        return {name: resources.to_float(n) for name, n in resources.decode(held).items()}

    def get_accelerator_ids(self) -> dict[str, list[str]]:
        return {"GPU": [str(i) for i in api.get_gpu_ids()]}

    get_resource_ids = get_accelerator_ids

    def get_node_labels(self) -> dict[str, str]:
        return {"ray.io/node-id": self.get_node_id()}

    def get_runtime_env_string(self) -> str:
        """The runtime environment, job's and call's in one, as JSON."""
        variables = context.job_variables
        job = json.dumps({"env_vars": variables}, sort_keys=True) if variables else ""
        return runtime_env.merged(job, context.environment) or "{}"

    @property
    def runtime_env(self) -> runtime_env.RuntimeEnv:
        return runtime_env.RuntimeEnv.deserialize(self.get_runtime_env_string())

    @property
    def should_capture_child_tasks_in_placement_group(self) -> bool:
        """Whether tasks submitted here run in this one's group."""
        return bool(context.captured)

    @property
    def gcs_address(self) -> str:
        """Where the session's head listens, on a Ray cluster its GCS."""
        return str(api.connected().addresses["gcs_address"])

    def is_canceled(self) -> bool:
        """Whether somebody asked for the end of the running task."""
        running = context.running()
        if running is None:
            raise RuntimeError("This method is only available when the process is a worker.")
        options = _actor()
        if options is not None and options.is_async:
            raise RuntimeError("This method is not supported in an async actor.")
        return running.cancelled or (context.asked_to_end is not None and context.asked_to_end())


def _actor() -> m.ActorOptions | None:
    creation = context.creation
    return creation.extra.actor if creation is not None and creation.extra is not None else None


def _deprecated(what: str) -> None:
    warnings.warn(
        f"This API is deprecated in Ray. Use get_{what}_id() instead",
        DeprecationWarning,
        stacklevel=3,
    )


_context = RuntimeContext()


def get_runtime_context() -> RuntimeContext:
    """What can be asked about where this code runs. Starts a session if there is none."""
    api.auto_init()
    return _context


__all__ = ["JobID", "NodeID", "RuntimeContext", "TaskID", "get_runtime_context"]
