"""Pictures of a session for reports: what ran when, as a matplotlib figure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from raykernel import api
from raykernel.runtime.events import ACTOR, CALL, FAILED, TaskInfo

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Colour-blind safe; what failed is drawn in the last one.
_COLORS = ("#5b7fc4", "#8a6fc0", "#3f9490", "#b0894a", "#a8638f", "#6f9152", "#7a7f8c", "#4d8fb0")
_FAILED = "#d55e00"


def plot_timeline(ax: Axes | None = None) -> Figure:
    """Draw when each task of the session ran, a lane for each worker and actor, and return the
    figure.

    Draws into `ax` if given. Seconds count from the first task's submission. A light line in front
    of a bar is how long its task waited, and what is pale in it went into loading arguments and
    storing results. Ended tasks are known up to a bound, as in `timeline`.
    """
    tasks: list[TaskInfo] = api.connected().query("tasks")
    ran = sorted((t for t in tasks if t.started and t.worker), key=lambda t: t.started)
    if ax is None:
        import matplotlib.pyplot as plt

        lanes = len({_lane(t) for t in ran})
        _, ax = plt.subplots(figsize=(9, 1.2 + 0.32 * max(1, lanes)), layout="constrained")
    return _draw(ax, ran)


def _lane(task: TaskInfo) -> str:
    if task.kind in (ACTOR, CALL):
        return f"{task.name.rpartition('.')[0] or task.name} {task.actor[-4:]}"
    return f"worker {task.worker}"


def _draw(ax: Axes, ran: list[TaskInfo]) -> Figure:
    origin = min((t.submitted or t.started for t in ran), default=0.0)
    end = max((t.ended or t.started for t in ran), default=origin)
    lanes = list(dict.fromkeys(_lane(t) for t in ran))
    names = list(dict.fromkeys(t.name for t in ran))
    spans: dict[tuple[int, str, str], list[tuple[float, float]]] = {}
    waits: dict[int, list[tuple[float, float]]] = {}
    moves: dict[int, list[tuple[float, float]]] = {}  # of data: arguments in, results out
    for task in ran:
        lane = lanes.index(_lane(task))
        failed = task.state == FAILED
        color = _FAILED if failed else _COLORS[names.index(task.name) % len(_COLORS)]
        label = "failed" if failed else task.name
        begin = task.started - origin
        spans.setdefault((lane, label, color), []).append(
            (begin, max(0.0, (task.ended or end) - task.started))
        )
        for begins, ends in ((task.started, task.called), (task.returned, task.ended)):
            if begins and ends > begins:
                moves.setdefault(lane, []).append((begins - origin, ends - begins))
        if task.submitted:
            submitted = task.submitted - origin
            waits.setdefault(lane, []).append((submitted, max(0.0, begin - submitted)))
    for lane, pieces in waits.items():
        ax.broken_barh(pieces, (lane - 0.04, 0.08), color="#9aa1ab", alpha=0.35, linewidth=0)
    labelled: set[str] = set()
    for (lane, label, color), pieces in spans.items():
        shown: dict[str, Any] = {} if label in labelled else {"label": label}
        labelled.add(label)
        hatch = "//" if label == "failed" else None
        ax.broken_barh(pieces, (lane - 0.36, 0.72), color=color, hatch=hatch, **shown)
    for lane, pieces in moves.items():
        ax.broken_barh(pieces, (lane - 0.36, 0.72), color="white", alpha=0.55, linewidth=0)
    ax.set_yticks(range(len(lanes)), lanes)
    ax.set_ylim(len(lanes) - 0.4, -0.6)
    ax.set_xlabel("seconds")
    ax.spines[["top", "right"]].set_visible(False)
    if labelled and len(labelled) <= 12:
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=6, frameon=False, fontsize="small")
    if not ran:
        ax.text(0.5, 0.5, "no tasks have run", transform=ax.transAxes, ha="center")
    figure = ax.get_figure(root=True)
    assert figure is not None
    return figure
