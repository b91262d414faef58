"""`ray.cancel` and `ray.kill`: tasks and actors that are to end."""

from __future__ import annotations

from typing import Any

from raykernel.actor import ActorHandle
from raykernel.generators import ObjectRefGenerator
from raykernel.lifetime import connected
from raykernel.refs import ObjectRef, counted
from raykernel.runtime import messages as m
from raykernel.runtime.connection import Connection


def cancel(ref: Any, *, force: bool = False, recursive: bool = True) -> None:
    """Cancel the task behind a ref (or a generator of refs).

    A waiting one never runs; a running one gets KeyboardInterrupt, or with `force` is killed. `get`
    then raises TaskCancelledError. Does nothing to a task that is done.
    """
    client: Connection = connected().client
    if isinstance(ref, ObjectRefGenerator):
        ref = ref._end
    if not isinstance(ref, ObjectRef):
        raise TypeError(
            "ray.cancel() only supported for object refs. For actors, try ray.kill(). Got: "
            f"{type(ref)}."
        )
    ref = counted(client, ref)
    if force:
        kind = client.query("task_kind", str, task=ref._id[:24])
        if kind == "call":
            raise ValueError(
                "force=True is not supported for actor tasks. Use ray.kill() to end the actor."
            )
    client.queue(m.Cancel(ref._id, force, recursive))
    client.flush()


def kill(actor: ActorHandle, *, no_restart: bool = True) -> None:
    """End an actor at once. With `no_restart=False` it may be restarted as its options say."""
    client: Connection = connected().client
    if not isinstance(actor, ActorHandle):
        raise ValueError(
            "ray.kill() only supported for actors. For tasks, try ray.cancel(). Got: "
            f"{type(actor)}."
        )
    if actor._client is not client:
        raise ValueError(f"{actor!r} is from a different cluster")
    client.queue(m.KillActor(actor._id, no_restart))
    client.flush()
