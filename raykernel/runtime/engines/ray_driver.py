"""How a driver comes to its Ray engine: connects to the cluster, and starts there what tells the
views.

What can be known before Ray is asked has been looked at by ray_connect.py; whatever fails leaves
no connection behind.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import time
from collections.abc import Mapping
from typing import Any

from raykernel.runtime import messages as m
from raykernel.runtime import settings
from raykernel.runtime.engines import ray_connect
from raykernel.runtime.engines.ray import RayEngine, module, welcome
from raykernel.runtime.engines.ray_client import RayClient
from raykernel.runtime.engines.ray_feed import Feed
from raykernel.runtime.engines.ray_notes import NAMESPACE
from raykernel.runtime.engines.ray_remains import RayShelf
from raykernel.runtime.engines.ray_watch import Watcher
from raykernel.runtime.events import BarInfo

_FEED_PATIENCE = 60.0  # for the first worker of a cluster that has to unpack what travels


class _Seen:
    """The driver's own submissions, for its table."""

    def __init__(self) -> None:
        self.engine: RayEngine | None = None

    def submitted(self, spec: m.TaskSpec, made: Any) -> None:
        engine = self.engine
        if engine is not None:
            if isinstance(made, list):
                made = made[0]
            engine.noted.note(spec, made, time.time())

    def killed(self, actor: bytes, for_good: bool) -> None:
        engine = self.engine
        if engine is not None and for_good:
            engine.dead_actors[actor.hex()] = "it was killed by ray.kill"

    def moved(self, bars: list[BarInfo]) -> None:
        pass


def connect(
    address: str, namespace: str, runtime_env: Mapping[str, Any] | None = None
) -> RayEngine:
    """Connect to a Ray cluster. Blocks until a worker there has answered.

    Raises ConnectionError, with what to do.
    """
    found = address == "auto"
    if found:
        address = ray_connect.current()
        if not address:
            raise ConnectionError(
                "no Ray cluster is known on this machine: `ray start --head` starts one, or give "
                "its HOST:PORT"
            )
    deadline = time.monotonic() + ray_connect.PATIENCE
    ray_connect.check_reachable(address)
    ray = module()
    if ray.is_initialized():
        raise ConnectionError(
            "Ray itself is connected to a cluster in this process: call ray.shutdown() of Ray first"
        )
    if address.startswith("ray://"):
        ray_connect.check_client(address, ray.__version__)
    else:
        _authenticate(found)
        try:
            told = ray_connect.within(
                max(2.0, deadline - time.monotonic()), lambda: _metadata(ray, address), address,
                "its version",
            )  # fmt: skip
        except ray.exceptions.RayError as error:
            raise ray_connect.refused(address, error) from None
        ray_connect.check_versions(address, told, ray.__version__)
    session = f"ray-{os.urandom(3).hex()}"
    namespace = namespace or os.urandom(8).hex()
    keeps = settings.options().keep_locals
    try:
        ray.init(
            address, namespace=namespace, log_to_driver=False, logging_level="error",
            runtime_env=ray_connect.environment(runtime_env, session, namespace, keeps),
        )  # fmt: skip
    except Exception as error:
        with contextlib.suppress(Exception):
            ray.shutdown()
        raise ray_connect.refused(address, error) from None
    try:
        return _attach(ray, address, session, namespace, keeps)
    except BaseException:
        with contextlib.suppress(Exception):
            ray.shutdown()
        raise


def _attach(ray: Any, address: str, session: str, namespace: str, keeps: bool) -> RayEngine:
    seen = _Seen()
    engine = RayEngine(
        ray, RayClient(ray, welcome(ray, session, namespace), seen), session, namespace, address,
        driver=True,
    )  # fmt: skip
    seen.engine = engine
    options = {"name": session, "namespace": NAMESPACE, "num_cpus": 0, "max_restarts": -1}
    feed = ray.remote(Feed).options(max_concurrency=1000, **options).remote()
    try:
        there = ray.get(feed.versions.remote(), timeout=_FEED_PATIENCE)
    except ray.exceptions.GetTimeoutError:
        raise ConnectionError(
            f"the Ray cluster at {address} gave raykernel no worker within {_FEED_PATIENCE:g} s: "
            "`ray status` tells what it is waiting for"
        ) from None
    except Exception as error:
        raise ConnectionError(
            f"raykernel does not run on the workers of the Ray cluster at {address}: {error}"
        ) from None
    for text in ray_connect.check_worker(address, there):
        engine.warn(text)
    engine.feed = feed
    engine.remains = RayShelf(engine, ray, keeps)
    engine.watcher = Watcher(engine, ray, feed)
    engine.watcher.start()
    atexit.register(engine.leave)  # before Ray's own end, which is registered already
    return engine


def _authenticate(found: bool) -> None:
    """Take up how this process is to show that it may connect, as Ray does at its start: a token
    that lies here goes unasked only to a cluster that was `found` here."""
    with contextlib.suppress(Exception):  # a Ray without tokens
        from ray._private.authentication import authentication_token_setup as tokens
        from ray._raylet import Config

        Config.initialize("")  # the environment may be another than when Ray was imported
        if found:
            tokens.maybe_enable_token_auth_if_token_available(warn_if_disabled=False)


def _metadata(ray: Any, address: str) -> dict[str, Any]:
    """What a cluster says of itself."""
    from ray._private import ray_constants

    data = ray._raylet.GcsClient(address=address).internal_kv_get(
        b"CLUSTER_METADATA", namespace=ray_constants.KV_NAMESPACE_CLUSTER
    )
    found: dict[str, Any] = json.loads(data or b"{}")
    return found
