"""Actor classes: what `@ray.remote` makes of a class, and how actors are made of that."""

from __future__ import annotations

import contextlib
import functools
import inspect
from typing import Any, NoReturn

import msgspec

from raykernel import options as opts
from raykernel import redefinition
from raykernel.actor_handle import ActorHandle, ActorMethod
from raykernel.actor_methods import Meta, MethodInfo, method, methods_of
from raykernel.calling import Signature, full_name, pack
from raykernel.exceptions import (
    ActorAlreadyExistsError,
    ActorClassInheritanceException,
    AsyncioActorExit,
)
from raykernel.exported import Exported
from raykernel.refs import ObjectRef
from raykernel.runtime import context, execute, resources
from raykernel.runtime import messages as m
from raykernel.runtime.connection import Connection
from raykernel.runtime.execute import exit_actor
from raykernel.runtime.ids import handle_id
from raykernel.runtime.serialize import serialize

_ASYNC_CONCURRENCY = 1000
_PLACE_OPTIONS = {
    "runtime_env", "scheduling_strategy", "placement_group", "placement_group_bundle_index",
    "placement_group_capture_child_tasks",
}  # fmt: skip
execute.asyncio_exit = AsyncioActorExit


class ActorClass:
    """A class whose instances are actors. `.remote(...)` makes one and returns its handle."""

    def __init__(self, cls: type, options: dict[str, Any]) -> None:
        opts.check(options, opts.ACTOR_OPTIONS, "actors")
        self._cls = cls
        self._options = options
        self._metas: dict[tuple[int, int, int, bytes, float], Meta] = {}
        self._code = Exported(cls)
        functools.update_wrapper(self, cls, updated=())

    # looked at when they are needed: a class that refers to itself is not complete yet while its
    # ActorClass is unpickled

    @functools.cached_property
    def _methods(self) -> dict[str, MethodInfo]:
        return methods_of(self._cls)

    @functools.cached_property
    def _signature(self) -> Signature | None:
        if inspect.getattr_static(self._cls, "__init__", None) is object.__init__:
            return None
        return Signature(self._cls.__init__, skip_self=True)  # type: ignore[misc]

    @functools.cached_property
    def _is_async(self) -> bool:
        return any(_is_async(f) for _, f in inspect.getmembers(self._cls, inspect.isroutine))

    def __getattr__(self, name: str) -> Any:
        """The plain class's attributes: constants, class methods and static methods."""
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._cls, name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *dir(self._cls)})

    def __init_subclass__(cls, **kwargs: Any) -> None:
        raise ActorClassInheritanceException("ActorClass can't be subclassed")

    def __mro_entries__(self, bases: tuple[Any, ...]) -> NoReturn:
        raise ActorClassInheritanceException(
            f"Attempted to define a subclass of the actor class {self._cls.__name__}. Inheriting "
            "from actor classes is not currently supported. Subclass the plain class, and "
            "decorate the subclass with @ray.remote."
        )

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError(
            f"Actors cannot be instantiated directly. Instead of '{self._cls.__name__}()', use "
            f"'{self._cls.__name__}.remote()'."
        )

    def remote(self, *args: Any, **kwargs: Any) -> ActorHandle:
        """Create an actor. Returns its handle at once; what its constructor raises comes with the
        first call, as ActorDiedError.

        Raises TypeError for arguments that the constructor doesn't take, ValueError for a name
        that is taken.
        """
        return self._create(args, kwargs, self._options)

    def options(self, **options: Any) -> ActorClassWithOptions:
        """The class with these options on top of its own."""
        return ActorClassWithOptions(self, self._merge(options))

    def _merge(self, options: dict[str, Any]) -> dict[str, Any]:
        merged = {**self._options, **options}
        opts.check(options, opts.ACTOR_OPTIONS, "actors", late=True)
        opts.check(merged, opts.ACTOR_OPTIONS, "actors")
        return merged

    def _remote(
        self, args: Any = None, kwargs: dict[str, Any] | None = None, **options: Any
    ) -> ActorHandle:
        return self._create(tuple(args or ()), kwargs or {}, self._merge(options))

    def _create(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], options: dict[str, Any]
    ) -> ActorHandle:
        from raykernel import api

        engine = context.engine or api.auto_init()
        client: Connection = engine.client
        name = self._cls.__name__
        if self._signature is not None:
            self._signature.check(args, kwargs)
        elif args or kwargs:
            raise TypeError(f"{name}() takes no arguments")
        self._check_calls(options)
        retries = options.get("max_task_retries") or 0
        pending = options.get("max_pending_calls") or -1
        cap = options.get("_actor_generator_backpressure_num_objects") or 0
        definition = redefinition.digest(self._cls) if redefinition.epoch else b""
        what = (retries, pending, cap, definition, options.get("timeout") or 0.0)
        meta = self._metas.get(what)
        if meta is None:
            meta = self._metas[what] = Meta(name, self._cls.__module__, self._methods, *what)
        actor_id = client.ids.actor()
        namespace = options.get("namespace") or engine.namespace
        actor_name = options.get("name") or ""
        while actor_name:
            owner = client.query(
                "claim_name", dict[str, bytes], namespace=namespace, name=actor_name,
                actor=actor_id,
            )  # fmt: skip
            if owner["actor"] == actor_id:
                break
            if not options.get("get_if_exists"):
                raise ActorAlreadyExistsError(
                    f"The name {actor_name} (namespace={namespace}) is already taken. Please use a "
                    "different name or get the existing actor using "
                    f"ray.get_actor('{actor_name}', namespace='{namespace}')"
                )
            with contextlib.suppress(ValueError):  # it has died meanwhile: its name is free
                return api.get_actor(actor_name, namespace)
        try:
            self._submit(engine, actor_id, args, kwargs, options, meta, namespace)
        except BaseException:
            if actor_name:
                client.query("unclaim_name", actor=actor_id)
            raise
        return ActorHandle(actor_id, meta, ObjectRef(handle_id(actor_id), client), client)

    def _check_calls(self, options: dict[str, Any]) -> None:
        """Raises what Ray raises where methods and options contradict each other."""
        groups = options.get("concurrency_groups") or {}
        for info in self._methods.values():
            group = info.options.get("concurrency_group")
            if group is not None and group not in groups:
                raise AssertionError(
                    f"The method {self._cls.__name__}.{info.name} is of the concurrency group "
                    f"{group!r}, which the actor doesn't have: it has {sorted(groups)}"
                )
        if options.get("allow_out_of_order_execution") is False and self._is_async:
            raise ValueError(
                f"{self._cls.__name__} has async methods, whose calls run at once: "
                "allow_out_of_order_execution=False is for actors without"
            )

    def _submit(
        self, engine: Any, actor_id: bytes, args: tuple[Any, ...], kwargs: dict[str, Any],
        options: dict[str, Any], meta: Meta, namespace: str,
    ) -> None:  # fmt: skip
        client: Connection = engine.client
        if self._code.client is not client or self._code.is_old():
            self._code.send(client)
        name = self._cls.__name__
        packed = pack(client, f"{full_name(self._cls)}.__init__", args, kwargs)
        groups = options.get("concurrency_groups") or {}
        concurrency = options.get("max_concurrency")
        if not concurrency:
            concurrency = _ASYNC_CONCURRENCY if self._is_async else 1
        restarts = options.get("max_restarts") or 0
        actor = m.ActorOptions(
            class_name=name,
            meta=serialize(meta).to_bytes(),
            name=options.get("name") or "",
            namespace=namespace,
            detached=options.get("lifetime") == "detached",
            max_restarts=restarts,
            max_concurrency=concurrency,
            concurrency_groups=groups if isinstance(groups, dict) else {},
            is_async=self._is_async,
            stream_cap=meta.stream_cap,
            out_of_order=self._is_async or concurrency > 1 or bool(groups)
            or bool(options.get("allow_out_of_order_execution")),
            keeps=opts.demand(options, 0),
            max_task_retries=meta.retries,
        )  # fmt: skip
        needs = _placing(options)
        placed = opts.placed(options, needs, self._cls.__qualname__)
        chosen = {key: value for key, value in options.items() if key in _PLACE_OPTIONS}
        extra = opts.inherit(opts.task_extra(chosen), placed)
        extra = msgspec.structs.replace(extra, actor=actor)
        cell = context.current_cell()
        if cell != engine.hooked_cell:
            engine.submitting(cell)
        client.post(
            m.TaskSpec(
                client.ids.task(),
                self._code.key,
                name,
                packed.args,
                packed.deps,
                packed.contained,
                0,
                needs,
                cell,
                context.current_task(),
                0,
                m.CREATION,
                actor_id,
                "",
                packed.slots,
                packed.args_ref,
                extra,
            )
        )
        if packed.args_ref:
            client.drop_ref(packed.args_ref)

    def __getstate__(self) -> dict[str, Any]:
        return {"code": self._code, "options": self._options}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._code = state["code"]
        ActorClass.__init__(self, self._code.thing, state["options"])
        self._code = state["code"]

    def __repr__(self) -> str:
        return f"ActorClass({self._cls.__name__})"

    def _repr_html_(self) -> str:
        from raykernel.reprs import class_html

        return class_html(self)


class ActorClassWithOptions:
    """What `Class.options(...)` returns."""

    def __init__(self, actor_class: ActorClass, options: dict[str, Any]) -> None:
        self._actor_class = actor_class
        self._options = options

    def remote(self, *args: Any, **kwargs: Any) -> ActorHandle:
        """See `ActorClass.remote`."""
        return self._actor_class._create(args, kwargs, self._options)


def _is_async(function: Any) -> bool:
    function = inspect.unwrap(function) if callable(function) else function
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)


def _placing(options: dict[str, Any]) -> str:
    """Resources an actor needs to be placed: one CPU unless it says otherwise."""
    asked = opts.demand(options, 0)
    if options.get("num_cpus") is None and not asked:
        return resources.encode({"CPU": 1})
    return asked


__all__ = ["ActorClass", "ActorHandle", "ActorMethod", "exit_actor", "method"]
