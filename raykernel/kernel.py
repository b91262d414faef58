"""The kernel "Python 3 (raykernel)": ipykernel with the extension loaded.

    python -m raykernel.kernel -f CONNECTION_FILE      what the kernelspec runs

It is ipykernel's own kernel in all else, and reads the same configuration. The session is kept over
restarts, as for every notebook with the extension (see home.py).

`install` writes the kernelspec, by which front ends offer the kernel; `remove` takes it away.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

NAME = "raykernel"
DISPLAY_NAME = "Python 3 (raykernel)"
_MODULE = "raykernel.kernel"
_VALID = re.compile(r"[A-Za-z0-9._-]+")


class KernelSpecError(Exception):
    """A kernelspec can't be written or removed; the text says which and why."""


def spec(display_name: str = DISPLAY_NAME) -> dict[str, Any]:
    """What `kernel.json` says."""
    from ipykernel.kernelspec import get_kernel_dict

    argv = [sys.executable, "-m", _MODULE, "-f", "{connection_file}"]
    return {**get_kernel_dict(), "argv": argv, "display_name": display_name}


def install(
    name: str = NAME,
    display_name: str = DISPLAY_NAME,
    *,
    user: bool = False,
    prefix: str | None = None,
) -> Path:
    """Write the kernelspec for the user, or below a prefix (this Python's); its folder.

    Replaces one of raykernel's own of that name. Raises KernelSpecError.
    """
    from ipykernel.kernelspec import RESOURCES
    from jupyter_client.kernelspec import KernelSpecManager

    folder = _folder(name, user, prefix)
    if folder.exists() and not _is_ours(folder):
        raise KernelSpecError(
            f"{folder} is another kernel's: choose a --name of your own, or remove that one first"
        )
    with tempfile.TemporaryDirectory() as made:
        for picture in Path(RESOURCES).glob("logo-*"):
            shutil.copy(picture, made)
        text = json.dumps(spec(display_name), indent=1, ensure_ascii=False)
        (Path(made) / "kernel.json").write_text(text + "\n", encoding="utf-8")
        try:
            installed = KernelSpecManager().install_kernel_spec(
                made, kernel_name=name, user=user, prefix=None if user else prefix or sys.prefix
            )
        except OSError as error:
            raise KernelSpecError(
                f"{folder} can't be written: {error.strerror}. Try --user, or --prefix with a "
                "folder of yours"
            ) from None
    return Path(installed)


def remove(name: str = NAME, *, user: bool = False, prefix: str | None = None) -> Path:
    """Take the kernelspec away from where `install` puts it; its folder. Raises KernelSpecError."""
    folder = _folder(name, user, prefix)
    if not folder.exists():
        raise KernelSpecError(f"there is no kernel {name!r} at {folder}")
    if not _is_ours(folder):
        raise KernelSpecError(f"{folder} is another kernel's: it is left as it is")
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise KernelSpecError(f"{folder} can't be removed: {error.strerror}") from None
    return folder


def _folder(name: str, user: bool, prefix: str | None) -> Path:
    """Where a kernelspec of this name goes. Raises KernelSpecError for what can't be a name."""
    from jupyter_client.kernelspec import KernelSpecManager

    if not _VALID.fullmatch(name):
        raise KernelSpecError(
            f"{name!r} is no kernel name: use letters, digits, '.', '_' and '-' only"
        )
    if user:
        return Path(KernelSpecManager().user_kernel_dir) / name.lower()
    return Path(prefix or sys.prefix) / "share" / "jupyter" / "kernels" / name.lower()


def _is_ours(folder: Path) -> bool:
    try:
        argv = json.loads((folder / "kernel.json").read_text(encoding="utf-8"))["argv"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return _MODULE in argv


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the kernel until it is shut down."""
    from ipykernel.kernelapp import IPKernelApp

    if sys.path and sys.path[0] in ("", os.getcwd()):
        del sys.path[0]  # put there by `-m`; IPython adds it where a notebook wants it
    app = IPKernelApp.instance()
    app.initialize(None if arguments is None else list(arguments))
    assert app.shell is not None
    try:
        app.shell.extension_manager.load_extension("raykernel")
    except Exception:  # a kernel without the magics is better than none
        app.log.warning("raykernel could not be loaded", exc_info=True)
    app.start()


if __name__ == "__main__":
    main()
