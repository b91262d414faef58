"""What a session is started with: written by the driver, read by zygote, head and workers."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from .session import Home


class Options(msgspec.Struct):
    """What the notebook wants of a session's workers; nothing in a plain program."""

    log_lines: int = 0  # of one cell, told by one worker; 0: no limit
    keep_locals: bool = False  # of failed tasks, for the debugger


#: Asked when a session starts. The notebook layer puts its own here.
options: Callable[[], Options] = Options


class Settings(msgspec.Struct):
    """Everything the session's processes need to know, as one JSON argument."""

    name: str
    folder: str
    arena: str
    capacity: int
    job: str
    driver: int  # process id
    total: dict[str, float]
    prestart: int
    namespace: str
    cwd: str
    path: list[str]  # the driver's sys.path
    preload: list[str]  # modules worth having before the first fork
    spill: str = ""  # the folder for objects that have no room in memory, "" for none
    size_threads: bool = True  # OMP_NUM_THREADS is ours to set: the user has not
    env: dict[str, str] = {}  # environment variables of all workers
    ttl: float = 0.0  # seconds the session outlives its last driver
    home: Home = Home()
    version: str = ""  # raykernel's
    options: Options = msgspec.field(default_factory=Options)
