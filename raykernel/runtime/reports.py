"""What goes on, told to who asks and to who shows it. Sans-IO, a part of the scheduler."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import messages as m
from . import queries
from .events import BarInfo, LogLine
from .instructions import Send
from .records import Client, Worker
from .wire import encode_one

if TYPE_CHECKING:
    from .scheduler import Scheduler


class Reports:
    """Called by the scheduler only."""

    def __init__(self, core: Scheduler) -> None:
        self.reloaded: dict[str, None] = {}  # modules edited since the session began
        self._core = core

    def query(self, client: Client, message: m.Query) -> None:
        """A question: see queries.py."""
        core = self._core
        if message.what == "tasks" and client.id in core.feed.brief:
            # nothing that the answer holds may come again as a number
            core.out.extend(Send(each, batch) for each, batch in core.feed.flush())
        try:
            data = encode_one(queries.answer(core, client, message.what, message.filters))
            reply = m.Reply(message.request, data)
        except queries.BadQuery as error:
            reply = m.Reply(message.request, error=str(error))
        core.out.append(Send(client.id, reply))

    def subscribe(self, client: Client, message: m.Subscribe) -> None:
        """Changes of tasks are to be told, or no longer: see feed.py."""
        core = self._core
        if message.on:
            told = core.feed.watch(
                client.id, core.tasks.values(), message.brief, message.sample, message.stretches
            )
            core.out.extend(Send(each, batch) for each, batch in told)
        else:
            core.feed.unwatch(client.id)

    def wrote(self, worker: Worker, message: m.Wrote) -> None:
        """What a worker's tasks printed goes to all drivers."""
        logged = worker.logged
        logged["stdout"] = max(logged["stdout"], message.out)
        logged["stderr"] = max(logged["stderr"], message.err)
        if message.lines:
            self._tell_drivers(m.Logs(message.lines))

    def last_words(self, worker_id: bytes, texts: dict[str, str]) -> None:
        """What a worker had written and not told of when it died, by stream. Before `worker_died`,
        for it belongs to the task that ran."""
        worker = self._core.dispatcher.workers[worker_id]
        spec = worker.first.spec if worker.first is not None else None
        whose = ("", "", "") if spec is None else (spec.cell, spec.id.hex(), spec.name)
        lines = [LogLine(*whose, str(worker.pid), stream, text) for stream, text in texts.items()]
        self.wrote(worker, m.Wrote(lines))

    def bars_moved(self, client: Client, message: m.Bars) -> None:
        """Progress bars: see bars.py."""
        core = self._core
        lives_on = not isinstance(client, Worker) or client.actor is not None
        core.bars.moved(
            client.id,
            message.bars,
            lambda bar: lives_on or not bar.task or bytes.fromhex(bar.task) in core.tasks,
        )

    def tell_bars(self, bars: list[BarInfo]) -> None:
        self._tell_drivers(m.BarsMoved(bars))

    def warn(self, text: str) -> None:
        """Say what a person should read once."""
        self._tell_drivers(m.Warn(text))

    def reload(self, client: Client, message: m.ReloadModules) -> None:
        """Modules were edited: workers take them anew, and so do those to come."""
        core = self._core
        self.reloaded.update(dict.fromkeys(message.names))
        for worker in core.dispatcher.workers.values():
            if worker.connected and worker.actor is None:
                core.out.append(Send(worker.id, m.Reload(message.names)))

    def _tell_drivers(self, message: m.Message) -> None:
        for client in self._core.clients.values():
            if client.role == "driver":
                self._core.out.append(Send(client.id, message))
