"""joblib on raykernel alone: results as a generator, and options of the tasks."""

from __future__ import annotations

import joblib
import pytest

from raykernel.util.joblib import register_ray

pytestmark = pytest.mark.usefixtures("session")


def test_results_can_be_a_generator() -> None:
    register_ray()
    with joblib.parallel_backend("ray"):
        results = joblib.Parallel(return_as="generator")(joblib.delayed(abs)(i) for i in range(5))
        assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]


def test_tasks_can_ask_for_resources() -> None:
    register_ray()
    with joblib.parallel_backend("ray", ray_remote_args={"num_cpus": 2}):
        assert joblib.Parallel()(joblib.delayed(abs)(i) for i in range(5)) == [0, 1, 2, 3, 4]
