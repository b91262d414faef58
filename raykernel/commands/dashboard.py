"""`raykernel dashboard`: the live views of a session as a page in the browser."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import webbrowser

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from raykernel.commands import CommandError
from raykernel.dashboard.server import application
from raykernel.runtime import session
from raykernel.runtime.engines import launch, local
from raykernel.runtime.session import SessionError, SessionInfo


def run(options: argparse.Namespace) -> int:
    """Serve until interrupted, or until the session has ended."""
    info = _chosen(options.session)
    try:
        engine = launch.watch(info)
    except SessionError as error:
        raise CommandError(str(error)) from None
    token = secrets.token_urlsafe(24)
    try:
        asyncio.run(_serve(engine, token, options))
    finally:
        engine.client.close()
    return 0


async def _serve(engine: local.LocalEngine, token: str, options: argparse.Namespace) -> None:
    app = application(lambda: engine, token, frozenset(options.allow_host))
    server = HTTPServer(app)
    try:
        sockets = bind_sockets(options.port, "127.0.0.1")
    except OSError as error:
        raise CommandError(
            f"port {options.port} is not free ({error.strerror}); choose one with --port, 0 for any"
        ) from None
    server.add_sockets(sockets)
    port = sockets[0].getsockname()[1]
    address = f"http://127.0.0.1:{port}/?token={token}"
    print(f"session {engine.session}: {address}\nCtrl-C ends the dashboard.", flush=True)
    if not options.no_browser:
        webbrowser.open(address)
    while not engine.client.closed:
        await asyncio.sleep(0.5)
    print(f"session {engine.session} has ended", flush=True)
    server.stop()


def _chosen(name: str | None) -> SessionInfo:
    try:
        found = session.list_sessions() if name is None else [session.read(name)]
    except SessionError as error:
        raise CommandError(str(error)) from None
    alive = [info for info in found if info.alive]
    if not alive:
        raise CommandError(
            "no session is running; one starts with `%ray start` in a notebook or `ray.init()`"
            if name is None
            else f"session {name} has ended"
        )
    if len(alive) > 1:
        names = ", ".join(info.name for info in alive)
        raise CommandError(f"which session? Name one with --session: {names}")
    return alive[0]
