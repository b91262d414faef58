"""The common subset of the API on both engines: util."""

from __future__ import annotations

from tests.ray.common import engine, ray, taken_over, util  # noqa: F401 - fixtures

globals().update(
    taken_over(
        "util.test_actor_pool",
        "util.test_queue",
        "util.test_helpers",
        "util.test_iter",
        without={"test_actor_options_are_the_actors": "counts a session's 2 CPUs"},
    )
)
