"""The session of this process: how it starts and ends, and who hears of it.

`context.engine` is the session's engine: set by `init` in a driver, and before the first task in a
worker. A process forked from a driver has its parent's, and can't use it.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from raykernel import options as opts
from raykernel import plain_output, sessions
from raykernel.runtime import context, session
from raykernel.runtime.engines import launch
from raykernel.runtime.engines.base import ApiEngine, Engine
from raykernel.runtime_env import canonical

SessionCallback = Callable[["Engine | None"], None]

_callbacks: list[SessionCallback] = []
_driver_pid = 0
_session_context: RayContext | None = None
logger = logging.getLogger("raykernel")

_IGNORED = {
    "dashboard_host", "dashboard_port", "include_dashboard", "job_config", "labels",
    "configure_logging", "logging_level", "logging_format", "logging_config",
    "log_to_driver", "_temp_dir", "_system_config", "_memory", "_redis_password",
    "_node_ip_address", "_metrics_export_port", "_tracing_startup_hook",
    "_enable_object_reconstruction", "enable_resource_isolation",
}  # fmt: skip


class RayContext(Mapping[str, Any]):
    """What `init` returns: a mapping with the session's addresses, and a context manager that ends
    the session."""

    def __init__(self, engine: ApiEngine) -> None:
        self.address_info: dict[str, Any] = {
            **engine.addresses,
            "node_id": engine.node,
            "session_name": engine.session,
        }
        self.dashboard_url = str(engine.addresses["webui_url"] or "")
        self.python_version = ".".join(map(str, sys.version_info[:3]))

    def __getitem__(self, key: str) -> Any:
        return self.address_info[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.address_info)

    def __len__(self) -> int:
        return len(self.address_info)

    def __enter__(self) -> RayContext:
        return self

    def __exit__(self, *exc: object) -> None:
        self.disconnect()

    def disconnect(self) -> None:
        """End the session."""
        shutdown()

    def __repr__(self) -> str:
        return f"RayContext(session={self.address_info['session_name']!r})"

    def _repr_html_(self) -> str:
        from raykernel.reprs import session_html

        return session_html(self)


def init(
    address: str | None = None,
    *,
    num_cpus: int | None = None,
    num_gpus: int | None = None,
    resources: dict[str, float] | None = None,
    object_store_memory: int | None = None,
    namespace: str | None = None,
    ignore_reinit_error: bool = False,
    log_to_driver: bool = True,
    runtime_env: Mapping[str, Any] | None = None,
    object_spilling_directory: str | None = None,
    name: str | None = None,
    session_ttl: float | None = None,
    **others: Any,
) -> RayContext:
    """Start a session on this machine, or connect to one. Blocks until it answers, about 0.2 s.

    `address`: the name of a session that runs (or its `session.json`, or what its context has for
    "address") connects to it, as one more driver; so does the connection file of a `raykernel head`
    on another machine, and "ssh://user@host" starts one there. HOST:PORT, `ray://HOST:10001` or
    "auto" (the one of this machine) is a Ray cluster, which then runs the tasks (see
    engines/ray.py). "local" always starts a
    session here. Without an address a notebook whose session has outlived its kernel comes back to
    that; all others start one.

    `object_store_memory` is in bytes (default: 30 % of the machine's memory). Objects beyond it go
    to files, in the session's folder or in `object_spilling_directory`; that they don't is said as
    for Ray, by `_system_config={"automatic_object_spilling_enabled": False}`. `name` is the
    session's name, `session_ttl` the seconds it outlives its last driver (default 0; in a notebook
    with the extension loaded, what that is configured to).

    Raises RuntimeError if a session runs already (unless `ignore_reinit_error`) or a keyword is not
    known, ConnectionError if there is none at `address` or it can't be used, ValueError for options
    of a session to be started beside an `address`. Options of Ray that make no sense on one
    machine's engine (the dashboard's, the
    cluster's) are accepted and have no effect.
    """
    global _driver_pid, _session_context
    unknown = set(others) - _IGNORED
    if unknown:
        raise RuntimeError(f"Unknown keyword argument(s): {', '.join(sorted(unknown))}")
    if context.engine is not None and context.engine.client.closed:
        shutdown()  # that session is gone; what is left of it here goes too
    if context.engine is not None and not _forked():
        if ignore_reinit_error:
            logger.info("Calling ray.init() again after it has already been called.")
            assert _session_context is not None
            return _session_context
        raise RuntimeError(
            "Maybe you called ray.init twice by accident? This error can be suppressed by passing "
            "in 'ignore_reinit_error=True' or by calling 'ray.shutdown()' prior to 'ray.init()'."
        )
    if namespace is not None:
        opts._namespace("namespace", namespace)
    if not os.path.isabs(others.get("_temp_dir") or "/"):
        raise ValueError("temp_dir must be absolute path or None.")
    if session_ttl is not None and not 0 <= session_ttl < float("inf"):
        raise ValueError(f"session_ttl={session_ttl!r} is no number of seconds")
    asked = {
        "num_cpus": num_cpus, "num_gpus": num_gpus, "resources": resources, "name": name,
        "object_store_memory": object_store_memory, "session_ttl": session_ttl,
        "object_spilling_directory": object_spilling_directory,
        "_system_config": others.get("_system_config"),
    }  # fmt: skip
    total = _total(num_cpus, num_gpus, resources)
    on_ray = sessions.on_ray(address)
    environment = {} if on_ray else json.loads(canonical(runtime_env) or "{}")
    variables = environment.pop("env_vars", {})
    capacity = object_store_memory or session.default_capacity()
    if capacity < 1 << 20:
        raise ValueError(f"object_store_memory={capacity} is too small: it is in bytes")
    total["object_store_memory"] = int(capacity)
    engine: ApiEngine | None
    if on_ray:
        assert address is not None
        engine = sessions.connect_to_ray(address, asked, namespace or "", runtime_env)
    else:
        engine = sessions.connect(address, asked, namespace or "")
    if engine is None:
        try:
            engine = sessions.start(total, int(capacity), asked, namespace or "", variables)
        except (launch.StartFailed, session.SessionError, OSError) as error:
            raise RuntimeError(f"could not start a session: {error}") from None
    elif variables:  # its workers have others: a task brings its own
        environment, variables = {**environment, "env_vars": variables}, {}
    _driver_pid = os.getpid()
    context.engine = engine
    context.job_variables = variables
    context.environment = json.dumps(environment, sort_keys=True) if environment else ""
    _session_context = RayContext(engine)
    plain_output.attach(engine, log_to_driver)
    for callback in list(_callbacks):
        callback(engine)
    return _session_context


_DEFAULT_RESOURCES = {
    "CPU": "num_cpus", "GPU": "num_gpus", "memory": "_memory",
    "object_store_memory": "object_store_memory",
}  # fmt: skip


def _total(
    num_cpus: int | None, num_gpus: int | None, others: dict[str, float] | None
) -> dict[str, float]:
    for key in others or {}:
        assert key not in _DEFAULT_RESOURCES, (
            f"`{key}` cannot be a custom resource because it is one of the default resources "
            f"({', '.join(_DEFAULT_RESOURCES)}). Use `{_DEFAULT_RESOURCES[key]}` instead."
        )
    for key, amount in (others or {}).items():
        if amount < 0 or amount != int(amount):
            raise ValueError(
                "Resource quantities must be nonnegative whole numbers. Violated by "
                f"{key!r}: {amount}"
            )
    for label, n in (("num_cpus", num_cpus), ("num_gpus", num_gpus)):
        if n is not None and (isinstance(n, bool) or not isinstance(n, (int, float)) or n < 0):
            raise ValueError(f"{label} must be a non-negative number, not {n!r}")
    total: dict[str, float] = dict(others or {})
    total["CPU"] = _cpu_count() if num_cpus is None else num_cpus
    if num_gpus is None:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        num_gpus = len([d for d in visible.split(",") if d.strip()])
    if num_gpus:
        total["GPU"] = num_gpus
    total["memory"] = int(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * 0.7)
    total["node:127.0.0.1"] = total["node:__internal_head__"] = 1.0
    return total


def _cpu_count() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def shutdown(_exiting_interpreter: bool = False) -> None:
    """End the session, with all its processes and memory. Harmless if there is none.

    A session that another driver uses goes on, and so does one that this driver connected to by
    its address: then only the connection ends, and this driver's tasks with it.
    """
    part(end=True)


def _leave() -> None:
    """The program ends: what is to outlive it goes on."""
    part(end=context.engine is not None and not context.engine.lasting)


def part(end: bool) -> None:
    """End the connection, and with `end` the session if it is this driver's."""
    global _session_context
    running, context.engine = context.engine, None
    if running is None:
        return
    _session_context = None
    if _driver_pid != os.getpid():
        return
    for callback in list(_callbacks):
        callback(None)
    if end:
        running.shutdown()
    else:
        running.leave()
    context.environment, context.job_variables = "", {}


atexit.register(_leave)


def is_initialized() -> bool:
    """Whether a session runs, or this is code in one."""
    return context.engine is not None


def auto_init() -> ApiEngine:
    """The engine; starts a session if there is none."""
    if context.engine is None:
        init()
    return connected()


def connected() -> ApiEngine:
    """The engine this process is connected to; starts a session if there is none."""
    current: ApiEngine | None = context.engine
    if current is None:
        return auto_init()
    if _driver_pid and _forked():
        raise RuntimeError(
            "this process was forked from the one that started the session, and can't use its "
            "connection. Use ray tasks instead of a forked process, or call ray.shutdown() and "
            "ray.init() here for a session of its own."
        )
    return current


def _forked() -> bool:
    return bool(_driver_pid) and _driver_pid != os.getpid()


def engine() -> Engine | None:
    """The current session's engine, None if there is no session."""
    current: Engine | None = context.engine
    return current


def on_session(callback: SessionCallback) -> Callable[[], None]:
    """Call `callback` with the engine when a session starts and with None when it ends, in the
    thread that starts or ends it. Returns the function that removes it."""
    _callbacks.append(callback)

    def remove() -> None:
        if callback in _callbacks:
            _callbacks.remove(callback)

    return remove
