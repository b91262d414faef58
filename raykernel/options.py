"""Options of tasks and actors: which there are, what they may be, and what they come to.

Checked when they are given, at decoration or in `.options()`, with Ray's messages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from raykernel import runtime_env
from raykernel.placement import check_group, check_place, check_strategy, place_of, wish
from raykernel.runtime import context, resources
from raykernel.runtime import messages as m
from raykernel.runtime.serialize import serialize

Check = Callable[[str, Any], None]
_MAX_RETRIES = 3


def _of_type(*kinds: type, optional: bool = True) -> Check:
    names = [k.__name__ for k in kinds] + (["None"] if optional else [])

    def check(name: str, value: Any) -> None:
        if value is None and optional:
            return
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise TypeError(
                f"The type of keyword '{name}' must be {' or '.join(names)}, but received type "
                f"{type(value)}"
            )

    return check


def _count(infinite: bool = True) -> Check:
    is_int = _of_type(int)

    def check(name: str, value: Any) -> None:
        is_int(name, value)
        if value is None or value >= 0 or (infinite and value == -1):
            return
        if infinite:
            raise ValueError(
                f"The keyword '{name}' only accepts None, 0, -1 or a positive integer, where -1 "
                "represents infinity."
            )
        raise ValueError(f"The keyword '{name}' only accepts None, 0 or a positive integer.")

    return check


def _amount(name: str, value: Any) -> None:
    _of_type(int, float)(name, value)
    if value is None:
        return
    if value < 0:
        raise ValueError(f"The quantity of resource {name} cannot be negative")
    if value and int(value * resources.UNIT) == 0:
        raise ValueError(
            f"The precision of the fractional quantity of resource {name} cannot go beyond 0.0001"
        )


def _gpus(name: str, value: Any) -> None:
    _amount(name, value)
    if value is not None and value > 1 and value != int(value):
        raise ValueError(f"{name} above 1 must be a whole number, not {value}")


def _resources(name: str, value: Any) -> None:
    if value is None:
        return
    if not isinstance(value, dict):
        raise TypeError(
            f"The type of keyword '{name}' must be dict or None, but received type {type(value)}"
        )
    for key, amount in value.items():
        if key in {"CPU", "GPU", "memory", "object_store_memory"}:
            raise ValueError(
                "Use the 'num_cpus', 'num_gpus' and 'memory' keywords instead of "
                f"'{key}' in 'resources' keyword"
            )
        _amount(str(key), amount)


def _returns(name: str, value: Any) -> None:
    if value in ("dynamic", "streaming") or value is None:
        return
    _of_type(int, str)(name, value)
    if isinstance(value, str) or value < 0:
        raise ValueError(
            f"The keyword '{name}' only accepts None, a non-negative integer, 'dynamic' (for "
            f"generators) or 'streaming' (for generators), not {value!r}"
        )


def _retry_exceptions(name: str, value: Any) -> None:
    _of_type(bool, list, tuple, optional=False)(name, value)
    if not isinstance(value, bool) and not all(
        isinstance(kind, type) and issubclass(kind, Exception) for kind in value
    ):
        raise ValueError("retry_exceptions must be either a boolean or a list of exceptions")


def _lifetime(name: str, value: Any) -> None:
    _of_type(str)(name, value)
    if value not in (None, "detached", "non_detached"):
        raise ValueError(
            "actor `lifetime` argument must be one of 'detached', 'non_detached' and 'None'."
        )


def _seconds(name: str, value: Any) -> None:
    _of_type(int, float)(name, value)
    if value is not None and not 0 < value < float("inf"):
        raise ValueError(f"The keyword '{name}' only accepts None or seconds above 0.")


def _name(name: str, value: Any) -> None:
    _of_type(str)(name, value)
    if value == "":
        raise ValueError("Actor name cannot be an empty string.")


def _namespace(name: str, value: Any) -> None:
    _of_type(str)(name, value)
    if value == "":
        raise ValueError('"" is not a valid namespace. Pass None to not specify a namespace.')


def _groups(name: str, value: Any) -> None:
    if value is None:
        return
    if not isinstance(value, (dict, list)):
        raise TypeError(
            f"The type of keyword '{name}' must be dict, but received type {type(value)}"
        )
    if isinstance(value, dict):
        for group, n in value.items():
            if not isinstance(group, str) or not isinstance(n, int) or n < 1:
                raise ValueError(f"concurrency group {group!r} needs a number of at least 1")


def _environment(name: str, value: Any) -> None:
    _of_type(dict)(name, value)
    runtime_env.canonical(value, per_call=True)


def _not_for_tasks(name: str, value: Any) -> None:
    _of_type(int)(name, value)
    if value is not None:
        raise ValueError(f"Setting '{name}' is not implemented for tasks")


def _stream_cap(name: str, value: Any) -> None:
    _of_type(int)(name, value)
    if value is not None and value <= 0:
        raise ValueError(f"{name} must be > 0 to cap what an actor's streams hold; None for no cap")


_COMMON: dict[str, Check] = {
    "num_cpus": _amount,
    "num_gpus": _gpus,
    "memory": _amount,
    "resources": _resources,
    "accelerator_type": _of_type(str),
    "runtime_env": _environment,
    "scheduling_strategy": check_strategy,
    "fallback_strategy": _of_type(list),
    "placement_group": check_group,
    "placement_group_bundle_index": _of_type(int, optional=False),
    "placement_group_capture_child_tasks": _of_type(bool),
    "enable_task_events": _of_type(bool, optional=False),
    "_labels": _of_type(dict),
    "label_selector": _of_type(dict),
}
TASK_OPTIONS: dict[str, Check] = {
    **_COMMON,
    "num_returns": _returns,
    "max_retries": _count(),
    "retry_exceptions": _retry_exceptions,
    "max_calls": _count(infinite=False),
    "name": _of_type(str),
    "object_store_memory": _not_for_tasks,
    "timeout": _seconds,
    "_generator_backpressure_num_objects": _count(),
}
ACTOR_OPTIONS: dict[str, Check] = {
    **_COMMON,
    "name": _name,
    "namespace": _namespace,
    "lifetime": _lifetime,
    "get_if_exists": _of_type(bool, optional=False),
    "max_restarts": _count(),
    "max_task_retries": _count(),
    "max_concurrency": _count(infinite=False),
    "object_store_memory": _count(infinite=False),
    "max_pending_calls": _count(),
    "_actor_generator_backpressure_num_objects": _stream_cap,
    "concurrency_groups": _groups,
    "allow_out_of_order_execution": _of_type(bool),
    "timeout": _seconds,
}
METHOD_OPTIONS: dict[str, Check] = {
    "num_returns": _returns,
    "max_task_retries": _count(),
    "retry_exceptions": _retry_exceptions,
    "concurrency_group": _of_type(str),
    "name": _of_type(str),
    "enable_task_events": _of_type(bool),
    "timeout": _seconds,
    "_generator_backpressure_num_objects": _count(),
}


def check(
    options: Mapping[str, Any], allowed: Mapping[str, Check], what: str, late: bool = False
) -> None:
    """Check each option. `late`: they are given in `.options()`, where some are not allowed.

    Raises ValueError for an unknown one, TypeError or ValueError.
    """
    for name, value in options.items():
        rule = allowed.get(name)
        if rule is None:
            raise ValueError(
                f"Invalid option keyword {name} for {what}. Valid ones are "
                f"{sorted(n for n in allowed if not n.startswith('_'))}."
            )
        rule(name, value)
        if late and name in ("max_calls", "concurrency_groups"):
            raise ValueError(f"Setting '{name}' is not supported in '.options()'.")
    if options.get("_generator_backpressure_num_objects") == 0:
        raise ValueError("_generator_backpressure_num_objects=0 is not allowed; use -1 for none")
    if options.get("get_if_exists") and not options.get("name"):
        raise ValueError("The actor name must be specified to use `get_if_exists`.")


def inherit(extra: m.TaskExtra | None, placed: bool) -> m.TaskExtra:
    """A task's rarer options with what it inherits where it is submitted: the runtime environment,
    and the placement group of a task that captures its children unless it is `placed` itself."""
    extra = extra or m.TaskExtra()
    env = runtime_env.merged(context.environment, extra.env)
    if placed or not context.captured:
        return msgspec.structs.replace(extra, env=env)
    return msgspec.structs.replace(extra, env=env, group=context.captured, capture=True)


def placed(options: Mapping[str, Any], needs: str, what: str) -> bool:
    """Whether the options say where to run. Raises ValueError if it can never fit there."""
    check_place(options, needs, what)
    return place_of(options).said


def demand(options: Mapping[str, Any], default_cpus: float) -> str:
    """The resources that options ask for, as canonical text."""
    amounts: dict[str, float] = dict(options.get("resources") or {})
    cpus = options.get("num_cpus")
    amounts["CPU"] = default_cpus if cpus is None else cpus
    if options.get("num_gpus"):
        amounts["GPU"] = options["num_gpus"]
    if options.get("memory"):
        amounts["memory"] = options["memory"]
    if options.get("accelerator_type"):
        amounts[f"accelerator_type:{options['accelerator_type']}"] = 0.001
    return resources.encode(amounts)


def returns(value: Any, is_generator: bool) -> int:
    """`num_returns` as the wire says it."""
    if value is None:
        return m.STREAMING if is_generator else 1
    if value == "streaming":
        return m.STREAMING
    if value == "dynamic":
        return m.DYNAMIC
    return int(value)


def retry_on(value: Any) -> bytes:
    """`retry_exceptions` as the wire says it."""
    if not value:
        return b""
    if value is True:
        return b"*"
    return serialize(tuple(value)).to_bytes()


def task_extra(options: Mapping[str, Any]) -> m.TaskExtra | None:
    """The options few tasks use, None if none is set."""
    place = place_of(options)
    extra = m.TaskExtra(
        group=place.group.id.binary() if place.group is not None else b"",
        bundle=place.bundle,
        node=place.node,
        capture=place.capture,
        retry_exceptions=retry_on(options.get("retry_exceptions")),
        env=runtime_env.canonical(options.get("runtime_env"), per_call=True),
        max_calls=options.get("max_calls") or 0,
        concurrency_group=options.get("concurrency_group") or "",
        timeout=options.get("timeout") or 0.0,
        backpressure=max(0, options.get("_generator_backpressure_num_objects") or 0),
        strategy=wish(options),
    )
    return None if extra == m.TaskExtra() else extra


def max_retries(value: int | None) -> int:
    return _MAX_RETRIES if value is None else value
