"""`ray.experimental`: of what Ray tries out there, the progress bars."""

from __future__ import annotations

from raykernel.experimental import tqdm_ray

__all__ = ["tqdm_ray"]


def __getattr__(name: str) -> object:
    raise AttributeError(
        f"module 'raykernel.experimental' has no attribute {name!r} (it offers tqdm_ray alone)"
    )
