"""Session folders: where a session's sockets, logs and description lie, and who may look.

    <tmp>/raykernel-<uid>/<name>/          0700
        head.sock   session.json   logs/   spill/   [arena]
    /dev/shm/raykernel-<uid>-<name>        the arena, where shared memory is large enough

A session is alive while its head process is. What a killed head left behind is swept by the next
session that starts.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import stat
import sys
import tempfile
import time
from pathlib import Path

import msgspec

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,40}")
_SHM = Path("/dev/shm")
_BIRTH = 60.0  # seconds in which a starting session describes itself
_MAX_SOCKET_PATH = 100  # sun_path is 108 bytes on Linux, 104 on macOS


class SessionError(Exception):
    """A session can't be made, found or reached; the text says which and why."""


class Home(msgspec.Struct, frozen=True):
    """Where a session belongs: what finds it again after its driver has ended (see attach.py)."""

    kernel: str = ""  # the connection file of the notebook's kernel
    notebook: str = ""  # the notebook's path


class SessionInfo(msgspec.Struct):
    """What `session.json` says, and whether its head lives."""

    name: str
    pid: int  # the head's
    driver: int  # process id of the driver that started it
    started: float  # seconds since the epoch
    path: str
    arena: str
    alive: bool = True
    ttl: float = 0.0  # seconds it outlives its last driver
    drivers: int = 1
    idle_since: float = 0.0  # seconds since the epoch; 0 while a driver uses it
    home: Home = Home()
    python: str = ""  # as in "3.11"
    raykernel: str = ""
    prefix: str = ""  # the folder of its Python environment
    cpus: float = 0.0


def root(suffix: str = "") -> Path:
    """The folder of this user's sessions (with a suffix: one of the same kind beside it), made on
    demand. Raises SessionError if it belongs to somebody else."""
    base = tempfile.gettempdir()
    folder = Path(base) / f"raykernel-{os.getuid()}{suffix}"
    if len(str(folder)) + 60 > _MAX_SOCKET_PATH:
        folder = Path("/tmp") / folder.name
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise SessionError(f"{folder} is not a folder of yours; remove it or set TMPDIR")
    if status.st_mode & 0o077:
        folder.chmod(0o700)
    return folder


def check_name(name: str) -> str:
    """The name itself if it is a valid one. Raises SessionError: names become file names."""
    if not _NAME.fullmatch(name):
        raise SessionError(
            f"{name!r} is no session name: use up to 41 letters, digits, '.', '_' and '-', "
            "beginning with a letter or digit"
        )
    return name


def new_name() -> str:
    return f"{time.strftime('%m%d-%H%M%S')}-{os.urandom(3).hex()}"


def create(name: str) -> Path:
    """Make a session's folder. Raises SessionError if there is one of that name."""
    folder = root() / check_name(name)
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        raise SessionError(f"there is a session named {name!r} already") from None
    (folder / "logs").mkdir()
    return folder


def arena_path(name: str, folder: Path, capacity: int) -> Path:
    """Where the arena goes: shared memory if it holds it all, else the session's folder."""
    if _SHM.is_dir() and os.access(_SHM, os.W_OK):
        status = os.statvfs(_SHM)
        if status.f_bavail * status.f_frsize >= capacity:
            return arena_in_memory(name)
    return folder / "arena"


def arena_in_memory(name: str) -> Path:
    return _SHM / f"raykernel-{os.getuid()}-{name}"


def why_slow(arena: Path, capacity: int) -> str:
    """What a person should know if the arena is not in shared memory though there is some; else
    nothing."""
    if arena.parent == _SHM or not _SHM.is_dir():
        return ""
    status = os.statvfs(_SHM)
    free = status.f_bavail * status.f_frsize
    return (
        f"{_SHM} has {free / 2**20:,.0f} MiB available, less than the object store's "
        f"{capacity / 2**20:,.0f} MiB: large objects lie in a mapped file in {arena.parent} "
        "instead, which is slower. Give it more (Docker: --shm-size), or start with a smaller "
        "object_store_memory."
    )


def default_capacity() -> int:
    """30 % of the machine's memory, in whole pages."""
    pages = os.sysconf("SC_PHYS_PAGES")
    size = os.sysconf("SC_PAGE_SIZE")
    return int(0.3 * pages) * size


def write(folder: Path, info: SessionInfo) -> None:
    """Describe the session, in one step."""
    new = folder / ".session.json"
    new.write_bytes(msgspec.json.encode(info))
    new.rename(folder / "session.json")


def read(name: str) -> SessionInfo:
    """A session's description. Raises SessionError if there is none of that name."""
    info = read_file(root() / check_name(name) / "session.json")
    if info is None:
        raise SessionError(f"no session named {name!r}; `raykernel sessions` lists them")
    return info


def read_file(file: Path) -> SessionInfo | None:
    """The description in this file, None if it is none."""
    try:
        info = msgspec.json.decode(file.read_bytes(), type=SessionInfo)
    except (OSError, msgspec.DecodeError):
        return None
    info.alive = is_alive(info)
    return info


def is_alive(info: SessionInfo) -> bool:
    """Whether the session's head answers its socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(Path(info.path) / "head.sock"))
        except OSError:
            return False
    return True


def list_sessions() -> list[SessionInfo]:
    """This user's sessions on this machine, oldest first."""
    found = []
    for file in sorted(root().glob("*/session.json")):
        with contextlib.suppress(SessionError):
            found.append(read(file.parent.name))
    return sorted(found, key=lambda s: s.started)


def make_spill(name: str, folder: Path, directory: str | None) -> str:
    """Make the folder for a session's spilled objects: its own, or one in `directory`.

    Raises OSError if it can't be made or written to.
    """
    if directory is None:
        spill = folder / "spill"
    else:
        spill = Path(directory).absolute() / f"raykernel-{os.getuid()}-{name}"
        spill.parent.mkdir(parents=True, exist_ok=True)
        (folder / "elsewhere").symlink_to(spill)
    spill.mkdir(mode=0o700)
    return str(spill)


def remove(folder: Path, arena: Path) -> None:
    """Delete what a session keeps on disk and in shared memory."""
    if arena.parent == _SHM:
        arena.unlink(missing_ok=True)
    elsewhere = folder / "elsewhere"  # of its spilled objects
    if elsewhere.is_symlink():
        shutil.rmtree(elsewhere.readlink(), ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)


def await_end(folder: Path, seconds: float) -> bool:
    """Wait until a session's folder is gone: its processes take a moment to clean up."""
    deadline = time.monotonic() + seconds
    while folder.exists():
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.02)
    return True


def sweep() -> None:
    """Remove what dead sessions left behind."""
    for info in list_sessions():
        if not info.alive and not pid_alive(info.pid):
            remove(Path(info.path), Path(info.arena))
    for folder in root().iterdir():
        with contextlib.suppress(FileNotFoundError):
            unborn = folder.is_dir() and not (folder / "session.json").exists()
            if unborn and time.time() - folder.stat().st_mtime > _BIRTH:
                remove(folder, arena_in_memory(folder.name))


def pid_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def peer_uid(connection: socket.socket) -> int:
    """The user id at the other end of a Unix socket."""
    if sys.platform == "linux":
        import struct

        packed = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        return int(struct.unpack("3i", packed)[1])
    return os.getuid()  # the 0700 folder is the guard where the kernel doesn't say
