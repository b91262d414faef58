"""Remote functions: what `@ray.remote` makes of a function."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from raykernel import options as opts
from raykernel import redefinition
from raykernel.calling import Signature, full_name, pack
from raykernel.exported import Exported
from raykernel.generators import ObjectRefGenerator
from raykernel.refs import ObjectRef
from raykernel.runtime import context
from raykernel.runtime import messages as m
from raykernel.runtime.connection import Connection
from raykernel.runtime.ids import FIRST_RETURN, return_id


class Prepared:
    """Options worked out once: what a submission copies into its spec."""

    __slots__ = ("extra", "name", "placed", "resources", "retries", "returns")

    def __init__(self, options: dict[str, Any], name: str, is_generator: bool) -> None:
        self.name = options.get("name") or name
        self.resources = opts.demand(options, 1)
        self.retries = opts.max_retries(options.get("max_retries"))
        self.returns = opts.returns(options.get("num_returns"), is_generator)
        self.extra = opts.task_extra(options)
        self.placed = opts.placed(options, self.resources, self.name)


class RemoteFunction:
    """A function that runs as a task. Call it with `.remote(...)`, which returns at once.

    `.options(...)` gives the same function with other options.
    """

    def __init__(self, function: Callable[..., Any], options: dict[str, Any]) -> None:
        if inspect.iscoroutinefunction(function):
            raise ValueError(
                f"'async def' should not be used for remote tasks ({function.__name__}). Wrap the "
                "coroutine with `asyncio.run` in a plain function, or make it a method of an "
                "actor class."
            )
        opts.check(options, opts.TASK_OPTIONS, "remote functions")
        is_generator = any(map(inspect.isgeneratorfunction, (function, inspect.unwrap(function))))
        self._function = function
        self._options = options
        self._is_generator = is_generator
        self._check_generator(options)
        self._full_name = full_name(function)
        self._prepared = Prepared(options, function.__name__, is_generator)
        self._signature: Signature | None = None
        self._code = Exported(function)
        functools.update_wrapper(self, function)

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError(
            "Remote functions cannot be called directly. Instead of running "
            f"'{self._function.__name__}()', try '{self._function.__name__}.remote()'."
        )

    def remote(self, *args: Any, **kwargs: Any) -> Any:
        """Submit a task. Returns an ObjectRef, a list of them for num_returns > 1, None for 0, an
        ObjectRefGenerator for generators. Doesn't block.

        Raises TypeError for arguments that the function doesn't take or that can't be pickled.
        """
        return self._submit(args, kwargs, self._prepared)

    def options(self, **options: Any) -> FunctionWithOptions:
        """The function with these options instead of the ones it was decorated with."""
        opts.check(options, opts.TASK_OPTIONS, "remote functions", late=True)
        self._check_generator(options)
        merged = {**self._options, **options}
        return FunctionWithOptions(
            self, Prepared(merged, self._function.__name__, self._is_generator)
        )

    def _check_generator(self, options: dict[str, Any]) -> None:
        if options.get("num_returns") in ("dynamic", "streaming") and not self._is_generator:
            raise ValueError(
                f"num_returns={options['num_returns']!r} is for generator functions; "
                f"{self._function.__name__} doesn't yield"
            )

    def _remote(
        self, args: Any = None, kwargs: dict[str, Any] | None = None, **options: Any
    ) -> Any:
        chosen = self.options(**options) if options else self
        return chosen.remote(*(args or ()), **(kwargs or {}))

    def _submit(self, args: tuple[Any, ...], kwargs: dict[str, Any], how: Prepared) -> Any:
        engine = context.engine or _auto_init()
        client = engine.client
        signature = self._signature
        if signature is None:
            signature = self._signature = Signature(self._function)
        signature.check(args, kwargs)
        code = self._code
        if code.client is not client or code.watched or code.epoch != redefinition.epoch:
            code.send(client)
        packed = pack(client, self._full_name, args, kwargs)
        cell = context.current_cell()
        if cell != engine.hooked_cell:
            engine.submitting(cell)
        extra = how.extra
        if context.environment or context.captured:
            extra = opts.inherit(extra, how.placed)
        task = client.ids.task()
        # the refs come first: an interruption in between then drops them, and nothing is held
        if how.returns == 1:
            result = task + FIRST_RETURN
            refs: Any = ObjectRef(result, client)
            results: Sequence[bytes] = (result,)
        else:
            refs = make_refs(client, task, how.returns, how.extra)
            results = result_ids(task, how.returns)
        client.submit(
            m.TaskSpec(
                task,
                code.key,
                how.name,
                packed.args,
                packed.deps,
                packed.contained,
                how.returns,
                how.resources,
                cell,
                context.current_task(),
                how.retries,
                m.TASK,
                b"",
                "",
                packed.slots,
                packed.args_ref,
                extra,
            ),
            results,
        )
        if packed.args_ref:
            client.drop_ref(packed.args_ref)
        return refs

    def __getattr__(self, name: str) -> Any:
        hint = " (submit tasks that take each other's refs)" if name == "bind" else ""
        raise AttributeError(f"'RemoteFunction' object has no attribute {name!r}{hint}")

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_signature": None}

    def __repr__(self) -> str:
        return f"RemoteFunction({self._function.__module__}.{self._function.__qualname__})"

    def _repr_html_(self) -> str:
        from raykernel.reprs import function_html

        return function_html(self)


class FunctionWithOptions:
    """What `f.options(...)` returns."""

    def __init__(self, function: RemoteFunction, prepared: Prepared) -> None:
        self._remote_function = function
        self._prepared = prepared

    def remote(self, *args: Any, **kwargs: Any) -> Any:
        """See `RemoteFunction.remote`."""
        return self._remote_function._submit(args, kwargs, self._prepared)


def make_refs(client: Connection, task: bytes, returns: int, extra: m.TaskExtra | None) -> Any:
    """What a submission with other than one return value gives its caller."""
    if returns == m.STREAMING:
        watched = extra is not None and extra.backpressure > 0
        return ObjectRefGenerator(ObjectRef(return_id(task, 1), client), watched)
    if returns == 0:
        return None
    if returns == m.DYNAMIC or returns == 1:
        return ObjectRef(return_id(task, 1), client)
    return [ObjectRef(return_id(task, i), client) for i in range(1, returns + 1)]


def result_ids(task: bytes, returns: int) -> list[bytes]:
    """The objects a submission makes at once."""
    return [return_id(task, i) for i in range(1, (returns if returns >= 0 else 1) + 1)]


def _auto_init() -> Any:
    from raykernel import api

    return api.auto_init()
