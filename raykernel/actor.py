"""Actors: what `@ray.remote` makes of a class, and the handles to its instances."""

from __future__ import annotations

import contextlib
import functools
import inspect
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import msgspec

from raykernel import options as opts
from raykernel import redefinition
from raykernel.calling import Signature, full_name, pack
from raykernel.exceptions import (
    ActorAlreadyExistsError,
    ActorClassInheritanceException,
    AsyncioActorExit,
    PendingCallsLimitExceeded,
)
from raykernel.exported import Exported
from raykernel.ids import ActorID
from raykernel.refs import ObjectRef
from raykernel.remote import make_refs, result_ids
from raykernel.runtime import context, execute, resources
from raykernel.runtime import messages as m
from raykernel.runtime.connection import Connection
from raykernel.runtime.execute import exit_actor
from raykernel.runtime.ids import handle_id, return_id
from raykernel.runtime.serialize import deserialize, note_ref, serialize

_ASYNC_CONCURRENCY = 1000
_PLACE_OPTIONS = {
    "runtime_env", "scheduling_strategy", "placement_group", "placement_group_bundle_index",
    "placement_group_capture_child_tasks",
}  # fmt: skip
execute.asyncio_exit = AsyncioActorExit
_EVERY_ACTOR = ("__ray_ready__", "__ray_call__", "__ray_terminate__")


