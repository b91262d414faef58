"""What the live views cost: `python -m tests.bench.views [--browser] [--json]` at the repository's
top, on a machine that does nothing else.

    throughput   1,000 tiny tasks at once, again and again for a second, in a real kernel: in turn
                 with nothing shown, and with progress and the graph, in one session. Each pair
                 gives a ratio; told is their median.
    bytes        what the views send to the front end in a second of it
    --browser    the same in JupyterLab in a headless Chromium, which draws the views
    --view NAME  with another view than the graph; `none`: progress alone; `nothing`: neither,
                 which tells how much of a ratio is the machine's mood

Frames a second are measured by `pytest -s tests/browser/test_graph_frames.py`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tests.integration.kernels import WIDGET, Kernel, kernel

SECONDS = 1.0
ROUNDS = 15
START = (
    "%load_ext raykernel\n%ray start -n 2",
    "import time\nimport raykernel as ray\n"
    "@ray.remote\ndef tiny(): return 1\n"
    "def round_of(seconds):\n"
    "    n, began = 0, time.perf_counter()\n"
    "    while time.perf_counter() - began < seconds:\n"
    "        ray.get([tiny.remote() for _ in range(1000)]); n += 1000\n"
    "    return n / (time.perf_counter() - began)\n"
    "_ = round_of(1)",
)
_AGAIN = "%unload_ext raykernel\n%env RAYKERNEL_PROGRESS={}\n%load_ext raykernel"
HIDE = _AGAIN.format("no")
SHOW = _AGAIN.format("yes")
VIEWS = ("graph", "timeline", "status", "memory", "logs")


class Outcome(NamedTuple):
    plain: float  # tasks a second, medians
    shown: float
    ratio: float  # the median of the rounds'
    worst: float
    bytes: float  # a second, to the front end

    def __str__(self) -> str:
        return (
            f"nothing shown {self.plain:,.0f} tasks/s, with the views {self.shown:,.0f}, "
            f"ratio {self.ratio:.1%} (rounds from {self.worst:.1%}); "
            f"{self.bytes / 1024:.0f} KiB/s to the front end"
        )


def compare(plain: Callable[[], float], shown: Callable[[], tuple[float, float]]) -> Outcome:
    """`plain()` gives tasks a second, `shown()` that and bytes a second."""
    rounds = []
    for number in range(ROUNDS):  # who goes first changes, as machines warm up
        if number % 2:
            with_views = shown()
            rounds.append((plain(), *with_views))
        else:
            rounds.append((plain(), *shown()))
    ratios = [b / a for a, b, _ in rounds]
    return Outcome(
        statistics.median(a for a, _, _ in rounds),
        statistics.median(b for _, b, _ in rounds),
        statistics.median(ratios),
        min(ratios),
        statistics.median(c for _, _, c in rounds),
    )


def in_kernel(view: str) -> Outcome:
    with kernel() as k:
        for code in START:
            k.run(code)
        k.run(HIDE)

        def plain() -> float:
            return round_in(k)[0]

        def shown() -> tuple[float, float]:
            if view == "nothing":
                return round_in(k)
            k.run(SHOW)
            if view != "none":
                k.run(f"%ray {view}")
                answer(k)
            measured = round_in(k)
            k.run(HIDE)
            return measured

        return compare(plain, shown)


def answer(k: Kernel) -> None:
    """Say of each view that a browser draws it in place, as host.js does."""
    for message in list(k.messages):
        view = message["content"].get("data", {}).get(WIDGET) if message["content"] else None
        if view:
            k.press(view["model_id"], {"hello": "in place"})


def round_in(k: Kernel) -> tuple[float, float]:
    """Tasks a second, and bytes a second that came meanwhile by comms and displays."""
    k.messages.clear()
    rate = float(k.value(k.run(f"round_of({SECONDS})")))
    sent = sum(
        len(json.dumps(m["content"], separators=(",", ":")))
        for m in k.messages
        if m["msg_type"] in ("comm_msg", "display_data", "update_display_data")
    )
    return rate, sent / SECONDS


def in_browser(view: str) -> Outcome:
    from tests.browser.lab import NotebookPage, browsing, find_chromium, serving

    with (
        tempfile.TemporaryDirectory(prefix="raykernel-bench-") as folder,
        serving(Path(folder)) as lab,
        browsing(find_chromium()) as browser,
    ):
        received = [0]

        def count(data: Any) -> None:
            received[0] += len(data)

        cells = [*START, HIDE, SHOW, f"%ray {view}", f"print(round_of({SECONDS}))"]
        lab.write("bench.ipynb", *cells)
        page = browser.new_page(viewport={"width": 1000, "height": 1100})
        page.on("websocket", lambda socket: socket.on("framereceived", count))
        book = NotebookPage(page, lab, "bench.ipynb")
        book.open()

        def run(cell: int) -> None:
            book.run(cell)
            book.wait_until_idle()

        def round_now() -> tuple[float, float]:
            received[0] = 0
            book.run(5)
            page.wait_for_timeout(1000 * SECONDS)
            took = received[0] / SECONDS
            book.wait_until_idle()
            output = page.evaluate(
                """() => window.jupyterapp.shell.currentWidget.content.widgets.at(-1)
                       .model.sharedModel.outputs.map((o) => o.text || "").join("")"""
            )
            return float(str(output).strip().splitlines()[-1]), took

        def shown() -> tuple[float, float]:
            run(3)
            run(4)
            measured = round_now()
            run(2)
            return measured

        for cell in range(3):
            run(cell)
        outcome = compare(lambda: round_now()[0], shown)
        lab.end_kernels()
        return outcome


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--browser", action="store_true", help="in JupyterLab, drawn by Chromium")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--view", choices=(*VIEWS, "none", "nothing"), default="graph")
    options = parser.parse_args()
    outcome = in_browser(options.view) if options.browser else in_kernel(options.view)
    print(json.dumps(outcome._asdict()) if options.json else outcome)


if __name__ == "__main__":
    main()
