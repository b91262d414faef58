"""References pickled by hand: what travels beside our id, to processes that Ray sent nothing.

It is Ray's own pickle of its reference or handle. Whoever unpickles it finds the object by its
owner, and the process that pickled it keeps it for as long as it lives, as Ray does. Ray's client
has no references that could be pickled so: there a task on the cluster does both.
"""

from __future__ import annotations

import pickle
from typing import Any


def dumped(ray: Any, ref: Any) -> bytes:
    """Blocks where Ray's client is in use."""
    if not ray.util.client.ray.is_connected():
        return _dumped([ref])
    return bytes(ray.get(ray.remote(num_cpus=0)(_dumped).remote([ref])))


def loaded(ray: Any, data: bytes) -> Any:
    """Blocks where Ray's client is in use."""
    if not ray.util.client.ray.is_connected():
        return _loaded(data)[0]
    return ray.get(ray.remote(num_cpus=0)(_loaded).remote(data))[0]


def _dumped(refs: list[Any]) -> bytes:
    from raykernel.runtime.engines import ray as engines

    return bytes(engines.module().cloudpickle.dumps(refs[0]))


def _loaded(data: bytes) -> list[Any]:
    return [pickle.loads(data)]
