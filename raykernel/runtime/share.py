"""The share of the machine that a task sees: which cards, and how many threads.

Libraries learn both from environment variables, which a worker sets before each task that differs
from the one before. The session counts cards from 0; `context.cards` has the names of the ones it
was given itself.
"""

from __future__ import annotations

import os

from . import context, resources

_CUDA = "CUDA_VISIBLE_DEVICES"


class Share:
    """For the main thread of a worker."""

    def __init__(self) -> None:
        self._cards_text = os.environ.get(_CUDA)
        context.cards = dict(enumerate(c for c in (self._cards_text or "").split(",") if c))
        self.cards_set = False  # for the task before
        self.sizes_threads = False  # whether OMP_NUM_THREADS is for us to set
        self.sized = ""  # for which request that was set

    def give_cards(self, gpus: tuple[int, ...]) -> None:
        """Show a task these cards and no others."""
        os.environ[_CUDA] = ",".join(context.cards.get(i, str(i)) for i in gpus)
        self.cards_set = True

    def take_cards(self) -> None:
        """What a task before this one was given is not this one's."""
        self.cards_set = False
        if self._cards_text is None:
            del os.environ[_CUDA]
        else:
            os.environ[_CUDA] = self._cards_text

    def size(self, needs: str) -> None:
        """Let numeric libraries start as many threads as the task has CPUs."""
        self.sized = needs
        cpus = resources.decode(needs).get("CPU", 0) // resources.UNIT
        os.environ["OMP_NUM_THREADS"] = str(max(1, cpus))
