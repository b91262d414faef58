"""joblib's parallel loops on tasks."""

from __future__ import annotations

import os
from types import ModuleType

import joblib
import pytest

from tests.util.conftest import Util


@pytest.fixture(autouse=True)
def _registered(util: Util) -> None:
    util("joblib").register_ray()


def fail_at_three(x: int) -> int:
    if x == 3:
        raise ValueError("three")
    return x


def test_a_parallel_loop_runs_in_workers_and_keeps_the_order() -> None:
    with joblib.parallel_backend("ray"):
        assert joblib.Parallel()(joblib.delayed(abs)(-i) for i in range(50)) == list(range(50))
        pids = joblib.Parallel(n_jobs=2)(joblib.delayed(os.getpid)() for _ in range(20))
    assert os.getpid() not in pids


def test_all_jobs_are_the_sessions_cpus(ray: ModuleType) -> None:
    with joblib.parallel_backend("ray"):
        assert joblib.effective_n_jobs(-1) == 2
        assert joblib.effective_n_jobs(1) == 1


def test_an_error_ends_the_loop() -> None:
    with joblib.parallel_backend("ray"):
        with pytest.raises(ValueError, match="three"):
            joblib.Parallel()(joblib.delayed(fail_at_three)(i) for i in range(6))
        assert joblib.Parallel()(joblib.delayed(abs)(i) for i in range(3)) == [0, 1, 2]


def test_loops_nest() -> None:
    def inner(n: int) -> int:
        return sum(joblib.Parallel(n_jobs=2)(joblib.delayed(abs)(i) for i in range(n)))

    with joblib.parallel_backend("ray"):
        assert joblib.Parallel()(joblib.delayed(inner)(n) for n in (2, 3)) == [1, 3]
