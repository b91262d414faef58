"""A dashboard of a session, as `raykernel dashboard` serves it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def dashboard(session: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Its address with the token, and its process, which ends with the `with` at the latest."""
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", "raykernel", "dashboard", "--session", session),
            *("--port", "0", "--no-browser"),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:\d+/\?token=\S+", server.stdout.readline())
        assert found is not None
        yield found[0], server
    finally:
        server.kill()
        server.wait()
        if server.stdout is not None:
            server.stdout.close()
