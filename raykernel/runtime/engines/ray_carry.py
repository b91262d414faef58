"""Messages carried out with Ray: submissions, creations, cancellations, groups."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import msgspec

from raykernel.exceptions import ActorAlreadyExistsError, ActorDiedError
from raykernel.runtime import messages as m
from raykernel.runtime import resources
from raykernel.runtime.connection import RequestFailed
from raykernel.runtime.engines import ray_names
from raykernel.runtime.engines.ray_refs import Entry
from raykernel.runtime.engines.ray_submit import Cache, NotOffered, Options, actor_class, runner
from raykernel.runtime.engines.ray_values import Fault
from raykernel.runtime.ids import handle_id
from raykernel.runtime.wire import encode_one

if TYPE_CHECKING:
    from raykernel.runtime.engines.ray_client import RayClient


class Carrier:
    """A part of `RayClient`."""

    def __init__(self, client: RayClient) -> None:
        self._client = client
        self._ray = client.ray
        self._options = Options(client.ray)
        self._cache = Cache()
        self._groups: dict[bytes, set[str]] = {}  # the concurrency groups of actors made here

    # -- submissions -----------------------------------------------------------------------------

    def submit(self, spec: m.TaskSpec) -> Any:
        """Ray's reference of the result, or what stands for it. Raises NotOffered."""
        if spec.returns == m.STREAMING and self._ray.util.client.ray.is_connected():
            raise NotOffered(
                "generators that stream, through Ray's client. Connect to HOST:6379 instead of "
                "ray://, or use num_returns='dynamic'"
            )
        call = self._method(spec) if spec.kind == m.CALL else self._function(spec)
        return call.remote(*self._arguments(spec))

    def _arguments(self, spec: m.TaskSpec) -> list[Any]:
        refs = self._client.refs
        arguments: list[Any] = [encode_one(spec)]
        if spec.contained:  # each argument is dear: none that says nothing
            arguments.append(refs.of(spec.contained))
        for dep in spec.deps:
            entry = refs.get(dep)
            if entry is None:
                record = m.ErrorRecord("lost", f"nothing is known of object {dep.hex()} here")
                arguments.append(Fault(encode_one(record)))
            else:
                arguments.append(entry.ref)
        return arguments

    def _function(self, spec: m.TaskSpec) -> Any:
        key = (
            b"",
            spec.function,
            spec.name,
            spec.returns,
            spec.resources,
            spec.retries,
            spec.extra,
        )
        made = self._cache.get(key)
        if made is not None:
            return made
        code = self._client.codes[spec.function]
        streams = spec.returns == m.STREAMING
        calls = spec.extra.max_calls if spec.extra is not None else 0
        remote = code.made.get((streams, calls))
        if remote is None:
            function = runner(spec.function, code, streams)
            remote = code.made[streams, calls] = (
                self._ray.remote(max_calls=calls)(function) if calls else self._ray.remote(function)
            )
        return self._cache.keep(key, remote.options(**self._options.task(spec)))

    def _method(self, spec: m.TaskSpec) -> Any:
        key = (spec.actor, spec.name, spec.returns, spec.retries, spec.extra)
        made = self._cache.get(key)
        if made is not None:
            return made
        entry = self._client.actor(spec.actor)
        if entry is None:
            raise ActorDiedError("nothing is known of this actor here", spec.actor.hex())
        known = self._groups.get(spec.actor)
        group = spec.extra.concurrency_group if spec.extra is not None else ""
        if group and known is not None and group not in known:  # Ray's worker would die of it
            raise ValueError(
                f"{spec.name}: there is no concurrency group {group!r}; there are {sorted(known)}"
            )
        method = entry.ref.stream if spec.returns == m.STREAMING else entry.ref.call
        return self._cache.keep(key, method.options(**self._options.call(spec)))

    def create(self, spec: m.TaskSpec) -> None:
        """Raises ActorAlreadyExistsError, NotOffered."""
        assert spec.extra is not None
        assert spec.extra.actor is not None
        actor = spec.extra.actor
        client = self._client
        cls = actor_class(spec.function, client.codes[spec.function], actor.is_async)
        groups = (
            {"concurrency_groups": actor.concurrency_groups} if actor.concurrency_groups else {}
        )
        remote = self._ray.remote(**groups)(cls) if groups else self._ray.remote(cls)
        options = self._options.creation(spec, actor)
        try:
            handle = remote.options(**options).remote(*self._arguments(spec))
        except ValueError as error:
            if actor.name and "already" in str(error):
                raise ActorAlreadyExistsError(
                    f"The name {actor.name} (namespace={actor.namespace}) is already taken. Please "
                    "use a different name or get the existing actor using "
                    f"ray.get_actor('{actor.name}', namespace='{actor.namespace}')"
                ) from None
            raise
        self._groups[spec.actor] = set(actor.concurrency_groups)
        client.refs.new(handle_id(spec.actor), Entry(handle, 1, spec.name, spec.actor, "actor"))
        if actor.name:
            ray_names.enter(self._ray, handle, spec.actor, actor)

    def forget_actor(self, actor: bytes) -> None:
        self._cache.forget(actor)
        self._groups.pop(actor, None)

    # -- other messages --------------------------------------------------------------------------

    def carry(self, message: Any) -> None:
        client = self._client
        if isinstance(message, m.Cancel):
            stream = client.streams.get(message.object[:24])
            entry = client.refs.get(message.object)
            if stream is not None and stream.generator is not None:
                self.cancel(stream.generator, message.force, message.recursive)
            elif entry is not None:
                self.cancel(entry.ref, message.force, message.recursive)
        elif isinstance(message, m.KillActor):
            entry = client.actor(message.actor)
            if entry is not None:
                self._ray.kill(entry.ref, no_restart=message.no_restart)
                client.watch.killed(message.actor, message.no_restart)
        elif isinstance(message, m.DropStream):
            stream = client.streams.pop(message.task, None)
            if stream is not None:
                stream.drop(message.position)
        elif isinstance(message, m.RemoveGroup):
            self._ray.util.remove_placement_group(self._options.group(message.group))
        elif isinstance(message, m.PutObject):
            stored = Fault(message.value.data) if message.value.error else message.value.data
            client.put_stored(message.value.id, stored)
        elif isinstance(message, m.Release):
            for object_id in message.ids:
                client.refs.drop(object_id)
        elif isinstance(message, m.ReloadModules):
            raise NotOffered(
                "taking edited modules anew in workers. Pass them by "
                "runtime_env={'py_modules': [...]} of the tasks, or start the session again"
            )

    def cancel(self, ref: Any, force: bool, recursive: bool) -> None:
        with contextlib.suppress(TypeError):  # Ray's way to say that it is no task's
            self._ray.cancel(ref, force=force, recursive=recursive)

    def request(self, message: Any) -> bytes:
        if isinstance(message, m.CreateGroup):
            bundles = [
                {name: n / resources.UNIT for name, n in resources.decode(text).items()}
                for text in message.bundles
            ]
            try:
                group = self._ray.util.placement_group(
                    bundles, strategy=message.strategy, name=message.name,
                    lifetime="detached" if message.detached else None,
                )  # fmt: skip
            except Exception as error:
                raise RequestFailed(str(error)) from None
            return msgspec.msgpack.encode(group.id.binary())
        raise RequestFailed(f"not offered on Ray: {type(message).__name__}")
