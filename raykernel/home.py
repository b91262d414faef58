"""Which notebook a shell belongs to, so that a restarted kernel finds its notebook's session again.

Two things stay the same over a kernel's restart: its connection file, and the notebook's path,
which Jupyter's server hands to the kernel in `JPY_SESSION_NAME` (VS Code in a variable of the
shell). The path is also the same when the notebook is closed and opened again; the file is not.

A shell in a terminal is nobody's notebook, and neither is a run without a person at it (nbconvert,
papermill and the like, which let no cell ask for input): nobody comes back to those.
"""

from __future__ import annotations

import os
from typing import Any

from raykernel.runtime.session import Home

SERVERS_VARIABLE = "JPY_SESSION_NAME"
VS_CODES_VARIABLE = "__vsc_ipynb_file__"


def home_of(shell: Any) -> Home | None:
    """Where the session of this shell's notebook belongs; None if it is nobody's notebook. Asked
    while a cell runs."""
    kernel = getattr(shell, "kernel", None)
    if kernel is None:
        return None
    notebook = _path(shell)
    if not notebook and not getattr(kernel, "_allow_stdin", True):
        return None
    file = getattr(getattr(kernel, "parent", None), "abs_connection_file", "") or ""
    return Home(str(file), notebook)


def _path(shell: Any) -> str:
    path = os.environ.get(SERVERS_VARIABLE, "")
    if path and not _inherited(path):
        return path
    return str(shell.user_ns.get(VS_CODES_VARIABLE, ""))


def _inherited(path: str) -> bool:
    """Whether the variable is meant for another kernel, whose descendant this one is."""
    import psutil

    try:
        parent = psutil.Process().parent()
        return parent is not None and parent.environ().get(SERVERS_VARIABLE) == path
    except psutil.Error:
        return False
