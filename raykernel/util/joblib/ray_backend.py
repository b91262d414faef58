"""The joblib backend: each batch of a parallel loop is a task.

joblib sizes the batches by their observed time (its AutoBatchingMixin) and asks for more from the
callback of each that is done.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import raykernel as ray
from raykernel import api
from raykernel.util.executor import RayExecutor


class RayBackendMethods:
    """The backend without joblib's base classes, which `register_ray` adds.

    `ray_remote_args` are options of the tasks, such as `{"num_cpus": 2}`.
    """

    parallel: Any
    reset_batch_stats: Callable[[], None]

    default_n_jobs = -1
    supports_retrieve_callback = True

    def __init__(self, *args: Any, ray_remote_args: dict[str, Any] | None = None, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._ray_remote_args = ray_remote_args
        self._executor: RayExecutor | None = None

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """`n_jobs` as joblib means it, with the session's CPUs for the machine's."""
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        if n_jobs is not None and n_jobs > 0:
            return n_jobs
        api.auto_init()
        cpus = int(ray.cluster_resources().get("CPU", 1))
        return max(1, cpus + 1 + (-1 if n_jobs is None else n_jobs))

    def configure(
        self, n_jobs: int = 1, parallel: Any = None, prefer: Any = None, require: Any = None,
        **kwargs: Any,
    ) -> int:  # fmt: skip
        n_jobs = self.effective_n_jobs(n_jobs)
        self.parallel = parallel
        self._executor = RayExecutor(n_jobs, ray_remote_args=self._ray_remote_args)
        return n_jobs

    def submit(
        self, func: Callable[[], Any], callback: Callable[[Any], Any] | None = None
    ) -> Future[Any]:
        assert self._executor is not None, "joblib configures a backend before it submits"
        future = self._executor.submit(func)
        if callback is not None:
            future.add_done_callback(callback)
        return future

    def retrieve_result_callback(self, out: Future[Any]) -> Any:
        return out.result()

    def terminate(self) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)
            self._executor = None
        self.reset_batch_stats()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        if self._executor is not None:
            self._executor.abandon()
            self._executor = None
        if ensure_ready:
            self.configure(n_jobs=self.parallel.n_jobs, parallel=self.parallel)


__all__ = ["RayBackendMethods"]
