"""Every option of the notebook layer, read from IPython's configuration.

In `ipython_config.py` or `ipython_kernel_config.py` it is `c.RayKernelConfig.progress = False`, in
a notebook `%config RayKernelConfig.progress = False`, which counts from the next session on.
"""

from __future__ import annotations

from traitlets import Bool, Float, Int
from traitlets.config import Configurable


class RayKernelConfig(Configurable):
    num_cpus: Int[int | None, int | None] = Int(
        None,
        allow_none=True,
        min=0,
        help="CPUs of a session that `%ray start` starts without -n; default: all there are.",
    ).tag(config=True)
    progress: Bool[bool, bool | int] = Bool(
        True, help="Show the progress of a cell's tasks under the cell."
    ).tag(config=True)
    progress_delay: Float[float, float | int] = Float(
        0.5, min=0.0, help="Seconds of work before its progress is shown."
    ).tag(config=True)
    log_to_cell: Bool[bool, bool | int] = Bool(
        True, help="Show what tasks print, in the cell that caused them."
    ).tag(config=True)
