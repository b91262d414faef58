"""`raykernel lab`: JupyterLab on the teaching notebooks.

In a checkout it opens them where they are. An installed package is no place to write, so there a
working copy is made, beside which a learner's own changes are never overwritten.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import sys
from pathlib import Path

from raykernel import lessons
from raykernel.commands import CommandError

WORKING_COPY = "raykernel-notebooks"


def run(options: argparse.Namespace) -> int:
    """Replaces this process by JupyterLab, so that Ctrl-C and signals reach it directly."""
    if importlib.util.find_spec("jupyterlab") is None:
        raise CommandError(
            "JupyterLab is not installed; this installs it:\n"
            f"  {sys.executable} -m pip install 'raykernel[lab]'"
        )
    folder = working_folder(options.folder)
    command = [sys.executable, "-m", "jupyterlab", *options.jupyter]
    if options.no_browser:
        command.append("--no-browser")
    command.append(str(folder))
    print(f"opening {folder} in JupyterLab (Ctrl-C ends it)", file=sys.stderr, flush=True)
    os.execv(sys.executable, command)


def working_folder(wanted: Path | None) -> Path:
    """The folder to open: the lessons' own if that is one to work in, else a copy of it."""
    home = lessons.FOLDER.resolve()
    if not lessons.names():
        raise CommandError(f"{home} holds no notebook: reinstall raykernel")
    if wanted is None:
        if not _installed(home) and os.access(home, os.W_OK):
            return home
        wanted = Path(WORKING_COPY)
    try:
        wanted.mkdir(parents=True, exist_ok=True)
        for name in lessons.names():
            if not (wanted / name).exists():
                shutil.copyfile(lessons.path(name), wanted / name)
    except OSError as error:
        raise CommandError(f"can't copy the notebooks to {str(wanted)!r}: {error}") from None
    return wanted.resolve()


def _installed(folder: Path) -> bool:
    return not {"site-packages", "dist-packages"}.isdisjoint(folder.parts)
