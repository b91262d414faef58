"""Where programs written for Ray import progress bars from: those of `ray.util`."""

from __future__ import annotations

from raykernel.util.bars import safe_print, tqdm

__all__ = ["safe_print", "tqdm"]
