"""The event feed: what every view is built from, whatever engine runs the tasks.

The head keeps one small `TaskInfo` per task and appends each change of it to a bounded log. A
client either asks once (`list_tasks`, ...) or subscribes; a subscriber gets an `EventBatch` at
most ten times a second, holding the newest state of every task that changed since its last
batch, so that nothing is sent twice and nothing is computed when nobody looks.

Ids are lowercase hex strings here: views never talk back with raw ids. Times are seconds since
the epoch, 0.0 where a moment has not come yet.
"""

from __future__ import annotations

import msgspec

WAITING = "WAITING"  # for its arguments
READY = "READY"  # for a worker
RUNNING = "RUNNING"
FINISHED = "FINISHED"
FAILED = "FAILED"
CANCELLED = "CANCELLED"

#: States in which a task is still going to change.
LIVE = frozenset({WAITING, READY, RUNNING})
STATES = (WAITING, READY, RUNNING, FINISHED, FAILED, CANCELLED)

TASK = "task"
ACTOR = "actor"  # an actor's creation; its node in the graph stands for the actor
CALL = "call"  # a method call


class TaskInfo(msgspec.Struct, array_like=True):
    """One task as the views see it.

    `name` is what a person calls it (`f`, `Counter.add`) and groups tasks alike, `parent` is the
    task that submitted it ("" for the driver), `deps` the tasks whose results are among its
    arguments, `actor` the actor it creates or runs on, `worker` the worker's process id as text.
    `error` is a one-line summary ("ValueError: no such row") when FAILED or CANCELLED.

    Its moments in order: `submitted`, `ready` (the arguments were there; 0.0: from the start),
    `started` (a worker took it up), `called` (the arguments were loaded; 0.0: there was nothing
    to load), `returned` (the function had ended, its results were still to be stored and sent),
    `ended`. `taken` and `made` are the bytes of the arguments that were references and of the
    results.
    """

    id: str
    name: str
    kind: str = TASK
    state: str = WAITING
    cell: str = ""
    parent: str = ""
    actor: str = ""
    worker: str = ""
    deps: list[str] = []
    submitted: float = 0.0
    started: float = 0.0
    ended: float = 0.0
    error: str = ""
    ready: float = 0.0
    called: float = 0.0
    returned: float = 0.0
    taken: int = 0
    made: int = 0


class Finished(msgspec.Struct, array_like=True):
    """So many tasks of a function began and finished well since the last batch."""

    cell: str
    name: str
    kind: str
    count: int


class Stretch(msgspec.Struct, array_like=True):
    """Quick tasks that one lane, a worker or an actor, ran one close after the other.

    `name` is that of the first one's function, `mixed` says that it isn't that of all; `actor` is
    "" for a worker's. The times are from the first one's submission and start to the last one's
    return.
    """

    cell: str
    name: str
    actor: str
    worker: str
    count: int
    submitted: float
    started: float
    returned: float
    mixed: bool = False


class Awaited(msgspec.Struct, array_like=True):
    """So many of a cell's tasks wait for a node: none that is there has what they need, which is
    told in words."""

    cell: str
    needs: str
    tasks: int


class EventBatch(msgspec.Struct, array_like=True):
    """The tasks that changed since the subscriber's last batch, each in its newest state.

    `dropped` counts changes that fell out of the bounded log before they were read: a view that
    sees it grow asks for the whole list again. A brief batch tells of quick tasks only in numbers:
    those of which no batch said that they are live are in `finished`, and for who wants to know
    where and when they ran in `stretches`, together with all that are told of as a sample.
    `awaited` is all that wait for a node by now; None: those that did before.
    """

    tasks: list[TaskInfo]
    time: float
    dropped: int = 0
    finished: list[Finished] = []
    stretches: list[Stretch] = []
    awaited: list[Awaited] | None = None


class LogLine(msgspec.Struct, array_like=True):
    """Text that a task wrote: whole lines, or a partial one if `text` ends without a newline.

    A line that came `times` times in a row is told once. `skipped` bytes or more that the task went
    on to write are in the log files only.
    """

    cell: str
    task: str  # task id, hex; "" outside a task
    name: str  # the task's name
    worker: str  # process id as text
    stream: str  # "stdout" | "stderr"
    text: str
    times: int = 1
    skipped: int = 0


class BarInfo(msgspec.Struct, array_like=True):
    """A progress bar that a task moves: its newest state, sent at most ten times a second.

    `task`, `name` and `cell` are those of the code that moved it last, "" for a driver's. `total`
    is None where nobody knows it. `elapsed` is in seconds since the bar began, at `initial`. A
    `drawn` bar was read from text that the task prints; if it could not be read, all of it is in
    `text`. `closed` is its last word: it was closed, or its task or process has ended.
    """

    id: str
    task: str = ""
    name: str = ""
    cell: str = ""
    worker: str = ""  # process id as text
    desc: str = ""
    n: int | float = 0
    total: int | float | None = None
    unit: str = "it"
    position: int = 0
    initial: int | float = 0
    elapsed: float = 0.0
    drawn: bool = False
    text: str = ""
    closed: bool = False