def method(*args: Any, **options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Options for one method of an actor class: `@ray.method(num_returns=2)`.

    Takes num_returns, concurrency_group, max_task_retries, retry_exceptions.
    """
    if args or not options:
        raise ValueError(
            "The @ray.method decorator must be applied with keyword arguments, such as "
            "'@ray.method(num_returns=2)'."
        )
    opts.check(options, opts.METHOD_OPTIONS, "methods")

    def annotate(function: Callable[..., Any]) -> Callable[..., Any]:
        function.__ray_method_options__ = options  # type: ignore[attr-defined]
        return function

    return annotate


class MethodInfo:
    """What a handle knows of a method: how to check and submit a call."""

    __slots__ = (
        "_function", "_signature", "extra", "invocation", "is_generator", "name", "options",
        "returns",
    )  # fmt: skip

    def __init__(self, name: str, function: Callable[..., Any] | None, static: bool) -> None:
        self.name = name
        self._function = function
        unwrapped = inspect.unwrap(function) if function is not None else None
        self.is_generator = inspect.isgeneratorfunction(unwrapped) or inspect.isasyncgenfunction(
            unwrapped
        )
        self.options: dict[str, Any] = getattr(function, "__ray_method_options__", {})
        #: Set by a decorator of the user's: what `.remote` does with its arguments.
        self.invocation: Any = getattr(function, "__ray_invocation_decorator__", None)
        self.returns = opts.returns(self.options.get("num_returns"), self.is_generator)
        self.extra = opts.task_extra(self.options)
        self._signature = Signature(function, skip_self=not static) if function else None

    def check(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self._signature is not None:
            self._signature.check(args, kwargs)

    def __getstate__(self) -> Any:
        return (
            self.name, self.is_generator, self.options, self.returns, self.extra, self._signature,
            self.invocation,
        )  # fmt: skip

    def __setstate__(self, state: Any) -> None:
        (
            self.name, self.is_generator, self.options, self.returns, self.extra, self._signature,
            self.invocation,
        ) = state  # fmt: skip
        self._function = None


class Meta:
    """What all handles to an actor share: its class's name and methods. Never changes.

    Its methods' signatures take far longer to pickle than the rest of a handle: that is done once,
    and who loads the same bytes again gets the same object.
    """

    __slots__ = (
        "_pickled", "class_name", "definition", "max_pending", "methods", "module", "retries",
        "stream_cap",
    )  # fmt: skip

    def __init__(
        self, class_name: str, module: str, methods: dict[str, MethodInfo], retries: int,
        max_pending: int, stream_cap: int, definition: bytes = b"",
    ) -> None:  # fmt: skip
        self.class_name = class_name
        self.module = module
        self.methods = methods
        self.retries = retries
        self.max_pending = max_pending  # -1: as many as you like
        self.stream_cap = stream_cap  # of all its streams together; 0: none
        self.definition = definition  # of its class, where that may be defined again: a digest
        self._pickled = b""

    def __reduce__(self) -> Any:
        if not self._pickled:
            state = (
                self.class_name, self.module, self.methods, self.retries, self.max_pending,
                self.stream_cap, self.definition,
            )  # fmt: skip
            self._pickled = serialize(state).to_bytes()
        return _load_meta, (self._pickled,)


@functools.lru_cache(maxsize=256)
def _load_meta(pickled: bytes) -> Meta:
    meta = Meta(*deserialize(pickled))
    meta._pickled = pickled
    return meta


def _methods(cls: type) -> dict[str, MethodInfo]:
    found = {}
    for name, member in inspect.getmembers(cls, callable):
        static = inspect.getattr_static(cls, name, None)
        bound = isinstance(static, staticmethod) or inspect.ismethod(member)
        if inspect.isroutine(member) and (not name.startswith("__") or name == "__call__"):
            found[name] = MethodInfo(name, member, bound)
    for name in _EVERY_ACTOR:
        found[name] = MethodInfo(name, None, False)
    return found


class ActorClass:
    """A class whose instances are actors. `.remote(...)` makes one and returns its handle."""

    def __init__(self, cls: type, options: dict[str, Any]) -> None:
        opts.check(options, opts.ACTOR_OPTIONS, "actors")
        self._cls = cls
        self._options = options
        self._metas: dict[tuple[int, int, int, bytes], Meta] = {}
        self._code = Exported(cls)
        functools.update_wrapper(self, cls, updated=())

    # looked at when they are needed: a class that refers to itself is not complete yet while its
    # ActorClass is unpickled

    @functools.cached_property
    def _methods(self) -> dict[str, MethodInfo]:
        return _methods(self._cls)

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
        retries = options.get("max_task_retries") or 0
        pending = options.get("max_pending_calls") or -1
        cap = options.get("_actor_generator_backpressure_num_objects") or 0
        definition = redefinition.digest(self._cls) if redefinition.epoch else b""
        what = (retries, pending, cap, definition)
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

    def _submit(
        self, engine: Any, actor_id: bytes, args: tuple[Any, ...], kwargs: dict[str, Any],
        options: dict[str, Any], meta: Meta, namespace: str,
    ) -> None:  # fmt: skip
        client: Connection = engine.client
        if self._code.client is not client or self._code.epoch != redefinition.epoch:
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


class ActorHandle:
    """A reference to an actor. `handle.method.remote(...)` calls a method and returns a ref.

    Handles can be passed to tasks and stored; the actor lives as long as there is one (handles
    from `get_actor` don't count). Calls from one process run in the order they were made.
    """

    def __init__(
        self, actor_id: bytes, meta: Meta, ref: ObjectRef[Any] | None, client: Connection
    ) -> None:
        self._id = actor_id
        self._meta = meta
        self._ref = ref
        self._client = client
        self._epoch = 0

    def __getattr__(self, name: str) -> ActorMethod:
        if name in {"_id", "_meta", "_ref", "_client"}:  # half-made, while it is unpickled
            raise AttributeError(name)
        info = self._meta.methods.get(name)
        if info is None:
            raise AttributeError(
                f"'{self._meta.class_name}' actor has no method '{name}'. Attributes of an actor "
                "can't be read from outside: add a method that returns them."
            )
        return ActorMethod(self, info)

    @property
    def _actor_id(self) -> ActorID:
        return ActorID(self._id)

    _ray_actor_id = _actor_id  # both of Ray's spellings are about

    def __dir__(self) -> list[str]:
        return ["__init__", *self._meta.methods]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ActorHandle) and self._id == other._id

    def __hash__(self) -> int:
        return hash(self._id)

    def __repr__(self) -> str:
        return f"Actor({self._meta.class_name}, {self._id.hex()})"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """IPython's text: with the state where it stands alone, not in a list of thousands."""
        from raykernel.reprs import actor_text

        printer.text(actor_text(self) if len(printer.stack) == 1 else repr(self))

    def _repr_html_(self) -> str:
        from raykernel.reprs import actor_html

        return actor_html(self)

    def __reduce__(self) -> Any:
        note_ref(handle_id(self._id))
        return _load_handle, (self._id, self._meta)


def _load_handle(actor_id: bytes, meta: Meta) -> ActorHandle:
    client = context.engine.client
    client.add_ref(handle_id(actor_id))
    return ActorHandle(actor_id, meta, ObjectRef(handle_id(actor_id), client), client)


class ActorMethod:
    """A method of an actor behind a handle."""

    __slots__ = ("_handle", "_info", "_options")

    def __init__(
        self, handle: ActorHandle, info: MethodInfo, options: dict[str, Any] | None = None
    ) -> None:
        self._handle = handle
        self._info = info
        self._options = options

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError(
            f"Actor methods cannot be called directly. Instead of running "
            f"'object.{self._info.name}()', try 'object.{self._info.name}.remote()'."
        )

    def options(self, **options: Any) -> ActorMethod:
        """The method with these options on top of its own."""
        opts.check(options, opts.METHOD_OPTIONS, "methods")
        return ActorMethod(self._handle, self._info, {**self._info.options, **options})

    def _remote(
        self, args: Any = None, kwargs: dict[str, Any] | None = None, **options: Any
    ) -> Any:
        chosen = self.options(**options) if options else self
        return chosen.remote(*(args or ()), **(kwargs or {}))

    def remote(self, *args: Any, **kwargs: Any) -> Any:
        """Call the method. Returns at once, as `RemoteFunction.remote` does."""
        if self._info.invocation is not None:
            return self._info.invocation(self._submit)(args, kwargs)
        return self._submit(args, kwargs)

    def _submit(self, args: Any, kwargs: dict[str, Any]) -> Any:
        handle, info = self._handle, self._info
        engine = context.engine
        client = handle._client
        if engine is None or engine.client is not client:
            raise ValueError(
                f"{handle!r} is from a different cluster: its session is over, or this process is "
                "not connected to it"
            )
        if handle._epoch != redefinition.epoch:
            handle._epoch = redefinition.epoch
            _notice_older_class(handle)
        info.check(args, kwargs)
        returns, extra, options = info.returns, info.extra, info.options
        if self._options is not None:
            options = self._options
            returns = opts.returns(options.get("num_returns"), info.is_generator)
            extra = opts.task_extra(options)
        if returns == m.STREAMING and handle._meta.stream_cap:
            extra = _capped(extra, handle._meta.stream_cap)
        retries = options.get("max_task_retries")
        name = options.get("name") or f"{handle._meta.class_name}.{info.name}"
        limit = handle._meta.max_pending
        nameless = False
        if limit > 0:
            _make_room(client, handle, limit)
            nameless = returns == 0
            returns = returns or 1  # it is by a result that its end is heard of
        packed = pack(client, name, args, kwargs)
        cell = context.current_cell()
        if cell != engine.hooked_cell:
            engine.submitting(cell)
        task = client.ids.task()
        # the refs come first: an interruption in between then drops them, and nothing is held
        if returns == 1:
            result = task + b"\1\0\0\0"
            refs: Any = ObjectRef(result, client)
            results: Sequence[bytes] = (result,)
        else:
            refs = make_refs(client, task, returns, extra)
            results = result_ids(task, returns)
        client.submit(
            m.TaskSpec(
                task,
                b"",
                name,
                packed.args,
                packed.deps,
                packed.contained,
                returns,
                "",
                cell,
                context.current_task(),
                handle._meta.retries if retries is None else retries,
                m.CALL,
                handle._id,
                info.name,
                packed.slots,
                packed.args_ref,
                extra,
            ),
            results,
        )
        if packed.args_ref:
            client.drop_ref(packed.args_ref)
        if limit > 0:
            _count_call(client, handle._id, task)
        return None if nameless else refs


_older: set[bytes] = set()  # actors of which the user was told


def _notice_older_class(handle: ActorHandle) -> None:
    """Say once of an actor that its class was defined again since."""
    meta = handle._meta
    if handle._id in _older or not redefinition.is_older(
        meta.class_name, meta.module, meta.definition
    ):
        return
    _older.add(handle._id)
    variable = redefinition.name_of(handle) or "actor"
    warnings.warn(
        f"{handle!r} was made from an earlier definition of {meta.class_name} and keeps to it. "
        f"For the one that holds now make another: "
        f"`ray.kill({variable}); {variable} = {meta.class_name}.remote(...)`.",
        stacklevel=4,
    )


def _capped(extra: m.TaskExtra | None, cap: int) -> m.TaskExtra:
    """A stream's options where all of its actor's streams share a cap: what is taken is told."""
    extra = extra or m.TaskExtra()
    return msgspec.structs.replace(extra, backpressure=min(extra.backpressure or cap, cap))


#: Calls of this process that are not over, by actor; only for actors with `max_pending_calls`.
_open_calls: dict[bytes, dict[bytes, ObjectRef[Any]]] = {}


def _make_room(client: Connection, handle: ActorHandle, limit: int) -> None:
    """Raises PendingCallsLimitExceeded if `limit` calls of this process are not over."""
    if len(_open_calls.get(handle._id, ())) >= limit:
        client.query("actor_state", actor=handle._id)  # answers on their way arrive before this one
        if len(_open_calls.get(handle._id, ())) >= limit:
            raise PendingCallsLimitExceeded(
                f"The task {handle._meta.class_name} could not be submitted because more than "
                f"{limit} tasks are queued on the actor. This limit can be adjusted with the "
                "`max_pending_calls` actor option."
            )


def _count_call(client: Connection, actor: bytes, task: bytes) -> None:
    """Count a call until its answer is there."""
    result = return_id(task, 1)
    client.add_ref(result)  # else nobody is told when it is over
    calls = _open_calls.setdefault(actor, {})
    calls[task] = ObjectRef(result, client)

    def over() -> None:
        calls.pop(task, None)

    client.when_ready(result, over)


__all__ = ["ActorClass", "ActorHandle", "ActorMethod", "exit_actor", "method"]
