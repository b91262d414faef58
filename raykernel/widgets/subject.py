"""What a view is about: the seam between a model and the two places where views live.

    engine --batches--> Subject --snapshot, deltas, answers--> LiveView (view.py)   a notebook
                                                           \\-> Channel (dashboard)  a page

A `Subject` knows neither widgets nor sockets. Whoever holds it calls it from one thread at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol

from raykernel.runtime.events import EventBatch, TaskInfo

from .style import LOOKS

if TYPE_CHECKING:
    from raykernel.runtime.engines.base import Engine


class Subject(Protocol):
    """`version` grows with each change, `live` says how much is still going to change."""

    kind: str  # names the JavaScript module and the style sheet
    version: int
    #: Seconds between two calls of `poll` while somebody looks; 0 for never.
    poll_every: float
    #: Whether it settles into its static form when no task is left, or only with the session.
    rests: bool
    #: Whether it wants to know of tasks; if so, whether of quick ones only in numbers, with a
    #: sample of them, and with where they ran: see `Engine.subscribe`.
    follows: bool
    brief: bool
    sample: bool
    stretches: bool

    @property
    def live(self) -> int: ...

    @property
    def partial(self) -> bool:
        """Whether numbers were taken in: tasks of a list that it doesn't know may be in them."""
        ...

    def apply(self, batch: EventBatch) -> bool:
        """Fold in a batch of events; False if nothing in it was different."""
        ...

    def merge(self, tasks: Iterable[TaskInfo]) -> bool:
        """Fold in a list that was asked for, and that batches may have overtaken."""
        ...

    def poll(self, engine: Engine | None) -> bool:
        """Ask for what the feed does not tell. Blocks for a round trip; True if it changed."""
        ...

    def snapshot(self) -> dict[str, Any]:
        """All there is to draw, as JSON, with its `version`; deltas after it start from here."""
        ...

    def delta(self) -> dict[str, Any] | None:
        """What changed since the last snapshot or delta; None if only a snapshot can say it."""
        ...

    def answer(self, question: dict[str, Any], engine: Engine | None) -> dict[str, Any]:
        """Do what a viewer asks for (`question["ask"]` says what). Raises `Refused`."""
        ...

    def bundle(self, view: str = "") -> dict[str, str]:
        """The static forms. `view` names the live view that may take its place."""
        ...


class Refused(Exception):
    """A viewer asked for something that can't be done; the text says what and why."""


class Quiet:
    """A subject's answers where it has nothing to say; subjects inherit what they don't need."""

    poll_every = 0.0
    rests = True
    follows = True
    brief = False
    sample = False
    stretches = False
    partial = False

    def apply(self, batch: EventBatch) -> bool:
        return False

    def merge(self, tasks: Iterable[TaskInfo]) -> bool:
        return False

    def poll(self, engine: Engine | None) -> bool:
        return False

    def delta(self) -> dict[str, Any] | None:
        return None

    def answer(self, question: dict[str, Any], engine: Engine | None) -> dict[str, Any]:
        raise Refused(f"{question.get('ask')!r} is nothing that can be asked here")


def style_table(**more: Any) -> dict[str, Any]:
    """What every view's module draws by: looks of the states in wire order, and its own table."""
    return {"looks": LOOKS, **more}


def reply(subject: Subject, question: dict[str, Any], engine: Engine | None) -> dict[str, Any]:
    """The message that answers a viewer's question, a refusal included."""
    return answered(question, lambda: subject.answer(question, engine))


def answered(question: dict[str, Any], act: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The same for what `act` says or refuses."""
    try:
        told = act()
    except Refused as refusal:
        told = {"refused": str(refusal)}
    except Exception as error:  # the session may end at any moment
        told = {"refused": f"{type(error).__name__}: {error}"}
    return {"reply": question.get("number", 0), **told}
