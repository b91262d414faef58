"""Failed tasks' variables in files of the session's folder, one for each task: see remains.py.

Workers write them there and drivers read them, on the same machine: nobody who doesn't debug pays
for sending or reading. For a session on another machine they are brought here when asked for.

    length of header: u64 | header (msgpack) | the values one after the other
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

from .connection import ConnectionLost, RequestFailed
from .remains import BIG, CAP, COUNT, GONE, Shelf
from .serialize import Serialized

_LOOK = 64  # failures of this process between two looks at what all have kept
_HEAD = struct.Struct("<Q")


class Files(Shelf):
    """Both ends of the shelf; a process uses one. `bring` fetches a task's file, with "" those of
    all, from another machine. It may raise OSError, ConnectionLost or RequestFailed."""

    def __init__(self, folder: str, bring: Callable[[str], None] | None = None) -> None:
        self._session = folder
        self._folder = os.path.join(folder, "failed")
        self._bring = bring
        self._kept = 0

    # -- in a worker -----------------------------------------------------------------------------

    def add(self, task: str, header: bytes, values: list[Serialized]) -> None:
        """Raises OSError."""
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        new = os.path.join(self._folder, f".{task}")
        with open(new, "wb") as file:
            file.write(_HEAD.pack(len(header)))
            file.write(header)
            for made in values:
                for chunk in made.chunks():
                    file.write(chunk)
            size = file.tell()
        os.replace(new, os.path.join(self._folder, task))
        self._kept += 1
        if size > BIG or self._kept % _LOOK == 1:
            self._prune()

    def _prune(self) -> None:
        with os.scandir(self._folder) as found:
            files = [(one.stat().st_mtime, one.stat().st_size, one.path) for one in found]
        files.sort(reverse=True)
        total = 0
        for n, (_, size, path) in enumerate(files):
            total += size
            if n and (total > CAP or n >= COUNT):
                with contextlib.suppress(OSError):
                    os.unlink(path)

    # -- in a driver -----------------------------------------------------------------------------

    def header(self, task: str, awaited: bool = False) -> bytes:
        if not os.path.isdir(self._session):
            raise LookupError("its session is over")
        if self._bring is not None and not os.path.exists(os.path.join(self._folder, task)):
            try:
                self._bring(task)
            except (OSError, ConnectionLost, RequestFailed) as error:
                raise LookupError(f"they could not be brought here: {error}") from None
        with self._open(task) as file:
            return _header(file)

    def part(self, task: str, offset: int, size: int) -> bytes:
        with self._open(task) as file:
            (length,) = _HEAD.unpack(file.read(_HEAD.size))
            file.seek(_HEAD.size + length + offset)
            return file.read(size)

    def _open(self, task: str) -> BinaryIO:
        try:
            return open(os.path.join(self._folder, task), "rb")
        except FileNotFoundError:
            raise LookupError(GONE) from None

    def headers(self, settled: bool) -> Iterable[bytes]:
        if self._bring is not None:
            with contextlib.suppress(OSError, ConnectionLost, RequestFailed):
                self._bring("")
        with contextlib.suppress(FileNotFoundError):
            for path in Path(self._folder).iterdir():
                if path.name.startswith("."):
                    continue  # it is being written
                with contextlib.suppress(OSError, struct.error), path.open("rb") as file:
                    yield _header(file)


def _header(file: BinaryIO) -> bytes:
    (length,) = _HEAD.unpack(file.read(_HEAD.size))
    return file.read(length)
