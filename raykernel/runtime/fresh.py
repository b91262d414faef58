"""A worker in an interpreter of its own, where its virtual environment's packages hold.

It was forked from the zygote, like any worker, and has replaced itself by another Python under the
same process id (environments.py). The zygote is its parent still: it gets signals, and its end is
reported, as before.
"""

from __future__ import annotations

from typing import NoReturn

import msgspec

from . import worker
from .settings import Settings
from .zygote import run_and_leave


def main(settings: str, worker_id: str, env: str) -> NoReturn:
    """Entry of the interpreter. `settings` is JSON, `worker_id` hex."""
    decoded = msgspec.json.decode(settings, type=Settings)
    run_and_leave(lambda: worker.main(decoded, bytes.fromhex(worker_id), env, fresh=True))
