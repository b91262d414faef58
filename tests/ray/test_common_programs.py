"""The common subset of the API on both engines: programs."""

from __future__ import annotations

from tests.ray.common import engine, ray, tests_of, util  # noqa: F401 - fixtures

globals().update(
    tests_of(
        "contract.test_programs",
        "contract.test_asyncio",
        "contract.test_tqdm",
        without={},
    )
)
