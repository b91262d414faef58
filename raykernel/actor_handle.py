"""Handles to actors, and the calls made through them.

Handles can be passed to tasks and stored. Each refers to the actor's handle object (runtime/ids.py)
as an ObjectRef does to its object, and the actor lives as long as somebody does; handles from
`get_actor`, and their copies wherever they get to, don't count. Calls from one process run in the
order they were made.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, NoReturn

import msgspec

from raykernel import options as opts
from raykernel import redefinition
from raykernel.actor_methods import Meta, MethodInfo
from raykernel.calling import pack
from raykernel.exceptions import PendingCallsLimitExceeded
from raykernel.ids import ActorID
from raykernel.refs import ObjectRef
from raykernel.remote import make_refs, result_ids
from raykernel.runtime import context
from raykernel.runtime import messages as m
from raykernel.runtime.connection import Connection
from raykernel.runtime.ids import FIRST_RETURN, handle_id, return_id
from raykernel.runtime.serialize import note_ref


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
                f"'ActorHandle' object has no attribute '{name}': the actor's class "
                f"{self._meta.class_name} has no such method. Attributes of an actor can't be read "
                "from outside: add a method that returns them."
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

    def __copy__(self) -> ActorHandle:
        return self

    def __deepcopy__(self, memo: Any) -> ActorHandle:
        return self

    def __reduce__(self) -> Any:
        if self._ref is None:  # what is made of a handle that doesn't count doesn't either
            return _load_weak, (self._id, self._meta, self._client.lend(self._id))
        if note_ref(handle_id(self._id)):
            return _load_handle, (self._id, self._meta)
        return _load_handle, (self._id, self._meta, self._client.hand_out(handle_id(self._id)))


# `found_by`: see `Connection.hand_out`.


def _load_weak(actor_id: bytes, meta: Meta, found_by: bytes = b"") -> ActorHandle:
    client = context.engine.client
    client.borrow(actor_id, found_by)
    return ActorHandle(actor_id, meta, None, client)


def _load_handle(actor_id: bytes, meta: Meta, found_by: bytes = b"") -> ActorHandle:
    client = context.engine.client
    client.take_in(handle_id(actor_id), found_by)
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
        if handle._meta.timeout and "timeout" not in options and info.name[:2] != "__":
            extra = msgspec.structs.replace(extra or m.TaskExtra(), timeout=handle._meta.timeout)
        retries = options.get("max_task_retries")
        name = options.get("name") or f"{handle._meta.class_name}.{info.name}"
        limit = handle._meta.max_pending
        nameless = False
        if limit > 0:
            _make_room(client, handle, name, limit)
            nameless = returns == 0
            returns = returns or 1  # it is by a result that its end is heard of
        packed = pack(client, name, args, kwargs)
        cell = context.current_cell()
        if cell != engine.hooked_cell:
            engine.submitting(cell)
        task = client.ids.task()
        # the refs come first: an interruption in between then drops them, and nothing is held
        if returns == 1:
            result = task + FIRST_RETURN
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


def _make_room(client: Connection, handle: ActorHandle, name: str, limit: int) -> None:
    """Raises PendingCallsLimitExceeded if `limit` calls of this process are not over."""
    if len(_open_calls.get(handle._id, ())) >= limit:
        client.query("actor_state", actor=handle._id)  # answers on their way arrive before this one
        if len(_open_calls.get(handle._id, ())) >= limit:
            raise PendingCallsLimitExceeded(
                f"The task {name} could not be submitted to {handle!r} because more than "
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
