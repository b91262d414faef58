"""The common subset of the API on both engines: pools."""

from __future__ import annotations

from tests.ray.common import engine, ray, tests_of, util  # noqa: F401 - fixtures

globals().update(
    tests_of(
        "util.test_multiprocessing",
        "util.test_joblib",
        without={},
    )
)
