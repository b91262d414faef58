"""`raykernel install`: the kernelspec, put where Jupyter finds it, or taken away."""

from __future__ import annotations

import argparse
import os
import sys

from raykernel import kernel
from raykernel.commands import CommandError


def run(options: argparse.Namespace) -> int:
    user = options.user or not (options.prefix or options.sys_prefix or _is_virtual())
    prefix = None if user else options.prefix or sys.prefix
    try:
        if options.remove:
            print(f"removed {kernel.remove(options.name, user=user, prefix=prefix)}")
            return 0
        shown = options.display_name or kernel.DISPLAY_NAME
        folder = kernel.install(options.name, shown, user=user, prefix=prefix)
    except kernel.KernelSpecError as error:
        raise CommandError(str(error)) from None
    print(f'installed the kernel "{shown}" in {folder}')
    return 0


def _is_virtual() -> bool:
    """Whether this Python is an environment's own, and not the whole machine's."""
    return sys.prefix != sys.base_prefix or "CONDA_PREFIX" in os.environ
