"""What handles know of an actor: its class's methods, how each is called and with which options."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from raykernel import options as opts
from raykernel.calling import Signature
from raykernel.runtime.serialize import deserialize, serialize

_EVERY_ACTOR = ("__ray_ready__", "__ray_call__", "__ray_terminate__")


def method(*args: Any, **options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Options for one method of an actor class: `@ray.method(num_returns=2)`.

    Takes num_returns, concurrency_group, max_task_retries, retry_exceptions; and timeout, the
    seconds that a call may run. Raises AssertionError for others, as Ray does; TypeError,
    ValueError for wrong values.
    """
    if len(args) == 1 and callable(args[0]) and not options:  # `@ray.method` alone
        return method()(args[0])
    if args:
        raise AssertionError(
            "The @ray.method decorator must be applied using no arguments or keyword arguments, "
            "such as '@ray.method(num_returns=2)'."
        )
    for name in options:
        if name not in opts.METHOD_OPTIONS:
            raise AssertionError(
                f"Unexpected keyword argument to @ray.method: '{name}'. The supported keyword "
                f"arguments are {sorted(n for n in opts.METHOD_OPTIONS if n[0] != '_')}"
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
        "stream_cap", "timeout",
    )  # fmt: skip

    def __init__(
        self, class_name: str, module: str, methods: dict[str, MethodInfo], retries: int,
        max_pending: int, stream_cap: int, definition: bytes = b"", timeout: float = 0.0,
    ) -> None:  # fmt: skip
        self.class_name = class_name
        self.module = module
        self.methods = methods
        self.retries = retries
        self.max_pending = max_pending  # -1: as many as you like
        self.stream_cap = stream_cap  # of all its streams together; 0: none
        self.definition = definition  # of its class, where that may be defined again: a digest
        self.timeout = timeout  # seconds a call may run unless it says otherwise; 0: any number
        self._pickled = b""

    def __reduce__(self) -> Any:
        if not self._pickled:
            state = (
                self.class_name, self.module, self.methods, self.retries, self.max_pending,
                self.stream_cap, self.definition, self.timeout,
            )  # fmt: skip
            self._pickled = serialize(state).to_bytes()
        return _load_meta, (self._pickled,)


@functools.lru_cache(maxsize=256)
def _load_meta(pickled: bytes) -> Meta:
    meta = Meta(*deserialize(pickled))
    meta._pickled = pickled
    return meta


def _own_dunder(name: str, member: Any) -> bool:
    """Whether it is one like `__call__` or `__len__`, and not one that every object has."""
    return inspect.isfunction(member) and name not in vars(object)


def methods_of(cls: type) -> dict[str, MethodInfo]:
    found = {}
    for name, member in inspect.getmembers(cls, callable):
        static = inspect.getattr_static(cls, name, None)
        bound = isinstance(static, staticmethod) or inspect.ismethod(member)
        if inspect.isroutine(member) and (not name.startswith("__") or _own_dunder(name, member)):
            found[name] = MethodInfo(name, member, bound)
    for name in _EVERY_ACTOR:
        found[name] = MethodInfo(name, None, False)
    return found
