"""A submission as Ray takes it: remote functions, actor classes, and options.

Every function of the user's becomes one Ray function around its pickled code, so that Ray sends it
to a worker once, as it does its own. A `TaskSpec` travels whole, as bytes; refs at top level travel
as Ray's own arguments, for which Ray waits, and those deeper inside in a dict before them.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from typing import Any

from raykernel.runtime import messages as m
from raykernel.runtime import resources
from raykernel.runtime.engines.ray_values import Retry

_CACHED = 2000


class NotOffered(ValueError):
    """Ray's scheduler has nothing for this."""

    def __init__(self, what: str) -> None:
        super().__init__(f"not offered on Ray: {what}")


class Code:
    """A function or class as it was registered."""

    __slots__ = ("made", "name", "nested", "payload")

    def __init__(self, name: str, payload: bytes, nested: Mapping[bytes, Any]) -> None:
        self.name = name
        self.payload = payload
        self.nested = dict(nested)
        self.made: dict[Any, Any] = {}  # Ray's remote functions of it


def runner(key: bytes, code: Code, streams: bool) -> Any:
    """The function that Ray runs. Cloudpickle takes it by value: it says by itself where the rest
    is to be found."""
    name, payload, nested = code.name, code.payload, code.nested

    if streams:

        def run(head: bytes, *deps: Any) -> Any:
            from raykernel.runtime.engines import ray_worker

            yield from ray_worker.stream(key, payload, nested, head, deps)
    else:

        def run(head: bytes, *deps: Any) -> Any:
            from raykernel.runtime.engines import ray_worker

            return ray_worker.run(key, payload, nested, head, deps)

    run.__name__ = run.__qualname__ = name
    return run


def actor_class(key: bytes, code: Code, is_async: bool) -> type:
    """The class that Ray makes an actor of, under the user's class's name."""
    from raykernel.runtime.engines import ray_hosts

    base = ray_hosts.AsyncHost if is_async else ray_hosts.Host
    body = {"code": (key, code.payload, code.nested), "__module__": "raykernel.actors"}
    return type(code.name, (base,), body)


class Options:
    """What a spec asks for, in Ray's words."""

    def __init__(self, ray: Any) -> None:
        self._ray = ray

    def task(self, spec: m.TaskSpec) -> dict[str, Any]:
        """Raises NotOffered."""
        made = self._demand(spec.resources)
        made["max_retries"] = spec.retries
        made["name"] = spec.name
        made["num_returns"] = self.returns(spec.returns)
        extra = spec.extra
        if extra is not None:
            self._place(extra, made)
            self._call(extra, made)
        return made

    def creation(self, spec: m.TaskSpec, actor: m.ActorOptions) -> dict[str, Any]:
        made: dict[str, Any] = {}
        if actor.keeps or spec.resources != resources.encode({"CPU": 1}):
            made = self._demand(actor.keeps)
        made["max_restarts"] = actor.max_restarts
        made["max_task_retries"] = actor.max_task_retries
        made["max_concurrency"] = actor.max_concurrency
        if actor.name:
            made["name"] = actor.name
            made["namespace"] = actor.namespace
        if actor.detached:
            made["lifetime"] = "detached"
        if actor.stream_cap:
            made["_actor_generator_backpressure_num_objects"] = actor.stream_cap
        assert spec.extra is not None
        self._place(spec.extra, made)
        return made

    def call(self, spec: m.TaskSpec) -> dict[str, Any]:
        made: dict[str, Any] = {
            "name": spec.name,
            "num_returns": self.returns(spec.returns),
            "max_task_retries": spec.retries,
        }
        if spec.extra is not None:
            self._call(spec.extra, made)
            if spec.extra.concurrency_group:
                made["concurrency_group"] = spec.extra.concurrency_group
        return made

    def returns(self, count: int) -> Any:
        return "streaming" if count == m.STREAMING else 1 if count == m.DYNAMIC else count

    def _call(self, extra: m.TaskExtra, made: dict[str, Any]) -> None:
        if extra.timeout:
            raise NotOffered("timeout= of a task. Use ray.get(ref, timeout=...) and ray.cancel")
        if extra.retry_exceptions:
            made["retry_exceptions"] = [Retry]
        if extra.backpressure:
            made["_generator_backpressure_num_objects"] = extra.backpressure

    def _place(self, extra: m.TaskExtra, made: dict[str, Any]) -> None:
        strategies = self._ray.util.scheduling_strategies
        if extra.group:
            made["scheduling_strategy"] = strategies.PlacementGroupSchedulingStrategy(
                self.group(extra.group), extra.bundle, extra.capture
            )
        elif extra.node:
            made["scheduling_strategy"] = strategies.NodeAffinitySchedulingStrategy(
                extra.node, soft=False
            )
        elif extra.strategy:
            made["scheduling_strategy"] = self._strategy(extra.strategy)
        if extra.env:
            made["runtime_env"] = environment(extra.env)

    def _strategy(self, text: str) -> Any:
        if text == "labels":
            raise NotOffered("NodeLabelSchedulingStrategy. Use resources={...} that nodes have")
        if not text.startswith("{"):
            return text
        strategies = self._ray.util.scheduling_strategies
        return strategies.NodeAffinitySchedulingStrategy(json.loads(text)["node"], soft=True)

    def group(self, group: bytes) -> Any:
        """Ray's placement group of this id: ours has the same."""
        ray = self._ray
        # Ray has a function of the module's name in its place
        groups = importlib.import_module(f"{ray.__name__}.util.placement_group")
        return groups.PlacementGroup(ray.PlacementGroupID(group))

    def _demand(self, text: str) -> dict[str, Any]:
        amounts = {name: n / resources.UNIT for name, n in resources.decode(text).items()}
        made: dict[str, Any] = {"num_cpus": _whole(amounts.pop("CPU", 0))}
        if "GPU" in amounts:
            made["num_gpus"] = _whole(amounts.pop("GPU"))
        if "memory" in amounts:
            made["memory"] = int(amounts.pop("memory"))
        for name in [name for name in amounts if name.startswith("accelerator_type:")]:
            made["accelerator_type"] = name.partition(":")[2]
            del amounts[name]
        amounts.pop("object_store_memory", None)
        if amounts:
            made["resources"] = {name: _whole(n) for name, n in amounts.items()}
        return made


def _whole(amount: float) -> float:
    return int(amount) if amount == int(amount) else amount


def environment(text: str) -> dict[str, Any]:
    """A canonical runtime environment as Ray's. Raises NotOffered: modules are named there by where
    they are, and here by where they can be imported from."""
    told = json.loads(text)
    if told.get("py_modules"):
        raise NotOffered(
            "py_modules of a single task or actor. Give them to ray.init(runtime_env=...)"
        )
    return dict(told)


class Cache:
    """Prepared functions and methods: `.options(...)` is dear, and seldom another one."""

    def __init__(self) -> None:
        self._made: dict[Any, Any] = {}

    def get(self, key: Any) -> Any:
        return self._made.get(key)

    def keep(self, key: Any, made: Any) -> Any:
        if len(self._made) >= _CACHED:
            self._made.clear()
        self._made[key] = made
        return made

    def forget(self, actor: bytes) -> None:
        for key in [key for key in list(self._made) if key[0] == actor]:
            self._made.pop(key, None)
