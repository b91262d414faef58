"""joblib's parallel loops on tasks: `register_ray()`, then `joblib.parallel_backend("ray")`."""

from __future__ import annotations


def register_ray() -> None:
    """Make the backend "ray" known to joblib. Raises ImportError if joblib isn't installed."""
    try:
        from joblib.parallel import (
            AutoBatchingMixin,
            ParallelBackendBase,
            register_parallel_backend,
        )
    except ImportError as error:
        raise ImportError("the joblib backend needs joblib: pip install joblib") from error

    from .ray_backend import RayBackendMethods

    class RayBackend(RayBackendMethods, AutoBatchingMixin, ParallelBackendBase):  # type: ignore[misc]  # no types there
        """Batches of a parallel loop as tasks."""

    register_parallel_backend("ray", RayBackend)


__all__ = ["register_ray"]
