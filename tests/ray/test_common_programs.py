"""The common subset of the API on both engines: programs."""

from __future__ import annotations

from tests.ray.common import engine, ray, taken_over, util  # noqa: F401 - fixtures

globals().update(
    taken_over(
        "contract.test_programs",
        "contract.test_asyncio",
        "contract.test_tqdm",
        without={},
    )
)
