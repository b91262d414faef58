"""Which session `init` gives a driver: one that runs, or one of its own.

A driver names the session it wants by its address. One that names none and is a notebook
(`context.home`) comes back to the notebook's session, if that has outlived the kernel; anybody
else gets a session of their own.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from raykernel.runtime import attach, context, session
from raykernel.runtime.attach import Build
from raykernel.runtime.engines import launch, local, ray_connect
from raykernel.runtime.engines.base import ApiEngine
from raykernel.runtime.remote.address import is_file
from raykernel.runtime.session import Home, SessionError, SessionInfo

logger = logging.getLogger("raykernel")


def start(
    total: dict[str, float], capacity: int, asked: Mapping[str, Any], namespace: str,
    variables: dict[str, str],
) -> local.LocalEngine:  # fmt: skip
    """Start a session. Raises StartFailed, SessionError, OSError."""
    home, ttl = _home()
    if asked["session_ttl"] is not None:
        ttl = float(asked["session_ttl"])
    engine = launch.start(
        total, capacity, name=asked["name"] or "", namespace=namespace or os.urandom(8).hex(),
        env=variables, ttl=ttl, home=home, version=_version(), spills=_spills(asked),
        spill_directory=asked["object_spilling_directory"],
    )  # fmt: skip
    slow = session.why_slow(Path(engine.client.welcome.arena), capacity)
    if slow:
        logger.warning(slow)
    return engine


def _spills(asked: Mapping[str, Any]) -> bool:
    """Whether objects may go to disk: Ray says so in its system configuration."""
    return bool((asked["_system_config"] or {}).get("automatic_object_spilling_enabled", True))


def connect(
    address: str | None, asked: Mapping[str, Any], namespace: str
) -> local.LocalEngine | None:
    """Connect to the session of this address, or to the notebook's own that has outlived its
    kernel. None if one is to be started.

    Raises ConnectionError, ValueError.
    """
    if address in (None, "auto"):
        found = _come_back(asked, namespace)
        if found is None and address is not None:
            raise ConnectionError(
                "init(address='auto'): there is no Ray cluster on this machine, and no session of "
                "this notebook's that has outlived its kernel. `ray start --head` starts the one; "
                "without an address a session is started here"
            )
        return found
    if address == "local":
        return None
    assert address is not None
    given = [name for name, value in asked.items() if value is not None]
    if given:
        raise ValueError(
            f"When connecting to an existing cluster, {', '.join(given)} must not be provided: "
            f"the session {address!r} has its own."
        )
    if address.startswith("ssh://") or is_file(address):
        return _far(address, namespace)
    try:
        info = _at(address)
        why = attach.mismatch(info, Build.mine(_version()), same_environment=False)
        if why:
            raise SessionError(
                f"{why} They can't read each other's functions: connect from the same versions, "
                f"or end it with `raykernel stop {info.name}` and start another"
            )
        engine = launch.join(info, namespace, owner=False)
    except SessionError as error:
        raise ConnectionError(f"init(address={address!r}): {error}") from None
    why = attach.mismatch(info, Build.mine(_version()), same_environment=True)
    if why:
        logger.warning("%s Packages may differ.", why)
    return engine


def on_ray(address: str | None) -> bool:
    """Whether this is where a Ray cluster is: `auto` is one that runs on this machine, if any."""
    return ray_connect.is_rays(address) or (address == "auto" and bool(ray_connect.current()))


def connect_to_ray(
    address: str, asked: Mapping[str, Any], namespace: str, runtime_env: Any
) -> ApiEngine:
    """Connect to a Ray cluster. Raises ConnectionError, ValueError."""
    given = [name for name, value in asked.items() if value is not None]
    if given:
        raise ValueError(
            f"When connecting to an existing cluster, {', '.join(given)} must not be provided: "
            f"the Ray cluster at {address} has its own."
        )
    from raykernel.runtime.engines import ray_driver  # which imports Ray

    return ray_driver.connect(address, namespace, runtime_env)


def _far(address: str, namespace: str) -> local.LocalEngine:
    """The session behind a `raykernel head`."""
    from raykernel.runtime.engines import remote  # zmq takes a moment
    from raykernel.runtime.remote.address import AddressError

    try:
        return remote.connect(address, namespace, Build.mine(_version()))
    except (AddressError, SessionError) as error:
        raise ConnectionError(f"init(address={address!r}): {error}") from None


def _come_back(asked: Mapping[str, Any], namespace: str) -> local.LocalEngine | None:
    home, _ = _home()
    if home == Home():
        return None
    info = attach.find(session.list_sessions(), home)
    if info is None or asked["name"] not in (None, info.name):
        return None
    why = attach.mismatch(info, Build.mine(_version()), same_environment=True)
    if why:
        logger.warning(
            "%s This notebook gets another session; `raykernel stop %s` ends the old one.",
            why, info.name,
        )  # fmt: skip
        return None
    try:
        engine = launch.join(info, namespace, owner=True)
    except SessionError:
        return None
    _tell_of_differences(engine, asked)
    return engine


def _tell_of_differences(engine: local.LocalEngine, asked: Mapping[str, Any]) -> None:
    """Options count when a session starts, and this one has been running."""
    total = engine.client.welcome.total
    have = {
        "num_cpus": total.get("CPU"),
        "num_gpus": total.get("GPU", 0),
        "object_store_memory": total.get("object_store_memory"),
    }
    differ = [f"{k}={n:g}" for k, n in have.items() if asked[k] is not None and asked[k] != n]
    if any(total.get(k) != n for k, n in (asked["resources"] or {}).items()):
        differ.append("resources")
    if differ:
        logger.warning(
            "Session %s has been running and keeps %s. To change that, end it first: `%%ray stop`, "
            "or ray.shutdown().",
            engine.session, ", ".join(differ),
        )  # fmt: skip


def _at(address: str) -> SessionInfo:
    """The living session of this address. Raises SessionError."""
    if "://" in address:
        raise SessionError(
            "raykernel's own engine finds sessions by name on this machine only (`raykernel "
            "sessions` lists them), and one on another by the connection file that `raykernel "
            "head` wrote there, or by ssh://user@host. Leave address out to start a session"
        )
    path = address.removeprefix("unix:")
    if path.startswith("/"):
        file = Path(path).with_name("session.json")
        info = session.read_file(file) if file.parent.parent == session.root() else None
        if info is None:
            raise SessionError(f"there is no session of yours at {path}")
    else:
        info = session.read(address)
    if not info.alive:
        raise SessionError(f"session {info.name} has ended; `raykernel sessions` lists what runs")
    return info


def _home() -> tuple[Home, float]:
    found = context.home() if context.home is not None else None
    return (Home(), 0.0) if found is None else found


def _version() -> str:
    import raykernel  # while this module is imported, that isn't complete

    return raykernel.__version__
