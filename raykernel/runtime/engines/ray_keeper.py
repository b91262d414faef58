"""Objects with names on a Ray cluster: a detached actor keeps them, whichever driver leaves.

Ray ends an object with the process that made it. So the keeper stores a copy of its own as soon as
the value is there; until then, or if the task fails, it holds the maker's. The cluster's first name
starts the keeper, and the last one that is taken away ends it.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from raykernel.runtime.connection import RequestFailed
from raykernel.runtime.engines.ray_notes import NAMESPACE
from raykernel.runtime.engines.ray_refs import Entry
from raykernel.runtime.engines.ray_values import Blob

_NAME = "named objects"
_PATIENCE = 30.0  # for a keeper that has to be started
Key = tuple[str, str]  # namespace, name


class Keeper:
    """Runs on the cluster."""

    def __init__(self) -> None:
        self._kept: dict[Key, tuple[bytes, Any]] = {}
        self._sizes: dict[Key, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def keep(self, key: Key, object_id: bytes, refs: list[Any]) -> None:
        self._kept[key] = object_id, refs[0]
        self._sizes.pop(key, None)
        task = asyncio.ensure_future(self._copy(key, refs[0]))
        self._tasks.add(task)  # or it may be collected
        task.add_done_callback(self._tasks.discard)
        await asyncio.wait([task], timeout=0.1)  # a driver that leaves next finds it copied

    async def _copy(self, key: Key, ref: Any) -> None:
        from raykernel.runtime.engines import ray as engines

        try:
            stored = await ref
        except Exception:
            return  # the maker's error is what there is
        kept = self._kept.get(key)
        if kept is not None and kept[1] is ref:
            self._kept[key] = kept[0], engines.module().put(stored)
            self._sizes[key] = stored.size if isinstance(stored, Blob) else len(stored)

    async def find(self, key: Key) -> tuple[bytes, list[Any]]:
        object_id, ref = self._kept.get(key, (b"", None))
        return object_id, [ref]

    async def forget(self, key: Key) -> tuple[bool, int]:
        """Whether there was one, and how many are left."""
        return self._kept.pop(key, None) is not None, len(self._kept)

    async def listed(self) -> list[dict[str, Any]]:
        return [
            {
                "name": name, "namespace": namespace, "object_id": object_id.hex(),
                "ready": (namespace, name) in self._sizes,
                "size": self._sizes.get((namespace, name), 0),
            }
            for (namespace, name), (object_id, _) in self._kept.items()
        ]  # fmt: skip


class NamedObjects:
    """The driver's or worker's side. Its calls block until the keeper has answered."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._ray = client.ray

    def _keeper(self, start: bool) -> Any:
        ray = self._ray
        with contextlib.suppress(ValueError):
            return ray.get_actor(_NAME, namespace=NAMESPACE)
        if not start:
            return None
        options = {"name": _NAME, "namespace": NAMESPACE, "lifetime": "detached", "num_cpus": 0}
        return ray.remote(Keeper).options(get_if_exists=True, **options).remote()

    def _ask(self, method: str, *args: Any, start: bool = False) -> Any:
        """The answer, None if there is no keeper. Raises RequestFailed."""
        ray = self._ray
        for last in (False, True):
            keeper = self._keeper(start)
            if keeper is None:
                return None
            try:
                return ray.get(getattr(keeper, method).remote(*args), timeout=_PATIENCE)
            except ray.exceptions.RayActorError as error:
                if last:  # the first was just ending
                    raise RequestFailed(f"the keeper of named objects died: {error}") from None
            except ray.exceptions.GetTimeoutError:
                raise RequestFailed(
                    f"the Ray cluster gave no worker to keep named objects in {_PATIENCE:g} s"
                ) from None
        return None

    def give(self, namespace: str, name: str, object_id: bytes) -> None:
        entry = self._client.refs.get(object_id)
        if entry is None:
            raise RequestFailed(f"nothing is known of object {object_id.hex()} here")
        self._ask("keep", (namespace, name), object_id, [entry.ref], start=True)

    def find(self, namespace: str, name: str) -> bytes:
        """The object's id, b"" if there is none: held once more from now on."""
        object_id, refs = self._ask("find", (namespace, name)) or (b"", [])
        if object_id and not self._client.refs.add(object_id):
            self._client.refs.new(object_id, Entry(refs[0], 1, name))
        return bytes(object_id)

    def forget(self, namespace: str, name: str) -> bool:
        found, left = self._ask("forget", (namespace, name)) or (False, -1)
        if found and not left:
            with contextlib.suppress(ValueError):
                self._ray.kill(self._ray.get_actor(_NAME, namespace=NAMESPACE))
        return bool(found)

    def listed(self) -> list[dict[str, Any]]:
        return self._ask("listed") or []
