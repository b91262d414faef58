"""The zygote: a clean, single-threaded process with the imports done, from which all others fork.

    driver ── starts ──▶ zygote ── forks ──▶ head
                            └──── forks ──▶ worker, worker, ...

A worker is there milliseconds after it is asked for, and shares its memory with its siblings until
one writes. The zygote is the parent of all: it reaps them, reports their ends to the head, and
delivers signals (only a parent knows that a process id still means the same process). When the
head is gone, by intent or by accident, it kills what is left, removes the session's files and ends
itself with everything in its process group, so that nothing survives a session.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import os
import select
import signal
import socket
import sys
from functools import cache
from pathlib import Path
from typing import NoReturn

import msgspec

from . import head, session, worker
from . import messages as m
from .settings import Settings
from .wire import Framer, decoder, encode

_PR_SET_PDEATHSIG = 1


def main(argument: str, ready: int) -> NoReturn:
    """Entry of the zygote process. `ready` is the pipe on which the head reports itself."""
    settings = msgspec.json.decode(argument, type=Settings)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ours, heads = socket.socketpair()
    gc.collect()
    gc.freeze()  # what is here now is never collected: its pages stay shared
    pid = os.fork()
    if pid == 0:
        ours.close()
        run_and_leave(lambda: head.main(settings, heads, ready))
    heads.close()
    os.close(ready)
    for name in settings.preload:
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    # what each worker would do for itself: forked, it is there
    decoder(m.ToClient)
    _libc()
    gc.freeze()
    Zygote(settings, ours, pid).run()


def run_and_leave(entry: object) -> NoReturn:
    """Run a forked process's main function; never return into the zygote's frames."""
    code = 1
    try:
        entry()  # type: ignore[operator]
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


class Zygote:
    """The loop of forking, reaping and signalling."""

    def __init__(self, settings: Settings, head_socket: socket.socket, head_pid: int) -> None:
        self.settings = settings
        self.sock = head_socket
        self.head_pid = head_pid
        self.workers: dict[bytes, int] = {}
        self.pids: dict[int, bytes] = {}
        self._framer: Framer[m.ToZygote] = Framer(m.ToZygote)
        self._wake_r, self._wake_w = os.pipe()
        os.set_blocking(self._wake_w, False)
        os.set_blocking(self._wake_r, False)
        signal.set_wakeup_fd(self._wake_w, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: self._end())

    def run(self) -> NoReturn:
        """Serve until the head is gone; whatever happens here, the session is cleaned up."""
        try:
            self._serve()
        except ConnectionResetError:
            pass  # the head went with something of ours unread
        except BaseException:
            sys.excepthook(*sys.exc_info())
        self._end()

    def _serve(self) -> None:
        poller = select.poll()
        poller.register(self.sock, select.POLLIN)
        poller.register(self._wake_r, select.POLLIN)
        while True:
            for fd, _ in poller.poll():
                if fd == self._wake_r:
                    with contextlib.suppress(BlockingIOError):
                        os.read(self._wake_r, 4096)
                    self._reap()
                else:
                    data = self.sock.recv(1 << 16)
                    if not data:
                        return
                    for message in self._framer.feed(data):
                        if isinstance(message, m.Fork):
                            self._fork(message)
                        elif message.worker in self.workers:
                            os.kill(self.workers[message.worker], message.number)

    def _fork(self, message: m.Fork) -> None:
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            self.sock.close()
            os.close(self._wake_r)
            os.close(self._wake_w)
            _die_with_parent()
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            run_and_leave(lambda: worker.main(self.settings, message.worker, message.env))
        self.workers[message.worker] = pid
        self.pids[pid] = message.worker

    def _reap(self) -> None:
        died: list[m.FromZygote] = []
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            if pid == self.head_pid:
                self.head_pid = 0
                self._end()
            worker_id = self.pids.pop(pid, None)
            if worker_id is not None:
                del self.workers[worker_id]
                died.append(m.Died(worker_id, os.waitstatus_to_exitcode(status)))
        if died:
            try:
                self.sock.sendall(encode(died))
            except OSError:
                self._end()

    def _end(self) -> NoReturn:
        """The session is over: leave no process, no socket and no memory behind."""
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        pids = list(self.workers.values())
        if self.head_pid:
            pids.append(self.head_pid)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in pids:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
        session.remove(Path(self.settings.folder), Path(self.settings.arena))
        # children of tasks are in this process group too, and so is this process
        if os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)
        os._exit(0)


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)


def _die_with_parent() -> None:
    """Ask Linux to kill this process when the zygote dies, so that not even `kill -9` of the
    zygote leaves a busy worker behind."""
    if sys.platform == "linux":
        _libc().prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
