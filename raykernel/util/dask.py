"""Dask's custom scheduler on tasks: `collection.compute(scheduler=ray_dask_get)`.

Each node of a Dask graph becomes a task, whose arguments are the refs of the nodes it depends on:
values stay in the object store, and a node runs as soon as those before it are done.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

import raykernel as ray
from raykernel.refs import ObjectRef

Key = Hashable


def ray_dask_get(
    dsk: Any,
    keys: Any,
    *,
    ray_remote_args: dict[str, Any] | None = None,
    **kwargs: Any,
) -> Any:
    """The values of `keys` (a key, or lists of keys to any depth) in the Dask graph `dsk`: a
    mapping, or a collection or expression that has one. Blocks.

    `ray_remote_args` are options of the tasks; other keywords, which Dask hands to whatever
    scheduler it uses, have no effect. Raises what a node raised, ImportError for a Dask older than
    2024.12, ValueError for a graph with a cycle.
    """
    try:
        from dask._task_spec import Alias, DataNode, convert_legacy_graph
    except ImportError as error:
        raise ImportError("ray_dask_get needs dask 2024.12 or later: pip install dask") from error

    graph = dsk.__dask_graph__() if hasattr(dsk, "__dask_graph__") else dsk
    nodes: Mapping[Key, Any] = convert_legacy_graph(dict(graph))
    task: Any = ray.remote(_run_node)
    options = ray_remote_args or {}
    refs: dict[Key, ObjectRef[Any]] = {}
    for key in _in_order(nodes, _flat(keys)):
        node = nodes[key]
        if isinstance(node, Alias):
            refs[key] = refs[node.target]
        elif isinstance(node, DataNode):
            refs[key] = ray.put(node())
        else:
            names = list(node.dependencies)
            named = task.options(**{"name": _name(key), **options})
            refs[key] = named.remote(node, names, *[refs[name] for name in names])
    wanted = {key: refs[key] for key in _flat(keys)}
    refs.clear()  # what is in between goes as soon as those that need it have it
    values = dict(zip(wanted, ray.get(list(wanted.values())), strict=True))
    return _packed(keys, values.__getitem__)


def enable_dask_on_ray(**config: Any) -> Any:
    """Make this Dask's scheduler for everything, until the returned context manager ends or
    `disable_dask_on_ray()` is called. Keywords are further settings of `dask.config.set`."""
    import dask

    return dask.config.set(scheduler=ray_dask_get, **config)


def disable_dask_on_ray() -> Any:
    """Give Dask its own default schedulers back."""
    import dask

    return dask.config.set(scheduler=None)


def _run_node(node: Callable[[dict[Key, Any]], Any], names: list[Key], *values: Any) -> Any:
    return node(dict(zip(names, values, strict=True)))


def _in_order(nodes: Mapping[Key, Any], wanted: Iterable[Key]) -> list[Key]:
    """What `wanted` needs, each key behind those it depends on. Raises ValueError for a cycle."""
    done: dict[Key, None] = {}
    under_way: set[Key] = set()
    stack = [(key, False) for key in wanted]
    while stack:
        key, expanded = stack.pop()
        if key in done:
            continue
        if expanded:
            done[key] = None
            under_way.discard(key)
            continue
        if key in under_way:
            raise ValueError(f"the graph has a cycle: {key!r} depends on itself")
        under_way.add(key)
        stack.append((key, True))
        stack += [(other, False) for other in nodes[key].dependencies if other not in done]
    return list(done)


def _flat(keys: Any) -> list[Key]:
    if isinstance(keys, list):
        return [key for part in keys for key in _flat(part)]
    return [keys]


def _packed(keys: Any, value: Callable[[Key], Any]) -> Any:
    if isinstance(keys, list):
        return tuple(_packed(part, value) for part in keys)
    return value(keys)


def _name(key: Key) -> str:
    """What people call a node: `sum-aggregate` for ("sum-aggregate-5f3a…", 0, 1)."""
    from dask.utils import key_split

    name: str = key_split(key)
    return name


__all__ = ["disable_dask_on_ray", "enable_dask_on_ray", "ray_dask_get"]
