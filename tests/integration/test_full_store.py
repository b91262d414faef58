"""An object store that is full: a clear error, and nothing lost."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest

import raykernel as ray
from tests.integration.test_memory import soon, store


def test_a_full_store_says_so_and_loses_nothing() -> None:
    ray.init(num_cpus=1, object_store_memory=20 * 2**20)
    try:
        kept = ray.put(np.ones(10 * 2**17))
        with pytest.raises(ray.exceptions.ObjectStoreFullError, match="no room"):
            ray.put(np.ones(15 * 2**17))

        @ray.remote
        def too_large() -> Any:
            return np.ones(15 * 2**17)

        with pytest.raises(ray.exceptions.ObjectStoreFullError, match="room"):
            ray.get(too_large.remote())
        assert ray.get(kept).sum() == 10 * 2**17
        del kept
        gc.collect()
        assert soon(lambda: store()["used"] == 0)
        assert ray.get(ray.put(np.ones(15 * 2**17))).sum() == 15 * 2**17
    finally:
        ray.shutdown()
