"""The dashboard's server: a page, the views' modules as they are, and one websocket.

    browser --GET ./?token=...--> page.html --GET ./modules/*.js--> widgets/*.js
            <======= ./feed?token=... (websocket, JSON) =======> Channel for each view

It listens on the loopback interface only. The page and the websocket want the token, the host a
request names must be this machine (against pages elsewhere that rebind their name), and a
websocket's origin must be the page's own. All addresses are relative, so that it works behind a
proxy such as jupyter-server-proxy. Runs in one thread; what blocks runs on threads of its own.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tornado.ioloop import IOLoop
from tornado.web import Application, HTTPError, RequestHandler
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from raykernel.runtime.engines.base import Engine
from raykernel.widgets import modules
from raykernel.widgets.subject import style_table

from .channel import Channel
from .views import STYLE, SUBJECTS

HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
_PAGE = Path(__file__).parent / "page.html"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'"
)


class _Guarded(RequestHandler):
    token: str
    hosts: frozenset[str]

    def initialize(self, token: str, hosts: frozenset[str], **_: Any) -> None:
        self.token = token
        self.hosts = hosts

    def prepare(self) -> None:
        check_host(self.request.host, self.hosts)
        self.set_header("Content-Security-Policy", _POLICY)
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Referrer-Policy", "no-referrer")
        self.set_header("Cache-Control", "no-store")


class PageHandler(_Guarded):
    def get(self) -> None:
        check_token(self.get_query_argument("token", ""), self.token)
        self.write(_PAGE.read_text())


class FileHandler(_Guarded):
    """The modules and the style sheet: they hold no data, so they need no token."""

    def get(self, name: str) -> None:
        if name == "all.css":
            self.set_header("Content-Type", "text/css; charset=utf-8")
            self.write(modules.styles("cluster.css", "panels.css"))
            return
        home = _PAGE.parent if name == "page.js" else modules.FOLDER
        path = home / name
        if not path.is_file():
            raise HTTPError(404)
        self.set_header("Content-Type", "text/javascript; charset=utf-8")
        self.write(path.read_text())


class FeedHandler(WebSocketHandler):
    """{"view": KIND, "open": true} opens a view, {"view": KIND, "say": {...}} speaks to it."""

    def initialize(self, token: str, hosts: frozenset[str], engine: Callable[[], Engine]) -> None:
        self._token = token
        self._hosts = hosts
        self._engine = engine
        self._channels: dict[str, Channel] = {}
        self._loop = IOLoop.current()

    def prepare(self) -> None:
        check_host(self.request.host, self._hosts)
        check_token(self.get_query_argument("token", ""), self._token)

    def check_origin(self, origin: str) -> bool:
        return urlsplit(origin).netloc.lower() == self.request.host.lower()

    async def on_message(self, text: str | bytes) -> None:
        try:
            said = json.loads(text)
            kind, opens = said["view"], bool(said.get("open"))
        except (ValueError, KeyError, TypeError, AttributeError):
            self.close(1003, "not understood")
            return
        if opens and kind in SUBJECTS and kind not in self._channels:
            subject = SUBJECTS[kind]()
            style = style_table(**STYLE)
            channel = Channel(subject, self._engine(), lambda told: self._emit(kind, told))
            self._channels[kind] = channel
            self._emit(kind, {"style": style})
            await self._aside(channel.open)
        elif kind in self._channels:
            await self._aside(lambda: self._channels[kind].hear(said.get("say")))

    async def _aside(self, act: Callable[[], object]) -> None:
        """Do what may block on another thread."""
        try:
            await self._loop.run_in_executor(None, act)
        except Exception as error:  # the session has ended
            self._emit("", {"ended": f"{type(error).__name__}: {error}"})

    def _emit(self, kind: str, told: dict[str, Any]) -> None:
        """From any thread."""
        self._loop.add_callback(self._write, json.dumps({"view": kind, **told}))

    def _write(self, text: str) -> None:
        try:
            self.write_message(text)
        except WebSocketClosedError:
            self.on_close()

    def on_close(self) -> None:
        channels, self._channels = self._channels, {}
        for channel in channels.values():
            self._loop.run_in_executor(None, channel.close)


def check_host(host: str, allowed: frozenset[str]) -> None:
    """Raises HTTPError for a host that is not this machine."""
    name = urlsplit(f"//{host}").hostname or ""
    if name.lower() not in allowed:
        raise HTTPError(403, "not a name of this machine; see raykernel dashboard --allow-host")


def check_token(given: str, token: str) -> None:
    if not hmac.compare_digest(given.encode(), token.encode()):
        raise HTTPError(403, "the address lacks the token that `raykernel dashboard` printed")


def application(
    engine: Callable[[], Engine], token: str, more_hosts: frozenset[str] = frozenset()
) -> Application:
    """`engine()` gives the session that is shown."""
    common = {"token": token, "hosts": HOSTS | more_hosts}
    return Application(
        [
            (r".*/feed", FeedHandler, {**common, "engine": engine}),
            (r".*/modules/([a-z_]+\.(?:js|css))", FileHandler, common),
            (r".*/", PageHandler, common),
        ],
        websocket_ping_interval=20,
        log_function=lambda handler: None,
    )
