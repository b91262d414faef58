"""`import raykernel` is light: what only some users need is imported when they use it."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("IPython", "ipykernel", "ipywidgets", "matplotlib", "numpy", "pandas", "pyarrow", "ray")


def test_importing_raykernel_imports_nothing_heavy() -> None:
    program = (
        "import sys, raykernel\n"
        "assert raykernel.remote\n"
        f"print(*(name for name in {HEAVY} if name in sys.modules))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout.split() == []
