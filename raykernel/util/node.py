"""The machine that a session runs on."""

from __future__ import annotations

import raykernel as ray


def get_node_ip_address() -> str:
    """This machine's address, as `ray.nodes()` and the texts of errors give it.

    A session is reached through its own folder and listens on no network, so that this is the
    loopback address. Needs no session.
    """
    if not ray.is_initialized():
        return "127.0.0.1"
    return str(ray.nodes()[0]["NodeManagerAddress"])
