"""How a task's state looks, in one table that the live view and the static picture share.

The colours are Okabe and Ito's, told apart with every common kind of colour blindness, and each
state also has a mark of its own, so that nothing hangs on colour alone. They are mid-tones that
read on a white and on a dark page, because a saved picture cannot know where it will be shown.
"""

from __future__ import annotations

from typing import TypedDict

from raykernel.runtime.events import CANCELLED, FAILED, FINISHED, READY, RUNNING, STATES, WAITING


class Look(TypedDict):
    """`mark` is an SVG path in a 22 x 22 box; the box is `filled` with the colour or outlined."""

    state: str
    label: str
    color: str
    filled: bool
    mark: str


_LOOKS: dict[str, Look] = {
    WAITING: Look(state=WAITING, label="waiting", color="#8d949e", filled=False, mark=""),
    READY: Look(state=READY, label="ready", color="#c48600", filled=False, mark="M11 11h.01"),
    RUNNING: Look(
        state=RUNNING, label="running", color="#2f86c9", filled=True, mark="M9 7l6 4-6 4z"
    ),
    FINISHED: Look(
        state=FINISHED, label="finished", color="#009e73", filled=True, mark="M6.5 11.5l3 3 6-7"
    ),
    FAILED: Look(
        state=FAILED, label="failed", color="#d55e00", filled=True, mark="M7 7l8 8M15 7l-8 8"
    ),
    CANCELLED: Look(
        state=CANCELLED, label="cancelled", color="#b5709a", filled=True, mark="M6.5 11h9"
    ),
}

#: In the order of `events.STATES`: a state's number on the wire is its place in here.
LOOKS: list[Look] = [_LOOKS[state] for state in STATES]

TEXT = "#767c86"  # 4.2 : 1 on white, 4.5 : 1 on #111
LINE = "#9aa1ab"

#: Colours that tell functions apart in the timeline; none is a state's, and failures keep theirs.
#: White text on each has 4.5 : 1 at least, and each 3 : 1 on a dark page.
FUNCTIONS = [
    *("#4d74bf", "#8366bc", "#37817e", "#90703d", "#a55e8c"),
    *("#617e47", "#717582", "#ab624c", "#437c99", "#837633"),
]

#: What the object store's room is taken by.
STORE = {"used": "#2f86c9", "pinned": "#8a6fc0", "disk": "#b0894a"}
