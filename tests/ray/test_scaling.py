"""A Ray cluster with an autoscaler, and a token without which nobody gets in.

The autoscaler is Ray's own; the nodes it launches are of Ray's fake provider, on this machine.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

import raykernel
from raykernel import api
from raykernel.runtime.events import EventBatch
from raykernel.widgets import cluster_still
from raykernel.widgets.cluster_model import ClusterModel

_TOKEN = "f" * 64
_LISTS = (
    *("cluster_synced_files", "rsync_exclude", "rsync_filter", "initialization_commands"),
    *("setup_commands", "head_setup_commands", "worker_setup_commands"),
    *("head_start_ray_commands", "worker_start_ray_commands"),
)


def _until(check: Callable[[], Any], seconds: float = 90.0) -> Any:
    end = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.1)
    return found


def _listens(address: str) -> bool:
    host, _, port = address.partition(":")
    with contextlib.suppress(OSError):
        socket.create_connection((host, int(port)), 1).close()
        return True
    return False


def _end(process: subprocess.Popen[bytes], address: str) -> None:
    """The head, and the nodes that were launched, which are nobody's children."""
    found = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    for one in psutil.process_iter(["cmdline"]):
        if one.pid != os.getpid() and any(address in word for word in one.info["cmdline"] or ()):
            found.append(one)
    for one in found:
        with contextlib.suppress(psutil.Error):
            one.kill()
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("scaling")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    where = f"127.0.0.1:{port}"
    kinds = {"ray.head.default": ({"CPU": 1}, 0), "gold": ({"CPU": 2, "gold": 1}, 2)}
    config = {
        "cluster_name": "scaling", "max_workers": 2, "upscaling_speed": 1.0,
        "idle_timeout_minutes": 30, "head_node_type": "ray.head.default",
        "provider": {
            "type": "fake_multinode", "gcs_address": where, "disable_node_updaters": True,
        },
        "available_node_types": {
            kind: {"resources": has, "node_config": {}, "min_workers": 0, "max_workers": most}
            for kind, (has, most) in kinds.items()
        },
        "auth": {}, "docker": {}, "file_mounts": {}, "file_mounts_sync_continuously": False,
        **{name: [] for name in _LISTS},
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    more = {
        "AUTOSCALER_UPDATE_INTERVAL_S": "1", "RAY_FAKE_CLUSTER": "1",
        "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": _TOKEN,
    }  # fmt: skip
    with (folder / "written").open("wb") as written:
        process = subprocess.Popen(
            [
                str(Path(sys.executable).with_name("ray")), "start", "--head", "--block",
                "--node-ip-address=127.0.0.1", f"--port={port}", "--num-cpus=1",
                "--include-dashboard=false", f"--object-store-memory={100 * 2**20}",
                f"--autoscaling-config={folder / 'config.json'}",
            ],
            env={**os.environ, **more}, stdin=subprocess.DEVNULL, stdout=written,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        _until(lambda: _listens(where) or process.poll() is not None)
        assert process.poll() is None, (folder / "written").read_text()
        yield where
    finally:
        _end(process, where)


@pytest.fixture(scope="module")
def ray(address: str) -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", _TOKEN)
        raykernel.init(address=address)
        yield raykernel
        raykernel.shutdown()


def test_without_its_token_nobody_gets_in(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first of the module."""
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    with pytest.raises(ConnectionError, match="%env RAY_AUTH_MODE=token") as error:
        raykernel.init(address=address)
    assert address in str(error.value)


def test_waiting_for_a_node_is_shown_as_such_until_it_has_come(ray: Any) -> None:
    engine = api.engine()
    assert engine is not None
    warned: list[str] = []
    engine.on_warning(warned.append)

    @ray.remote
    def where() -> str:
        return str(ray.get_runtime_context().get_node_id())

    @ray.remote(num_cpus=0)
    def nested() -> None:
        ray.get(where.options(resources={"bronze": 1}).remote())

    told: dict[str, int] = {}

    def note(batch: EventBatch) -> None:
        if batch.awaited is not None:
            told.clear()
            told.update((one.needs, one.tasks) for one in batch.awaited)

    end = engine.subscribe(note)
    # A node that has gold may come before anybody asks why its task waits; one with the others
    # never does.
    for_ever = [where.options(resources={"silver": 1}).remote(), nested.remote()]
    ref = where.options(resources={"gold": 1}).remote()
    silver = "node: awaited, 1 CPU, 1 silver: 1 task waits for it"
    panel = ClusterModel()

    def shown() -> str:
        panel.poll(engine)
        return cluster_still.text(panel)

    _until(lambda: silver in shown() and silver.replace("silver", "bronze") in shown())
    _until(lambda: told.get("1 CPU, 1 silver") == told.get("1 CPU, 1 bronze") == 1)
    assert any("1 task waits for a node" in text and "1 silver" in text for text in warned)
    node = ray.get(ref, timeout=90)
    assert node in {one["NodeID"] for one in ray.nodes() if one["Alive"]}
    assert len(ray.nodes()) == 2
    _until(lambda: "gold: 1 task waits" not in shown())
    for one in for_ever:
        ray.cancel(one)
    _until(lambda: "awaited" not in shown() and not told)
    end()


def test_more_cpus_are_asked_of_the_autoscaler(ray: Any) -> None:
    engine = api.engine()
    assert engine is not None
    engine.resize(5)
    _until(lambda: ray.cluster_resources()["CPU"] >= 5)
